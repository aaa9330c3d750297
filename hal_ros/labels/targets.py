"""What is right to answer, wherever it comes from: the annotation, or transcripts aligned with the clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.errors import DatasetError
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.encoded_clips import EncodedClip
from hal_ros.outside.arrays import read_arrays
from hal_ros.outside.reading import MIB, Expected

LABELS = "labels.npz"
LABELS_OF_A_RUN = Expected(DatasetError, "labels of a run", 2048 * MIB)


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
    """Read what save_targets wrote; DatasetError for a file that holds anything else."""
    parts: dict[str, dict[str, NDArray[Any]]] = {part.name: {} for part in dataclasses.fields(Targets)}
    for key, values in read_arrays(folder / LABELS, LABELS_OF_A_RUN).items():
        part, _, name = key.partition("/")
        dims, kind = (2, "f") if part == "soft" else (1, "i")
        if part not in parts or values.ndim != dims or values.dtype.kind != kind:
            raise DatasetError(f"{folder / LABELS}: {key} is {values.dtype} of shape {values.shape}; expected labels")
        parts[part][name] = values
    return Targets(**parts)
