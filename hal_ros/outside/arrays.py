"""NumPy's .npz files of others: no objects in them, no larger unpacked than is said, and no header that lies."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from hal_ros.outside.reading import MIB, Expected, opened

MOST_ARRAYS = 100_000
ENDING = ".npy"
SMALL_BYTES, MOST_INFLATED = 64 * MIB, 50
"""What is larger unpacked than the one, is at most so many times larger than packed."""


def read_arrays(path: Path, expected: Expected, names: Collection[str] = ()) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file by name, all or those named; together at most `expected.most_bytes`.

    Raises what `expected` says, also for a name that is not there, and for arrays of objects, which could run code.
    """
    with opened(path, expected) as file, zipfile.ZipFile(file) as stored:
        entries = {entry.filename.removesuffix(ENDING): entry for entry in stored.infolist()}
        if len(entries) > MOST_ARRAYS:
            raise ValueError(f"holds {len(entries)} arrays")
        wanted = {name: entries[name] for name in names or entries}
        packed = sum(entry.compress_size for entry in wanted.values())
        most_bytes = min(expected.most_bytes, max(SMALL_BYTES, MOST_INFLATED * packed))
        if (unpacked := sum(entry.file_size for entry in wanted.values())) > most_bytes:
            raise ValueError(f"unpacks from {packed} to {unpacked} bytes, expected at most {most_bytes}")
        found = {}
        for name, entry in wanted.items():
            with stored.open(entry) as stream:
                found[name] = _read(name, stream, entry.file_size)
        return found


def _read(name: str, stream: IO[bytes], size: int) -> NDArray[Any]:
    version = npy.read_magic(stream)  # type: ignore[no-untyped-call]
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran_order, dtype = read_header(stream)  # type: ignore[no-untyped-call]
    if dtype.hasobject:
        raise ValueError(f"{name} holds objects, which only pickle reads")
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count * dtype.itemsize > size:
        raise ValueError(f"{name} of shape {shape} does not fit into its {size} bytes")
    content = memoryview(bytearray(count * dtype.itemsize))
    filled = 0
    while got := stream.readinto(content[filled:] or bytearray(1)):  # type: ignore[attr-defined]  # ZipExtFile has it
        filled += got
        if filled > len(content):
            raise ValueError(f"{name} is longer than it says")
    if filled < len(content):
        raise ValueError(f"{name} ends early")
    array = np.frombuffer(content, dtype, count)
    return array.reshape(shape, order="F" if fortran_order else "C")
