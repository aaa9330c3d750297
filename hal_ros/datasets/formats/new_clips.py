"""Feature files of new clips, which nobody has labelled: read for a model that knows how wide they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.errors import DatasetError
from hal_ros.datasets.formats.layout_features import open_features
from hal_ros.datasets.formats.layout_files import shown
from hal_ros.outside import outputs


@dataclass(frozen=True)
class NewClip:
    """One file: features (T, D) at their full rate, NaN where a value is missing, and how many are."""

    name: str
    features: NDArray[np.floating[Any]]
    missing: int


def read_new_clips(paths: Sequence[Path], width: int, orientation: str) -> Iterator[NewClip]:
    """Yield the clips of files that hold (T, D) or (D, T), of folders all .npy files; D is `width`.

    `orientation`, TD or DT, is that of the training's files: it tells where T = D. All are looked at before the first
    one is given out. Raises DatasetError for a path that holds none, two of one name, what is no array of numbers in
    two dimensions, another width, and a clip without a single finite value.
    """
    files = [file for path in paths for file in _files(path)]
    if twice := [name for name, count in Counter(file.stem for file in files).items() if count > 1]:
        raise DatasetError(f"{len(twice)} names stand for several clips: {shown(twice)}; expected one file each")
    opened = {file: _turned(file, width, orientation) for file in files}
    missing = {file: _missing(file, features) for file, features in opened.items()}
    return (NewClip(file.stem, features, missing[file]) for file, features in opened.items())


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise DatasetError(f"{path}: no such file; expected features as np.save writes them")
    found = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    if not found:
        raise DatasetError(f"{path}: holds no .npy file; expected features as np.save writes them")
    return found


def _turned(path: Path, width: int, orientation: str) -> NDArray[np.floating[Any]]:
    array = open_features(path)
    time_first = array.shape[1] == width
    if time_first and array.shape[0] == width:
        time_first = orientation == "TD"
    elif not time_first and array.shape[0] != width:
        raise DatasetError(f"{path}: shape {array.shape}; expected (T, {width}) or ({width}, T), as the model learned")
    return array if time_first else array.T


def _missing(path: Path, features: NDArray[np.floating[Any]]) -> int:
    with np.errstate(over="ignore"):  # what single precision does not hold is missing to every model
        missing = int((~np.isfinite(np.asarray(features, np.float32))).sum())
    if missing == features.size:
        raise DatasetError(f"{path}: holds no finite value; expected features, NaN where one is missing")
    return missing


def write_labels(folder: Path, name: str, labels: Sequence[str]) -> Path:
    """Write <folder>/<name>.txt, one action's name a frame, as a ground truth has it; returns the file."""
    path = folder / f"{name}.txt"
    text = "".join(f"{label}\n" for label in labels)
    outputs.replace_text(path, text, lambda old: old.read_bytes() == text.encode(), "the same labels")
    return path
