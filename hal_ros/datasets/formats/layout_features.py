"""Feature files of the published layouts: opened without reading them, and which of their dimensions is time."""

from __future__ import annotations

import resource
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.errors import DatasetError
from hal_ros.datasets.formats.layout_files import shown

Orientation = Literal["TD", "DT"]
"""Which way round a file is: (T, D), time first, or (D, T)."""
ORIENTATIONS: tuple[Orientation, ...] = ("TD", "DT")
OTHER_FILES = 256  # what a process may have open beside the features
UNREADABLE = (OSError, ValueError, EOFError, ArithmeticError, MemoryError, tokenize.TokenError)
"""What np.load raises for a file that is cut off, of another kind, or has a header that says absurd things."""
ARCHIVE = b"PK"


@dataclass(frozen=True)
class Features:
    """The features of all clips of a dataset, time first, and what was found out about them."""

    arrays: dict[str, NDArray[Any]]  # name: (T, D), memory-mapped
    orientation: Orientation
    notes: tuple[str, ...]


def read_features(paths: Mapping[str, Path], lengths: Mapping[str, int], max_clip: int, asked: str) -> Features:
    """Open every clip's features (`paths`, by name) and turn them time first.

    `lengths` are the frames of the clips that have a ground truth. `asked` is an orientation or "auto": see
    `find_orientation`. Raises DatasetError for a file that is no array of numbers in two dimensions or holds no frame.
    """
    notes = _allow_open_files(len(paths))
    raw = {name: _open(path) for name, path in paths.items()}
    shapes = {name: (array.shape[0], array.shape[1]) for name, array in raw.items()}
    orientation, reason = find_orientation(shapes, lengths, max_clip, asked)
    arrays = {name: array if orientation == "TD" else array.T for name, array in raw.items()}
    first = next(iter(arrays.values()))
    dtypes = ", ".join(sorted({str(array.dtype) for array in raw.values()}))
    layout = "(T, D)" if orientation == "TD" else "(D, T)"
    notes = [f"features: {layout} with D = {first.shape[1]}, {dtypes}; {reason}", *notes]
    copied = sum(not np.issubdtype(array.dtype, np.floating) for array in raw.values())
    if copied:
        notes.append(f"features: {copied} files hold integers; read into memory as floating point")
        arrays = {name: _as_floating(array) for name, array in arrays.items()}
    return Features(arrays, orientation, tuple(notes))


def open_features(path: Path) -> NDArray[np.floating[Any]]:
    """Open one file, memory-mapped unless it holds integers.

    Raises DatasetError for what is no array of numbers in two dimensions, and for one without a frame.
    """
    array = _open(path)
    return array if np.issubdtype(array.dtype, np.floating) else _as_floating(array)


def _open(path: Path) -> NDArray[Any]:
    try:
        if not path.is_file():  # a pipe would wait for whoever writes it
            raise DatasetError(f"{path}: no regular file; expected features as np.save writes")
        with path.open("rb") as file:
            archive = file.read(len(ARCHIVE)) == ARCHIVE
        if archive:  # np.load would leave the file of a broken one open
            raise DatasetError(f"{path}: an archive of arrays; expected one array, as np.save writes it")
        with np.errstate(over="raise"):  # of the sizes in the header
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except UNREADABLE as error:
        raise DatasetError(f"{path}: no readable .npy file ({error}); expected features as np.save writes") from error
    if array.ndim != 2:
        raise DatasetError(f"{path}: shape {array.shape}; expected two dimensions, (T, D) or (D, T)")
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise DatasetError(f"{path}: dtype {array.dtype}; expected floating point numbers or integers")
    if 0 in array.shape:
        raise DatasetError(f"{path}: shape {array.shape} holds no value; expected one frame or more")
    return array


def _as_floating(array: NDArray[Any]) -> NDArray[np.floating[Any]]:
    # The smallest floating point type that holds every integer of the file's type (int64: of 53 bits) exactly.
    return array.astype(np.result_type(array.dtype, np.float16))


def _allow_open_files(count: int) -> list[str]:
    """Raise this process' limit of open files if need be: each memory map holds one as long as it lives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + OTHER_FILES
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return []
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise DatasetError(
            f"{count} feature files, but a process may open {hard}; expected `ulimit -Hn {needed}` or more"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return [f"features: {count} files are open at once; this process' limit was raised from {soft} to {needed}"]


# --- orientation ------------------------------------------------------------------------------------------------------


def find_orientation(
    shapes: Mapping[str, tuple[int, int]], lengths: Mapping[str, int], max_clip: int, asked: str
) -> tuple[Orientation, str]:
    """Return which way round all files are, and why.

    D is the same in all clips of a dataset: if only one of the two dimensions is, the other one is time. If both are
    (one clip, or clips of one length), time is the one that fits the ground truth within `max_clip` frames.
    Raises DatasetError where neither dimension stays the same, and where both or neither fit: then it has to be asked.
    """
    if asked not in ("auto", *ORIENTATIONS):
        raise DatasetError(f"orientation '{asked}'; expected auto, {' or '.join(ORIENTATIONS)}")
    steady = [orientation for orientation in ORIENTATIONS if len(_dimensions(shapes, orientation)) == 1]
    if asked != "auto":
        orientation: Orientation = "TD" if asked == "TD" else "DT"
        if orientation not in steady:
            raise DatasetError(
                f"features read as {orientation} have D = {_counts(shapes, orientation)}; expected one D"
            )
        return orientation, "as asked for"
    if not steady:
        counts = "; ".join(f"{way}: D = {_counts(shapes, way)}" for way in ORIENTATIONS)
        raise DatasetError(f"features have no dimension in common ({counts}); expected the same D in all clips")
    if len(steady) == 1:
        return steady[0], "the dimension that all clips share is D"
    fitting = [way for way in ORIENTATIONS if _fits(shapes, lengths, max_clip, way)] if lengths else steady
    if len(fitting) != 1:
        shape = next(iter(shapes.values()))
        fit = "both dimensions fit" if len(fitting) == 2 else "neither dimension fits"
        raise DatasetError(
            f"features of all {len(shapes)} clips are {shape} and {fit} the {len(lengths)} ground truths; "
            "expected to be told the orientation, TD for (T, D) or DT for (D, T)"
        )
    return fitting[0], "the dimension that fits the ground truth is T"


def _dimensions(shapes: Mapping[str, tuple[int, int]], orientation: Orientation) -> dict[int, int]:
    """Return each D that the files would have this way round, and in how many files; the most frequent first."""
    counts: dict[int, int] = {}
    for shape in shapes.values():
        dimension = shape[orientation.index("D")]
        counts[dimension] = counts.get(dimension, 0) + 1
    return dict(sorted(counts.items(), key=lambda entry: -entry[1]))


def _counts(shapes: Mapping[str, tuple[int, int]], orientation: Orientation) -> str:
    dimensions = _dimensions(shapes, orientation)
    return shown([f"{dimension} ({count} files)" for dimension, count in dimensions.items()])


def _fits(
    shapes: Mapping[str, tuple[int, int]], lengths: Mapping[str, int], max_clip: int, orientation: Orientation
) -> bool:
    time = orientation.index("T")
    return all(abs(shapes[name][time] - length) <= max_clip for name, length in lengths.items())
