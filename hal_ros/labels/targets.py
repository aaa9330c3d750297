"""What is right to answer, wherever it comes from: the annotation, or transcripts aligned with the clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_ros.datasets.clips import Clip
from hal_ros.datasets.encoded_clips import EncodedClip

LABELS = "labels.npz"


@dataclass(frozen=True)
class Targets:
    """What is right to answer, by clip name: action ids (T,) of training and validation clips, and probabilities."""

    training: Mapping[str, NDArray[np.int64]]
    validation: Mapping[str, NDArray[np.int64]]
    soft: Mapping[str, NDArray[Any]]  # (T, K) of training clips; empty where the ids are sure


def of_annotations(
    training: Sequence[Clip] | Sequence[EncodedClip], validation: Sequence[Clip] | Sequence[EncodedClip]
) -> Targets:
    """Return what a person wrote."""
    return Targets({clip.name: clip.actions for clip in training}, {clip.name: clip.actions for clip in validation}, {})


def save_targets(folder: Path, labels: Targets) -> None:
    """Write labels.npz."""
    columns: dict[str, Any] = {}
    for part in dataclasses.fields(labels):
        for name, values in getattr(labels, part.name).items():
            columns[f"{part.name}/{name}"] = np.asarray(values, np.float32 if part.name == "soft" else np.int64)
    with (folder / LABELS).open("wb") as file:
        np.savez(file, **columns)


def load_targets(folder: Path) -> Targets:
    """Read what save_targets wrote."""
    parts: dict[str, dict[str, NDArray[Any]]] = {part.name: {} for part in dataclasses.fields(Targets)}
    with np.load(folder / LABELS) as file:
        for key in file.files:
            part, _, name = key.partition("/")
            parts[part][name] = file[key]
    return Targets(**parts)
