"""The frozen encoder run once over an episode's pictures; training then reads features, never pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from hal_ros.core.arrays import FloatArray
from hal_ros.core.errors import DatasetError
from hal_ros.datasets import episodes
from hal_ros.outside import outputs
from hal_ros.outside.reading import Expected, reading

if TYPE_CHECKING:
    from hal_ros.runtime.encode import PictureEncoder

LARGEST = float(np.finfo(np.float16).max)
"""What features may hold."""
CACHED = Expected(DatasetError, "features of the cache; delete it, it is made anew")
Features = NDArray[np.float16]
"""(T, D), memory-mapped."""


def paths_of(folder: Path, encoder: Path, cameras: Sequence[str]) -> tuple[Path, ...]:
    """Return where an episode's features by this encoder lie, or will: one file for each camera, in their order.

    The only camera's file has no name in it, so that what was encoded before there could be several is found.
    """
    names = cameras if len(cameras) > 1 else ("",) * len(cameras)
    return tuple(folder / f"features-{_digest(encoder)}{'-' * bool(name)}{name}.npy" for name in names)


@cache
def _digest(encoder: Path) -> str:
    return hashlib.sha256(encoder.read_bytes()).hexdigest()[:16]


def cached(folder: Path, encoder: Path, cameras: Sequence[str]) -> tuple[Path, ...]:
    """Return the feature files in a cached episode's folder, running encoder.onnx over its pictures unless done.

    A held tick has its picture's feature; a tick without a picture has zeros.
    """
    paths = paths_of(folder, encoder, cameras)
    if not all(path.exists() for path in paths):
        episode = episodes.load(folder)
        for camera, path in zip(cameras, paths, strict=True):
            if not path.exists():
                _write(path, _encode(episode, camera, encoder))
    return paths


def _write(path: Path, features: Features) -> None:
    outputs.write_whole(path, lambda file: np.save(file, features))  # two trainings may share a cache


def load(path: Path) -> Features:
    """Map a feature file into memory, (T, D) float16. Raises DatasetError for a damaged one."""
    with reading(path, CACHED):
        features: Features = open_memmap(path, mode="r")  # type: ignore[no-untyped-call]  # np.load takes archives
        if features.ndim != 2 or features.dtype != np.float16:
            raise ValueError(f"is {features.dtype} of shape {features.shape}")
        return features


def _encode(episode: episodes.Episode, camera: str, encoder: Path) -> Features:
    """Return a camera's features (T, D). A picture that stays for several ticks, as a slow camera's do, is run once."""
    opened, images = _opened(encoder), episode.images[camera]
    image_valid = episode.image_valid[:, list(episode.images).index(camera)]
    features = np.zeros((len(episode.stamp_ns), opened.feature_dim), np.float16)
    last = -1  # the tick with the last new picture
    for tick in range(len(features)):
        if episode.held[tick]:
            features[tick] = features[tick - 1]
        elif image_valid[tick] and last >= 0 and np.array_equal(images[tick], images[last]):
            features[tick] = features[last]
        elif image_valid[tick]:
            features[tick], last = _storable(opened.encode(images[tick]), episode.name, camera), tick
    return features


def _storable(feature: FloatArray, name: str, camera: str) -> FloatArray:
    """Return the feature; DatasetError for values that half precision does not hold."""
    if not (largest := np.abs(feature).max()) <= LARGEST:
        raise DatasetError(
            f"episode {name}, {camera}: the encoder gives {largest:g}; expected finite values within +-{LARGEST:g}"
        )
    return feature


@cache
def _opened(encoder: Path) -> PictureEncoder:
    from hal_ros.runtime.encode import PictureEncoder  # late: reading features needs no ONNX Runtime

    return PictureEncoder(encoder)
