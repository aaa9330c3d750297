"""The text of card.json: format 2, which names streams, and format 1, which knew one camera and one topic of joints.

Format 1 is what 0.1.0 wrote. Its inputs appear as the streams `camera` and `joints`; it names no topics, so that the
usual ones are taken.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from hal_ros.core.card import DecoderSpec, EncoderSpec, ModelCard
from hal_ros.core.decoding.decode import KINDS
from hal_ros.core.decoding.duration_filter import priors_fault
from hal_ros.core.errors import CardError
from hal_ros.core.streams.check import streams_fault
from hal_ros.core.streams.spec import CameraSpec, StateSpec, single

IMAGE_DTYPES = ("uint8", "float32")
CACHES = ("shift", "delta")
TARGETS = ("8.6", "10", "11")
FORMAT = 2
"""What is written."""
MOST_FILES = 64
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}")
Part = TypeVar("Part")
LARGEST = sys.float_info.max
KIND_NAMES = {int: "a whole number", str: "text in quotes"}
NO_TEXT = re.compile("[\0\ud800-\udfff]")
LIMITS: dict[str, tuple[float, float]] = {
    "lag_ticks": (0, 10_000),
    "encoder feature_dim": (1, 10_000_000),
    "encoder channels": (0, 10_000_000),
    "window_ticks": (1, 100_000),
}
DECODER_LIMITS: dict[str, tuple[float, float]] = {
    "enter_probability": (0.0, 1.0),
    "hold_ticks": (0, 10_000),
    "smoothing": (0.0, 1.0),
    "commit_probability": (0.0, 1.0),
    "temper": (0.0, 10.0),
    "boundary_delay_ticks": (0, 10_000),
}
"""Closed ranges of values, wide enough for any robot; what lies outside is a slip of the pen."""


@dataclass(frozen=True)
class _ImageOfFormat1:
    size_px: int
    dtype: str = "uint8"


@dataclass(frozen=True)
class _JointsOfFormat1:
    names: tuple[str, ...]
    max_age_s: float


@dataclass(frozen=True)
class _CardOfFormat1:
    name: str
    vocabulary: tuple[str, ...]
    image: _ImageOfFormat1 | None
    joints: _JointsOfFormat1 | None
    rate_hz: float
    lag_ticks: int
    max_held_ticks: int
    feature_dim: int
    window_ticks: int
    decoder: DecoderSpec
    supervision: str
    caches: str = "shift"
    target: str = "10"
    trained_from: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def _of_today(card: _CardOfFormat1) -> ModelCard:
    """Return a card of format 1 as one of today's. What format 1 left open, it took: all of the joints' fields."""
    image, joints = card.image, card.joints
    streams = single(
        None if image is None else CameraSpec(size_px=image.size_px),
        None if joints is None else StateSpec(names=joints.names, max_age_s=joints.max_age_s),
        card.rate_hz,
        card.max_held_ticks,
    )
    encoder = None if image is None else EncoderSpec(card.feature_dim, image.dtype)
    shared = {f.name: getattr(card, f.name) for f in dataclasses.fields(ModelCard) if hasattr(card, f.name)}
    return ModelCard(**shared, streams=streams, encoder=encoder)


def parse_card(fields: Any, path: Path) -> ModelCard:
    """Return the card in the JSON value of `path`; raises CardError naming the key, its value and what was expected."""
    version = fields.pop("format", None) if isinstance(fields, dict) else None
    if isinstance(version, bool) or version not in (1, FORMAT):
        raise CardError(f"{path}: is not a card of format 1 or {FORMAT}")
    old = version == 1
    card: ModelCard = _of_today(_part(fields, _CardOfFormat1, "", path)) if old else _part(fields, ModelCard, "", path)
    _check(card, path)
    return card


def read_part(fields: Any, kind: type[Part], path: Path) -> Part:
    """Return a dataclass of plain values from the JSON value of `path`; raises CardError as `parse_card`."""
    part: Part = _part(fields, kind, "", path)
    return part


def _part(fields: Any, kind: type[Any], name: str, path: Path) -> Any:
    """Read one dataclass; its annotations say which keys there are and of which kind their values."""
    _expect(isinstance(fields, dict), path, name, fields, "an object with keys")
    keys = {known.name: known for known in dataclasses.fields(kind)}
    of_part = f" of {name}" if name else ""
    for key in fields:
        if key not in keys:
            near = difflib.get_close_matches(key, keys, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(keys)}"
            raise CardError(f"{path}: unknown key {key!r}{of_part}; {hint}")
    for key, known in keys.items():
        if key not in fields and known.default is known.default_factory is dataclasses.MISSING:
            raise CardError(f"{path}: key {key!r}{of_part} is missing; expected one")
    hints = get_type_hints(kind)
    return kind(**{key: _value(value, hints[key], _named(name, key), path) for key, value in fields.items()})


def _value(value: Any, hint: Any, name: str, path: Path) -> Any:
    """Return a JSON value as the annotation `hint` wants it. Raises CardError for one of another kind."""
    parts = get_args(hint)
    if isinstance(hint, UnionType):
        return _either(value, parts, name, path)
    if dataclasses.is_dataclass(hint):
        return _part(value, hint, name, path)  # type: ignore[arg-type]  # it is a class
    if get_origin(hint) is tuple:
        _expect(isinstance(value, list), path, name, value, "a list")
        return tuple(_value(item, parts[0], f"{name}[{index}]", path) for index, item in enumerate(value))
    if get_origin(hint) is Mapping:
        _expect(isinstance(value, dict), path, name, value, "an object with keys")
        return {key: _value(item, parts[1], _named(name, key), path) for key, item in value.items()}
    if hint is float:
        # JSON may hold integers that are too large for a float, and Python reads NaN and Infinity from it.
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST
        _expect(number, path, name, value, "a finite number")
        return float(value)
    integer = hint is int and not isinstance(value, bool)
    _expect(isinstance(value, hint) and (integer or hint is str), path, name, value, KIND_NAMES[hint])
    if hint is str:  # JSON may hold halves of characters, which nobody can publish or print
        _expect(not NO_TEXT.search(value), path, name, value, "whole characters, none of them NUL")
    return value


def _either(value: Any, parts: tuple[Any, ...], name: str, path: Path) -> Any:
    """Read `X | None`, or `str | tuple`."""
    if type(None) in parts:
        return None if value is None else _value(value, parts[0], name, path)
    _expect(isinstance(value, str | list), path, name, value, "text in quotes, or a list")
    wanted = next(part for part in parts if (part is str) == isinstance(value, str))
    return _value(value, wanted, name, path)


def _expect(holds: bool, path: Path, name: str, value: Any, expected: str) -> None:
    if not holds:
        text = repr(value)
        raise CardError(f"{path}: {name} is {text if len(text) <= 60 else text[:57] + '...'}; expected {expected}")


def _named(name: str, key: str) -> str:
    return f"{name} {key}" if name else key


def _check(card: ModelCard, path: Path) -> None:
    """Refuse a card whose values can't be: a person edits these files."""
    for name, (least, most) in LIMITS.items():
        *owners, key = name.split()
        part: Any = card
        for owner in owners:
            part = None if part is None else getattr(part, owner)
        if part is not None:
            value = getattr(part, key)
            _expect(least <= value <= most, path, name, value, f"{least:g} to {most:g}")
    _check_files(card.files, path)
    _check_choice("caches", card.caches, CACHES, path)
    _check_choice("target", card.target, TARGETS, path)
    _check_names("vocabulary", card.vocabulary, 2, path)
    if fault := streams_fault(card.streams):
        raise CardError(f"{path}: streams: {fault}")
    if card.encoder is not None:
        _check_choice("encoder dtype", card.encoder.dtype, IMAGE_DTYPES, path)
        whole, channels = card.encoder.feature_dim, card.encoder.channels
        divides = not channels or whole % channels == 0
        _expect(divides, path, "encoder channels", channels, f"a divisor of feature_dim, {whole}")
    if bool(card.streams.cameras) != (card.encoder is not None):
        raise CardError(f"{path}: has {'an encoder' if card.encoder else 'cameras'} alone; expected both or neither")
    check_decoder(card.decoder, len(card.vocabulary), card.lag_ticks, path)


def _check_files(files: Mapping[str, str], path: Path) -> None:
    """Refuse names that lead out of the bundle, and more of them than any bundle has."""
    _expect(len(files) <= MOST_FILES, path, "files", sorted(files), f"at most {MOST_FILES}")
    for name in files:
        plain = bool(FILE_NAME.fullmatch(name)) and name != path.name
        _expect(plain, path, "files", name, "plain names of files in the bundle, as encoder.onnx")


def _check_choice(name: str, value: str, choices: tuple[str, ...], path: Path) -> None:
    _expect(value in choices, path, name, value, f"one of {', '.join(choices)}")


def _check_names(name: str, values: tuple[str, ...], least: int, path: Path) -> None:
    for index, value in enumerate(values):
        _expect(bool(value.strip()), path, f"{name}[{index}]", value, "a name that is not empty")
    different = len(set(values)) == len(values) >= least
    _expect(different, path, name, list(values), f"{least} or more names, all different")


def check_decoder(spec: DecoderSpec, actions: int, lag_ticks: int, path: Path) -> None:
    """Refuse a decoder of K actions that can't be; CardError."""
    for key, (least, most) in DECODER_LIMITS.items():
        value = getattr(spec, key)
        _expect(least <= value <= most, path, f"decoder {key}", value, f"{least:g} to {most:g}")
    _check_choice("decoder kind", spec.kind, KINDS, path)
    delay = spec.boundary_delay_ticks
    _expect(delay <= lag_ticks, path, "decoder boundary_delay_ticks", delay, f"0 to lag_ticks, {lag_ticks}")
    if spec.priors is None:
        if spec.kind == "duration":
            raise CardError(f"{path}: decoder duration has no priors; expected those that training fitted")
    elif fault := priors_fault(spec.priors, actions):
        raise CardError(f"{path}: decoder priors: {fault}")
