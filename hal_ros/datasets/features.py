"""The frozen encoder run once over an episode's pictures; training then reads features, never pixels."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hal_ros.datasets import episodes

if TYPE_CHECKING:
    from hal_ros.runtime.encode import PictureEncoder

Features = NDArray[np.float16]
"""(T, D), memory-mapped."""


def path_of(folder: Path, encoder: Path) -> Path:
    """Return where an episode's features by this encoder lie, or will."""
    return folder / f"features-{_digest(encoder)}.npy"


@cache
def _digest(encoder: Path) -> str:
    return hashlib.sha256(encoder.read_bytes()).hexdigest()[:16]


def cached(folder: Path, encoder: Path) -> Path:
    """Return the feature file in a cached episode's folder, running encoder.onnx over its pictures unless done.

    A held tick has its picture's feature; a tick without a picture has zeros.
    """
    path = path_of(folder, encoder)
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}.unfinished")  # two trainings may share a cache
        with unfinished.open("wb") as file:
            np.save(file, _encode(episodes.load(folder), encoder))
        unfinished.replace(path)
    return path


def load(path: Path) -> Features:
    """Map a feature file into memory, (T, D) float16."""
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]


def _encode(episode: episodes.Episode, encoder: Path) -> Features:
    opened = _opened(encoder)
    features = np.zeros((len(episode.stamp_ns), opened.feature_dim), np.float16)
    for tick in range(len(features)):
        if episode.held[tick]:
            features[tick] = features[tick - 1]
        elif episode.image_valid[tick]:
            features[tick] = opened.encode(episode.images[tick])
    return features


@cache
def _opened(encoder: Path) -> PictureEncoder:
    from hal_ros.runtime.encode import PictureEncoder  # late: reading features needs no ONNX Runtime

    return PictureEncoder(encoder)
