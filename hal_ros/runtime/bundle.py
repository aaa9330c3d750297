"""Bundles on disk: card.json beside encoder.onnx, step.onnx and golden.npz, every file under its SHA-256.

The graphs may lie there a second time in half precision, for GPUs, and the weights once more for the torch back end.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from hal_ros.core.card import ModelCard
from hal_ros.core.errors import CardError
from hal_ros.outside.reading import MIB, Expected, opened, parse_json, read_bytes, reading
from hal_ros.runtime.card_json import FORMAT, parse_card

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
CARD_FILE = Expected(CardError, "the card of a bundle", 4 * MIB)
BUNDLE_FILE = Expected(CardError, "a file of a bundle", 2048 * MIB)
"""No graph is larger: protobuf's own limit."""


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
    """Return the SHA-256 of a file in hexadecimal; CardError for what is no regular file, or too large for a bundle."""
    digest = hashlib.sha256()
    with opened(path, BUNDLE_FILE) as file:
        while piece := file.read(MIB):
            digest.update(piece)
    return digest.hexdigest()


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
    raw = read_bytes(folder / CARD, CARD_FILE)
    card = _parsed(raw, folder / CARD)
    for name, expected in card.files.items():
        _verify(folder / name, expected)
    return Bundle(card, folder, hashlib.sha256(raw).hexdigest())


def read_card(folder: Path) -> ModelCard:
    """Read a bundle's card, and none of the files it names. Raises CardError."""
    return _parsed(read_bytes(folder / CARD, CARD_FILE), folder / CARD)


def _parsed(raw: bytes, path: Path) -> ModelCard:
    with reading(path, CARD_FILE):
        return parse_card(parse_json(raw), path)


def bundle_metadata(bundle: Bundle) -> dict[str, dict[str, str]]:
    """Return the metadata record of a bag that says which bundle the answers in it are from, with its card's text."""
    card = (bundle.folder / CARD).read_text(encoding="utf-8")
    return {"bundle": {"name": bundle.card.name, "sha256": bundle.sha256, "card": card}}


def _verify(path: Path, expected: str) -> None:
    actual = file_sha256(path)
    if actual != expected:
        raise CardError(f"{path}: SHA-256 is {actual[:12]}…, the card says {expected[:12]}…; the file was changed")
