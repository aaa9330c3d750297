# ruff: noqa: N802 - functions have CUDA's own names
"""A libcudart whose device memory is the host's: what is given to a stream is done at the next synchronisation.

It stands below `hal_ros.tensorrt.cudart.Cudart`, in place of the C library, and is stricter than CUDA where CUDA leaves
things undefined: reading results before synchronising finds the old ones, memory begins as rubbish, and every address
must lie inside a live allocation of the right kind.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, NO_DRIVER, NO_DEVICE, INVALID_HANDLE = 0, 1, 2, 35, 100, 400
STICKY = frozenset((226, 700, 702, 710, 714, 715, 716, 717, 718, 719, 721, 810, 911))
ILLEGAL_ADDRESS, CAPTURE_UNSUPPORTED, CAPTURE_INVALIDATED = 700, 900, 901
TEXTS = {
    INVALID_VALUE: ("cudaErrorInvalidValue", "invalid argument"),
    OUT_OF_MEMORY: ("cudaErrorMemoryAllocation", "out of memory"),
    NO_DRIVER: ("cudaErrorInsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version"),
    NO_DEVICE: ("cudaErrorNoDevice", "no CUDA-capable device is detected"),
    INVALID_HANDLE: ("cudaErrorInvalidResourceHandle", "invalid resource handle"),
    ILLEGAL_ADDRESS: ("cudaErrorIllegalAddress", "an illegal memory access was encountered"),
    CAPTURE_UNSUPPORTED: ("cudaErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing"),
    CAPTURE_INVALIDATED: ("cudaErrorStreamCaptureInvalidated", "operation failed due to a previous error"),
}
ALIGNMENT = 256  # of cudaMalloc
RUBBISH = 0xFF  # a float of such bytes is not a number

Work = Callable[[], None]


class CudaError(Exception):
    """Ends a call with this code. Raised by work on a stream it stays: all calls after it fail."""

    def __init__(self, code: int) -> None:
        super().__init__(TEXTS[code][1])
        self.code = code


@dataclass(frozen=True)
class FakeDevice:
    """What the fake says of itself; an Orin by default."""

    name: str = "Orin"
    compute_capability: tuple[int, int] = (8, 7)
    multiprocessors: int = 16
    integrated: bool = True
    driver_version: int = 12060
    runtime_version: int = 12060
    memory_bytes: int = 8 << 30


@dataclass
class Block:
    """Memory at an address."""

    address: int
    size: int
    pinned: bool
    buffer: Any  # keeps it alive


@dataclass
class Stream:
    """Work that waits, and what is being captured instead of done."""

    waiting: list[Work] = field(default_factory=list)
    captured: list[Work] | None = None
    spoilt: bool = False  # something forbidden happened while capturing


class FakeGpu:
    """The device behind the library. `launches` counts graphs, `executions` engines that ran, in any way."""

    def __init__(self, device: FakeDevice | None = None, code: int = SUCCESS, capture: str = "") -> None:
        """Answer every call with `code` if it is not 0; `capture` is "refuse" or "differ" for graphs that fail."""
        self.device = device or FakeDevice()
        self.capture = capture
        self.blocks: dict[int, Block] = {}
        self.streams: dict[int, Stream] = {}
        self.graphs: dict[int, list[Work]] = {}
        self.executables: dict[int, list[Work]] = {}
        self.launches = 0
        self.executions = 0
        self.copies: Counter[int] = Counter()  # by cudaMemcpyKind
        self.in_graph = False  # while a graph's work is done
        self.last_error = SUCCESS
        self._broken = code
        self._next_handle = 0x7F0000000001  # like pointers, such handles do not fit into 32 bits

    @property
    def broken(self) -> int:
        """The code that every call is answered with, 0 for none. One of STICKY stays until the process ends."""
        return self._broken

    @broken.setter
    def broken(self, code: int) -> None:
        assert self._broken not in STICKY or code == self._broken, f"CUDA error {self._broken} does not go by itself"
        self._broken = code

    # --- for the fake TensorRT and for tests --------------------------------------------------------------------------

    def handle(self) -> int:
        """Return a new handle, larger than 32 bits."""
        self._next_handle += 16
        return self._next_handle

    def give(self, stream: int, work: Work) -> None:
        """Queue work, or write it down while the stream captures."""
        target = self._stream(stream)
        (target.waiting if target.captured is None else target.captured).append(work)

    def is_capturing(self, stream: int) -> bool:
        """Tell whether the stream's work is written down instead of done."""
        return self._stream(stream).captured is not None

    def view(self, address: int, size: int, pinned: bool = False) -> NDArray[np.uint8]:
        """Return the bytes at an address; CudaError when they are not inside one live block of that kind."""
        for block in self.blocks.values():
            if block.pinned == pinned and block.address <= address and address + size <= block.address + block.size:
                return np.frombuffer(memoryview((ctypes.c_uint8 * size).from_address(address)), np.uint8)
        raise CudaError(INVALID_VALUE if pinned else ILLEGAL_ADDRESS)

    def live(self) -> dict[str, int]:
        """Count what was made and not given back."""
        return {
            "blocks": len(self.blocks),
            "streams": len(self.streams),
            "graphs": len(self.graphs),
            "executables": len(self.executables),
        }

    def bytes_in_use(self, pinned: bool = False) -> int:
        """Return how much memory is allocated."""
        return sum(block.size for block in self.blocks.values() if block.pinned == pinned)

    # --- the functions; pointers that are written to come as ctypes objects, all else as int --------------------------

    def cudaGetDeviceCount(self, count: Any) -> None:
        count.value = 1

    def cudaGetDeviceProperties(self, properties: int, device: int) -> None:
        assert device == 0
        ctypes.memmove(properties, self.device.name.encode() + b"\0", len(self.device.name.encode()) + 1)

    def cudaDeviceGetAttribute(self, value: Any, attribute: int, device: int) -> None:
        major, minor = self.device.compute_capability
        known = {16: self.device.multiprocessors, 18: int(self.device.integrated), 75: major, 76: minor}
        if attribute not in known or device != 0:
            raise CudaError(INVALID_VALUE)
        value.value = known[attribute]

    def cudaMemGetInfo(self, free: Any, total: Any) -> None:
        free.value, total.value = self.device.memory_bytes - self.bytes_in_use(), self.device.memory_bytes

    def cudaDriverGetVersion(self, version: Any) -> None:
        version.value = self.device.driver_version

    def cudaRuntimeGetVersion(self, version: Any) -> None:
        version.value = self.device.runtime_version

    def cudaMalloc(self, pointer: Any, size: int) -> None:
        self._forbid_while_capturing()
        if self.bytes_in_use() + size > self.device.memory_bytes:
            raise CudaError(OUT_OF_MEMORY)
        pointer.value = self._allocate(size, pinned=False)

    def cudaHostAlloc(self, pointer: Any, size: int, flags: int) -> None:
        self._forbid_while_capturing()
        assert flags == 0
        pointer.value = self._allocate(size, pinned=True)

    def cudaFree(self, address: int) -> None:
        self._forbid_while_capturing()
        self._release(address, pinned=False)

    def cudaFreeHost(self, address: int) -> None:
        self._forbid_while_capturing()
        self._release(address, pinned=True)

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, stream: int) -> None:
        if kind not in (1, 2, 3):
            raise CudaError(INVALID_VALUE)
        # Checked now and done later: pageable memory is not asynchronous, and freed memory not readable.
        self.view(target, size, kind == 2), self.view(source, size, kind == 1)

        def work() -> None:
            self.copies[kind] += 1
            self.view(target, size, kind == 2)[:] = self.view(source, size, kind == 1)

        self.give(stream, work)

    def cudaMemsetAsync(self, address: int, value: int, size: int, stream: int) -> None:
        self.view(address, size)
        self.give(stream, lambda: self.view(address, size).fill(value))

    def cudaStreamCreateWithFlags(self, stream: Any, flags: int) -> None:
        if flags != 1:
            raise CudaError(INVALID_VALUE)  # CUDA takes 0 too; such a stream waits for the default one
        stream.value = self.handle()
        self.streams[stream.value] = Stream()

    def cudaStreamDestroy(self, stream: int) -> None:
        self._stream(stream)
        del self.streams[stream]

    def cudaStreamSynchronize(self, stream: int) -> None:
        target = self._stream(stream)
        if target.captured is not None:
            target.spoilt = True
            raise CudaError(CAPTURE_UNSUPPORTED)
        waiting, target.waiting = target.waiting, []
        try:
            for work in waiting:
                work()
        except CudaError as error:
            self.broken = error.code
            raise

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> None:
        target = self._stream(stream)
        if target.captured is not None or mode not in (0, 1, 2):
            raise CudaError(INVALID_VALUE)
        target.captured, target.spoilt = [], self.capture == "refuse"

    def cudaStreamEndCapture(self, stream: int, graph: Any) -> None:
        target = self._stream(stream)
        captured, target.captured = target.captured, None
        if captured is None:
            raise CudaError(INVALID_VALUE)
        if target.spoilt:
            raise CudaError(CAPTURE_INVALIDATED)
        graph.value = self.handle()
        self.graphs[graph.value] = captured

    def cudaGraphInstantiateWithFlags(self, executable: Any, graph: int, flags: int) -> None:
        assert flags == 0
        executable.value = self.handle()
        self.executables[executable.value] = list(self._graph(graph))

    def cudaGraphDestroy(self, graph: int) -> None:
        self._graph(graph)
        del self.graphs[graph]

    def cudaGraphLaunch(self, executable: int, stream: int) -> None:
        if executable not in self.executables:
            raise CudaError(INVALID_HANDLE)
        works = self.executables[executable]

        def work() -> None:
            self.in_graph = True
            for part in works:
                part()
            self.in_graph = False
            self.launches += 1

        self.give(stream, work)

    def cudaGraphExecDestroy(self, executable: int) -> None:
        if executable not in self.executables:
            raise CudaError(INVALID_HANDLE)
        del self.executables[executable]

    # --- inside -------------------------------------------------------------------------------------------------------

    def _stream(self, stream: int) -> Stream:
        if stream not in self.streams:
            raise CudaError(INVALID_HANDLE)
        return self.streams[stream]

    def _graph(self, graph: int) -> list[Work]:
        if graph not in self.graphs:
            raise CudaError(INVALID_HANDLE)
        return self.graphs[graph]

    def _forbid_while_capturing(self) -> None:
        capturing = [stream for stream in self.streams.values() if stream.captured is not None]
        for stream in capturing:
            stream.spoilt = True
        if capturing:
            raise CudaError(CAPTURE_UNSUPPORTED)

    def _allocate(self, size: int, pinned: bool) -> int:
        buffer = (ctypes.c_uint8 * (size + ALIGNMENT))()
        ctypes.memset(buffer, RUBBISH, len(buffer))
        start = ctypes.addressof(buffer)
        address = start + -start % ALIGNMENT
        self.blocks[address] = Block(address, size, pinned, buffer)
        return address

    def _release(self, address: int, pinned: bool) -> None:
        block = self.blocks.get(address)
        if block is None or block.pinned != pinned:
            raise CudaError(INVALID_VALUE)
        ctypes.memset(address, RUBBISH, block.size)
        del self.blocks[address]


class Function:
    """One exported C function: it insists on declared types, as ctypes cuts pointers to 32 bits without them."""

    def __init__(self, gpu: FakeGpu, name: str) -> None:
        self.argtypes: list[Any] | None = None
        self.restype: Any = None
        self._gpu = gpu
        self._name = name

    def __call__(self, *arguments: Any) -> Any:
        assert self.argtypes is not None, f"{self._name}: argtypes are not declared"
        assert len(arguments) == len(self.argtypes), f"{self._name}: takes {len(self.argtypes)} arguments"
        if self._name in ("cudaGetErrorName", "cudaGetErrorString"):
            assert self.restype is ctypes.c_char_p
            return TEXTS[arguments[0]][self._name == "cudaGetErrorString"].encode()
        assert self.restype is ctypes.c_int
        if self._name == "cudaGetLastError":
            code, self._gpu.last_error = self._gpu.last_error, SUCCESS
            return code or self._gpu.broken
        pairs = zip(arguments, self.argtypes, strict=True)
        return self._run([_plain(value, kind, self._name) for value, kind in pairs])

    def _run(self, arguments: list[Any]) -> int:
        try:
            if self._gpu.broken:
                raise CudaError(self._gpu.broken)
            getattr(self._gpu, self._name)(*arguments)
        except CudaError as error:
            self._gpu.last_error = error.code
            return error.code
        return SUCCESS


def _plain(value: Any, kind: Any, name: str) -> Any:
    if hasattr(value, "_obj"):  # ctypes.byref
        assert issubclass(kind, ctypes._Pointer), f"{name}: a pointer is given where {kind} is declared"
        assert isinstance(value._obj, kind._type_), f"{name}: {value._obj} is no {kind._type_}"
        return value._obj
    assert not issubclass(kind, ctypes._Pointer), f"{name}: {value} is given where a pointer is declared"
    kind.from_param(value)  # as ctypes would convert it
    return int(value)


class FakeLibrary:
    """What ctypes.CDLL would return."""

    def __init__(self, gpu: FakeGpu) -> None:
        self._gpu = gpu
        self._functions: dict[str, Function] = {}

    def __getattr__(self, name: str) -> Function:
        known = name in ("cudaGetLastError", "cudaGetErrorName", "cudaGetErrorString")
        if not (known or (name.startswith("cuda") and hasattr(FakeGpu, name))):
            raise AttributeError(name)
        return self._functions.setdefault(name, Function(self._gpu, name))
