"""Memory on the GPU and beside it: blocks of named tensors, and one list of all that must be given back."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.errors import BackendError
from hal_ros.tensorrt.cudart import DEVICE_TO_HOST, HOST_TO_DEVICE, Cudart

ALIGNMENT = 256
"""Bytes. cudaMalloc aligns so, and TensorRT picks kernels that rely on it for each of its tensors."""


class TensorSpec(NamedTuple):
    """Name, shape and type of one tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Bytes of its values."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class Resources:
    """What was taken from CUDA. `close` gives all of it back, the newest first."""

    def __init__(self, cuda: Cudart) -> None:
        self.cuda = cuda
        self._returns: list[Callable[[], None]] = []

    def malloc(self, size: int) -> int:
        """Return the address of device memory."""
        return self._kept(self.cuda.malloc(size), self.cuda.free)

    def host_alloc(self, size: int) -> int:
        """Return the address of pinned host memory."""
        return self._kept(self.cuda.host_alloc(size), self.cuda.free_host)

    def create_stream(self) -> int:
        """Return a new non-blocking stream."""
        return self._kept(self.cuda.create_stream(), self.cuda.destroy_stream)

    def instantiate(self, graph: int) -> int:
        """Return the graph ready for launches; the graph itself is given back at once."""
        try:
            return self._kept(self.cuda.instantiate(graph), self.cuda.destroy_executable)
        finally:
            self.cuda.destroy_graph(graph)

    @contextlib.contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Give back what was taken inside when it fails with BackendError."""
        kept = len(self._returns)
        try:
            yield
        except BackendError:
            self.close(kept)
            raise

    def close(self, kept: int = 0) -> None:
        """Give back all but the oldest `kept`; a failed device takes nothing, and frees it when the process ends."""
        while len(self._returns) > kept:
            with contextlib.suppress(BackendError):
                self._returns.pop()()

    def _kept(self, handle: int, give_back: Callable[[int], None]) -> int:
        self._returns.append(lambda: give_back(handle))
        return handle


class DeviceBlock:
    """Several tensors in one piece of device memory: one memset or copy reaches them all."""

    def __init__(self, resources: Resources, specs: Iterable[TensorSpec]) -> None:
        self.offsets, self.size = _places(specs)
        self.address = resources.malloc(self.size)
        self._cuda = resources.cuda

    def addresses(self) -> Iterator[tuple[str, int]]:
        """Yield each tensor's name and address."""
        return ((name, self.address + offset) for name, offset in self.offsets.items())

    def clear(self, stream: int) -> None:
        """Fill with zeros, in the stream's order."""
        self._cuda.memset_async(self.address, 0, self.size, stream)


class StagedBlock(DeviceBlock):
    """A device block and its pinned copy on the host; `arrays` are the copy's tensors, valid as long as `resources`."""

    def __init__(self, resources: Resources, specs: Iterable[TensorSpec]) -> None:
        specs = list(specs)
        super().__init__(resources, specs)
        self._host = resources.host_alloc(self.size)
        raw = np.ctypeslib.as_array((ctypes.c_uint8 * self.size).from_address(self._host))
        raw[:] = 0
        self.arrays: Mapping[str, NDArray[Any]] = {
            spec.name: _array(raw, self.offsets[spec.name], spec) for spec in specs
        }

    def upload(self, stream: int) -> None:
        """Copy all tensors to the device, in the stream's order; leave `arrays` alone until then."""
        self._cuda.copy_async(self.address, self._host, self.size, HOST_TO_DEVICE, stream)

    def download(self, stream: int) -> None:
        """Copy all tensors to the host, in the stream's order; read `arrays` after synchronising."""
        self._cuda.copy_async(self._host, self.address, self.size, DEVICE_TO_HOST, stream)


def read_back(cuda: Cudart, block: DeviceBlock, stream: int) -> bytes:
    """Return all bytes of a device block, once the stream's work is done."""
    host = cuda.host_alloc(block.size)
    try:
        cuda.copy_async(host, block.address, block.size, DEVICE_TO_HOST, stream)
        cuda.synchronize(stream)
        return ctypes.string_at(host, block.size)
    finally:
        cuda.free_host(host)


def _places(specs: Iterable[TensorSpec]) -> tuple[dict[str, int], int]:
    offsets, end = {}, 0
    for spec in specs:
        offsets[spec.name] = end
        end += -(-max(spec.size, 1) // ALIGNMENT) * ALIGNMENT
    return offsets, max(end, ALIGNMENT)


def _array(raw: NDArray[np.uint8], offset: int, spec: TensorSpec) -> NDArray[Any]:
    return raw[offset : offset + spec.size].view(spec.dtype).reshape(spec.shape)
