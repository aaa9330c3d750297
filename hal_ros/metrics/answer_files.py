"""A trained system's answers to every clip of a split, as a file: enough to decode and score it again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.arrays import FloatArray
from hal_ros.core.errors import DatasetError
from hal_ros.outside.arrays import read_arrays
from hal_ros.outside.reading import MIB, Expected, reading

ANSWERS = Expected(DatasetError, "stored answers", 4096 * MIB)


@dataclass(frozen=True)
class ClipAnswers:
    """One clip, T ticks and K actions. A system that sees the whole clip before it answers has no lagged answers."""

    name: str
    truth: NDArray[np.int64]  # (T,) annotation, NO_ACTION where there is none; read by scores alone
    targets: NDArray[np.int64]  # (T,) what choices are made by: aligned labels, or the annotation; (0,) where none
    transcript: tuple[int, ...]  # () when unknown
    log_probs: FloatArray  # (T, K)
    lagged_log_probs: FloatArray  # (T, K), row t speaks of tick t - lag; (0, K) where there are none
    boundary: FloatArray  # (T,) in [0, 1]; NaN where the system has no boundary head

    @property
    def offline(self) -> bool:
        """Tell whether the system sees the whole clip before it answers."""
        return not len(self.lagged_log_probs)


ARRAYS = ("truth", "targets", "transcript", "log_probs", "lagged_log_probs", "boundary")


def save(path: Path, clips: Sequence[ClipAnswers]) -> None:
    """Write one file; log-probabilities as float32."""
    columns: dict[str, Any] = {}
    for index, clip in enumerate(clips):
        for field in ARRAYS:
            value = np.asarray(getattr(clip, field))
            exact = field in ("truth", "targets", "transcript")
            columns[f"{index}/{field}"] = value.astype(np.int64 if exact else np.float32)
    columns["names"] = np.array([clip.name for clip in clips], dtype=str)
    with path.open("wb") as file:  # np.savez would add an ending to the name
        np.savez(file, **columns)


def load(path: Path) -> list[ClipAnswers]:
    """Read what save wrote. Raises DatasetError naming the file."""
    file = read_arrays(path, ANSWERS)
    with reading(path, ANSWERS):
        clips = []
        for index, name in enumerate(file["names"].tolist()):
            columns: dict[str, Any] = {field: file[f"{index}/{field}"] for field in ARRAYS}
            columns["transcript"] = tuple(columns["transcript"].tolist())
            clips.append(ClipAnswers(name, **columns))
        return clips
