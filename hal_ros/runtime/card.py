"""Bundles on disk: card.json beside encoder.onnx, step.onnx and golden.npz, every file under its SHA-256."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hal_ros.core.decode import KINDS
from hal_ros.core.duration_filter import priors_fault
from hal_ros.core.errors import CardError
from hal_ros.core.types import DecoderSpec, ImageSpec, JointSpec, ModelCard, Priors

CARD = "card.json"
ENCODER = "encoder.onnx"
STEP = "step.onnx"
GOLDEN = "golden.npz"
FORMAT = 1


@dataclass(frozen=True)
class Bundle:
    """A folder whose files are what its card says. `sha256` is of the card, which names the files' hashes."""

    card: ModelCard
    folder: Path
    sha256: str

    def path(self, name: str) -> Path:
        """Return the path of one of the bundle's files; raises CardError if the card does not name it."""
        if name not in self.card.files:
            raise CardError(f"{self.folder / CARD}: names no file {name!r}; expected one of {sorted(self.card.files)}")
        return self.folder / name


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_card(card: ModelCard, folder: Path, files: tuple[str, ...] = (ENCODER, STEP, GOLDEN)) -> Bundle:
    """Write card.json with the present hashes of `files` in `folder`; returns the bundle as load_bundle would."""
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
    try:
        card = ModelCard(
            **_known(fields, ModelCard, path)
            | {
                "vocabulary": tuple(fields["vocabulary"]),
                "image": _part(fields["image"], ImageSpec, path),
                "joints": _part(fields["joints"], JointSpec, path),
                "decoder": _decoder(fields["decoder"], path),
            }
        )
        _check(card, path)
    except (KeyError, TypeError, AttributeError) as error:
        raise CardError(f"{path}: {error} is missing or of the wrong kind") from error
    return card


def _known(fields: Mapping[str, Any], kind: type[Any], path: Path) -> dict[str, Any]:
    """Refuse keys that the dataclass lacks, naming the nearest one that it has."""
    names = [field.name for field in dataclasses.fields(kind)]
    for key in fields:
        if key not in names:
            near = difflib.get_close_matches(key, names, 1)
            raise CardError(f"{path}: unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return dict(fields)


def _part(fields: Mapping[str, Any] | None, kind: type[Any], path: Path) -> Any:
    if fields is None:
        return None
    known = _known(fields, kind, path)
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in known.items()})


def _decoder(fields: Mapping[str, Any], path: Path) -> DecoderSpec:
    """Read the decoder and the priors in it, which cards of `hysteresis` may lack."""
    priors = fields.get("priors")
    if priors is not None:
        priors = _part({**priors, "transitions": tuple(map(tuple, priors["transitions"]))}, Priors, path)
    spec: DecoderSpec = _part({**fields, "priors": priors}, DecoderSpec, path)
    return spec


def _check(card: ModelCard, path: Path) -> None:
    """Refuse a card whose values can't be: a person edits these files."""
    positive = {"rate_hz": card.rate_hz, "window_ticks": card.window_ticks}
    not_negative = {"lag_ticks": card.lag_ticks, "max_held_ticks": card.max_held_ticks, "feature_dim": card.feature_dim}
    for name, value in positive.items():
        if not value > 0:
            raise CardError(f"{path}: {name} is {value}; expected a value above 0")
    for name, value in not_negative.items():
        if value < 0:
            raise CardError(f"{path}: {name} is {value}; expected 0 or more")
    if len(card.vocabulary) < 2 or len(set(card.vocabulary)) != len(card.vocabulary):
        raise CardError(f"{path}: vocabulary {list(card.vocabulary)} must name at least two different actions")
    _check_decoder(card, path)
    if card.image is None and card.joints is None:
        raise CardError(f"{path}: names neither image nor joints; expected at least one input")


def _check_decoder(card: ModelCard, path: Path) -> None:
    spec = card.decoder
    if spec.kind not in KINDS:
        raise CardError(f"{path}: decoder kind {spec.kind!r} is unknown; expected one of {', '.join(KINDS)}")
    shares = ("enter_probability", "smoothing", "commit_probability")
    for name, value, most in [*((name, getattr(spec, name), 1.0) for name in shares), ("temper", spec.temper, 10.0)]:
        if not 0 <= value <= most:
            raise CardError(f"{path}: decoder {name} is {value}; expected 0 to {most:g}")
    for name in ("boundary_gain", "boundary_offset"):
        if not math.isfinite(getattr(spec, name)):
            raise CardError(f"{path}: decoder {name} is {getattr(spec, name)}; expected a finite value")
    delay: Any = spec.boundary_delay_ticks  # JSON may hold a float
    if not (isinstance(delay, int) and 0 <= delay <= card.lag_ticks):
        raise CardError(f"{path}: decoder boundary_delay_ticks is {delay}; expected 0 to lag_ticks, {card.lag_ticks}")
    if spec.priors is None:
        if spec.kind == "duration":
            raise CardError(f"{path}: decoder duration has no priors; expected those that training fitted")
    elif fault := priors_fault(spec.priors, len(card.vocabulary)):
        raise CardError(f"{path}: decoder priors: {fault}")
