"""What is right to answer, wherever it comes from: annotations, transcripts aligned with the clips, marks, tools."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.arrays import FloatArray
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.encoded_clips import EncodedClip
from hal_ros.outside import outputs
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
    weights: Mapping[str, FloatArray] = field(
        default_factory=dict
    )  # (T,) of training clips, where some ticks count less

    def weight(self, name: str) -> FloatArray:
        """Return how much each tick of a training clip counts, (T,) within [0, 1]: 0 where nothing is known."""
        if name in self.weights:
            return self.weights[name]
        if name in self.soft:
            return np.ones(len(self.soft[name]), np.float32)
        return (self.training[name] != NO_ACTION).astype(np.float32)


def of_annotations(
    training: Sequence[Clip] | Sequence[EncodedClip], validation: Sequence[Clip] | Sequence[EncodedClip]
) -> Targets:
    """Return what a person wrote."""
    return Targets({clip.name: clip.actions for clip in training}, {clip.name: clip.actions for clip in validation}, {})


def save_targets(folder: Path, labels: Targets) -> None:
    """Write labels.npz."""
    columns: dict[str, Any] = {}
    for part in dataclasses.fields(labels):
        kind = np.float32 if part.name in ("soft", "weights") else np.int64
        for name, values in getattr(labels, part.name).items():
            columns[f"{part.name}/{name}"] = np.asarray(values, kind)
    outputs.write_whole(folder / LABELS, lambda file: np.savez(file, **columns))


def load_targets(folder: Path) -> Targets:
    """Read what save_targets wrote; files of older runs hold no weights. DatasetError for what is none."""
    parts: dict[str, dict[str, NDArray[Any]]] = {part.name: {} for part in dataclasses.fields(Targets)}
    for key, values in read_arrays(folder / LABELS, LABELS_OF_A_RUN).items():
        part, _, name = key.partition("/")
        dims, kind = {"soft": (2, "f"), "weights": (1, "f")}.get(part, (1, "i"))
        if part not in parts or values.ndim != dims or values.dtype.kind != kind:
            raise DatasetError(f"{folder / LABELS}: {key} is {values.dtype} of shape {values.shape}; expected labels")
        parts[part][name] = values
    return Targets(**parts)
