"""Bundles on disk: card.json beside encoder.onnx, step.onnx and golden.npz, every file under its SHA-256.

The graphs may lie there a second time in half precision, for GPUs, and the weights once more for the torch back end.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from hal_ros.core.card import ModelCard
from hal_ros.core.decoding.decode import KINDS
from hal_ros.core.decoding.duration_filter import priors_fault
from hal_ros.core.errors import CardError

CARD = "card.json"
ENCODER = "encoder.onnx"
STEP = "step.onnx"
ENCODER_FP16 = "encoder.fp16.onnx"
STEP_FP16 = "step.fp16.onnx"
GOLDEN = "golden.npz"
WEIGHTS = "weights.npz"  # of the torch back end
FILES = (ENCODER, STEP, ENCODER_FP16, STEP_FP16, GOLDEN, WEIGHTS)
_HALF = "a bundle that `hal export` of today wrote, or else precision fp32"
OPTIONAL = {ENCODER_FP16: _HALF, STEP_FP16: _HALF, WEIGHTS: "a bundle of `hal export --reference`"}
"""Where files come from that not every bundle has."""
PRECISIONS = ("fp32", "fp16")
IMAGE_DTYPES = ("uint8", "float32")
CACHES = ("shift", "delta")
TARGETS = ("8.6", "10", "11")
FORMAT = 1
LARGEST = sys.float_info.max
KIND_NAMES = {int: "a whole number", str: "text in quotes"}
LIMITS: dict[str, tuple[float, float]] = {
    "rate_hz": (0.01, 1000.0),
    "lag_ticks": (0, 10_000),
    "max_held_ticks": (0, 10_000),
    "feature_dim": (0, 10_000_000),
    "window_ticks": (1, 100_000),
    "image size_px": (1, 4096),
    "joints max_age_s": (0.0, 3600.0),
    "decoder enter_probability": (0.0, 1.0),
    "decoder hold_ticks": (0, 10_000),
    "decoder smoothing": (0.0, 1.0),
    "decoder commit_probability": (0.0, 1.0),
    "decoder temper": (0.0, 10.0),
    "decoder boundary_delay_ticks": (0, 10_000),
}
"""Closed ranges of values, wide enough for any robot; what lies outside is a slip of the pen."""


@dataclass(frozen=True)
class Bundle:
    """A folder whose files are what its card says. `sha256` is of the card, which names the files' hashes."""

    card: ModelCard
    folder: Path
    sha256: str

    def path(self, name: str) -> Path:
        """Return the path of one of the bundle's files; raises CardError if the card does not name it."""
        if name not in self.card.files:
            hint = f", or {OPTIONAL[name]}" if name in OPTIONAL else ""
            raise CardError(
                f"{self.folder / CARD}: names no file {name!r}; expected one of {sorted(self.card.files)}{hint}"
            )
        return self.folder / name


def graph_files(precision: str) -> tuple[str, str]:
    """Return the names of encoder and step graph in precision "fp32" or "fp16"; raises CardError for another one."""
    if precision not in PRECISIONS:
        raise CardError(f"precision {precision!r} is unknown; expected one of {', '.join(PRECISIONS)}")
    return (ENCODER, STEP) if precision == "fp32" else (ENCODER_FP16, STEP_FP16)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_card(card: ModelCard, folder: Path, files: tuple[str, ...] = FILES) -> Bundle:
    """Write card.json with the hashes of those `files` that `folder` holds; returns the bundle as load_bundle would."""
    card = replace(card, files={name: file_sha256(folder / name) for name in files if (folder / name).exists()})
    text = _compact(json.dumps({"format": FORMAT, **dataclasses.asdict(card)}, indent=2)) + "\n"
    (folder / CARD).write_text(text)
    return load_bundle(folder)


def _compact(text: str) -> str:
    """Put each list of numbers into one line: a person reads these files."""
    return re.sub(r"\[[\s\d.,eE+-]+\]", lambda found: "[" + " ".join(found[0][1:-1].split()) + "]", text)


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle and verify every file it names. Raises CardError naming the file and what is wrong."""
    path = folder / CARD
    try:
        raw = path.read_bytes()
        fields = json.loads(raw)
    except OSError as error:
        raise CardError(f"{path}: can't be read ({error.strerror}); expected a bundle folder") from error
    except ValueError as error:
        raise CardError(f"{path}: is not JSON ({error})") from error
    card = _parse(fields, path)
    for name, expected in card.files.items():
        _verify(folder / name, expected)
    return Bundle(card, folder, hashlib.sha256(raw).hexdigest())


def bundle_metadata(bundle: Bundle) -> dict[str, dict[str, str]]:
    """Return the metadata record of a bag that says which bundle the answers in it are from, with its card's text."""
    card = (bundle.folder / CARD).read_text(encoding="utf-8")
    return {"bundle": {"name": bundle.card.name, "sha256": bundle.sha256, "card": card}}


def _verify(path: Path, expected: str) -> None:
    try:
        actual = file_sha256(path)
    except OSError as error:
        raise CardError(f"{path}: can't be read ({error.strerror}), but the card names it") from error
    if actual != expected:
        raise CardError(f"{path}: SHA-256 is {actual[:12]}…, the card says {expected[:12]}…; the file was changed")


def _parse(fields: Any, path: Path) -> ModelCard:
    if not isinstance(fields, dict) or fields.pop("format", None) != FORMAT:
        raise CardError(f"{path}: is not a card of format {FORMAT}")
    card: ModelCard = _part(fields, ModelCard, "", path)
    _check(card, path)
    return card


def _part(fields: Any, kind: type[Any], name: str, path: Path) -> Any:
    """Read one dataclass; its annotations say which keys there are and of which kind their values."""
    _expect(isinstance(fields, dict), path, name, fields, "an object with keys")
    keys = {field.name: field for field in dataclasses.fields(kind)}
    of_part = f" of {name}" if name else ""
    for key in fields:
        if key not in keys:
            near = difflib.get_close_matches(key, keys, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(keys)}"
            raise CardError(f"{path}: unknown key {key!r}{of_part}; {hint}")
    for key, field in keys.items():
        if key not in fields and field.default is field.default_factory is dataclasses.MISSING:
            raise CardError(f"{path}: key {key!r}{of_part} is missing; expected one")
    hints = get_type_hints(kind)
    return kind(**{key: _value(value, hints[key], _named(name, key), path) for key, value in fields.items()})


def _value(value: Any, hint: Any, name: str, path: Path) -> Any:
    """Return a JSON value as the annotation `hint` wants it. Raises CardError for one of another kind."""
    parts = get_args(hint)
    if type(None) in parts:
        return None if value is None else _value(value, parts[0], name, path)
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
    return value


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
    _check_choice("caches", card.caches, CACHES, path)
    _check_choice("target", card.target, TARGETS, path)
    if card.image is not None:
        _check_choice("image dtype", card.image.dtype, IMAGE_DTYPES, path)
    _check_names("vocabulary", card.vocabulary, 2, path)
    if card.joints is not None:
        _check_names("joints names", card.joints.names, 1, path)
    _check_decoder(card, path)
    if card.image is None and card.joints is None:
        raise CardError(f"{path}: names neither image nor joints; expected at least one input")


def _check_choice(name: str, value: str, choices: tuple[str, ...], path: Path) -> None:
    _expect(value in choices, path, name, value, f"one of {', '.join(choices)}")


def _check_names(name: str, values: tuple[str, ...], least: int, path: Path) -> None:
    for index, value in enumerate(values):
        _expect(bool(value.strip()), path, f"{name}[{index}]", value, "a name that is not empty")
    different = len(set(values)) == len(values) >= least
    _expect(different, path, name, list(values), f"{least} or more names, all different")


def _check_decoder(card: ModelCard, path: Path) -> None:
    spec = card.decoder
    _check_choice("decoder kind", spec.kind, KINDS, path)
    delay = spec.boundary_delay_ticks
    _expect(delay <= card.lag_ticks, path, "decoder boundary_delay_ticks", delay, f"0 to lag_ticks, {card.lag_ticks}")
    if spec.priors is None:
        if spec.kind == "duration":
            raise CardError(f"{path}: decoder duration has no priors; expected those that training fitted")
    elif fault := priors_fault(spec.priors, len(card.vocabulary)):
        raise CardError(f"{path}: decoder priors: {fault}")
