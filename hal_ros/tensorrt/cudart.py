"""The few functions of NVIDIA's libcudart that the TensorRT back end needs, by ctypes: nothing to install or build.

Addresses, streams, graphs and executable graphs are plain integers. Work is given to a stream and done later; a failure
of that work may first be reported by a later call.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
from collections.abc import Iterator
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hal_ros.core.errors import BackendError

SONAMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0")

HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE = 1, 2, 3  # cudaMemcpyKind
NON_BLOCKING = 1  # cudaStreamNonBlocking: never waits for the default stream, on which capturing is forbidden
CAPTURE_THREAD_LOCAL = 1  # cudaStreamCaptureMode: other threads' CUDA calls (a camera driver's) leave a capture alone
# cudaDeviceAttr; cudaDeviceProp has another layout in each CUDA, these numbers are the same in all.
MULTIPROCESSORS, INTEGRATED, CAPABILITY_MAJOR, CAPABILITY_MINOR = 16, 18, 75, 76
PROPERTIES_BYTES = 1 << 14  # more than cudaDeviceProp has in any CUDA; only its first field is read, the name
NAME_BYTES = 256

_OUT = POINTER(c_void_p)
SIGNATURES: dict[str, list[Any]] = {
    "cudaGetDeviceCount": [POINTER(c_int)],
    "cudaGetDeviceProperties": [c_void_p, c_int],
    "cudaDeviceGetAttribute": [POINTER(c_int), c_int, c_int],
    "cudaMemGetInfo": [POINTER(c_size_t), POINTER(c_size_t)],
    "cudaDriverGetVersion": [POINTER(c_int)],
    "cudaRuntimeGetVersion": [POINTER(c_int)],
    "cudaMalloc": [_OUT, c_size_t],
    "cudaFree": [c_void_p],
    "cudaHostAlloc": [_OUT, c_size_t, c_uint],
    "cudaFreeHost": [c_void_p],
    "cudaMemcpyAsync": [c_void_p, c_void_p, c_size_t, c_int, c_void_p],
    "cudaMemsetAsync": [c_void_p, c_int, c_size_t, c_void_p],
    "cudaStreamCreateWithFlags": [_OUT, c_uint],
    "cudaStreamDestroy": [c_void_p],
    "cudaStreamSynchronize": [c_void_p],
    "cudaStreamBeginCapture": [c_void_p, c_int],
    "cudaStreamEndCapture": [c_void_p, _OUT],
    "cudaGraphInstantiateWithFlags": [_OUT, c_void_p, c_ulonglong],  # cudaGraphInstantiate changed in CUDA 12
    "cudaGraphDestroy": [c_void_p],
    "cudaGraphLaunch": [c_void_p, c_void_p],
    "cudaGraphExecDestroy": [c_void_p],
    "cudaGetLastError": [],
}
"""What each function takes; all return cudaError_t, an int. Without them ctypes would cut pointers to 32 bits."""
TEXTS = ("cudaGetErrorName", "cudaGetErrorString")
STICKY = frozenset((226, 700, 702, 710, *range(714, 720), 721, 810, 911))
"""Errors after which CUDA refuses all work of a process until it ends, by the comments in driver_types.h."""


@dataclass(frozen=True)
class Device:
    """The GPU that a process uses: the first that CUDA_VISIBLE_DEVICES leaves visible. Versions are 12060 for 12.6."""

    name: str
    compute_capability: tuple[int, int]
    multiprocessors: int
    integrated: bool  # shares the host's memory, as in a Jetson
    driver_version: int  # newest CUDA that the driver serves
    runtime_version: int
    memory_bytes: int


class Cudart:
    """One loaded libcudart. Each method raises BackendError with the call, CUDA's code and CUDA's own text."""

    def __init__(self, library: Any, name: str) -> None:
        """Declare the signatures; raises BackendError when `library` lacks one of the functions."""
        self.name = name
        self._library = library
        for function, argument_types in SIGNATURES.items():
            self._declare(function, argument_types, c_int)
        for function in TEXTS:
            self._declare(function, [c_int], c_char_p)

    def _declare(self, function: str, argument_types: list[Any], result: Any) -> None:
        try:
            entry = getattr(self._library, function)
        except AttributeError as error:
            raise BackendError(f"{self.name}: has no {function}; expected CUDA 11.4 or newer") from error
        entry.argtypes, entry.restype = argument_types, result

    def _call(self, function: str, *arguments: Any) -> None:
        code = getattr(self._library, function)(*arguments)
        if code:
            lasting = "; it lasts until this process ends: start it again" if code in STICKY else ""
            raise BackendError(f"{function}: CUDA error {code} ({self._text(code)}){lasting}")

    def _text(self, code: int) -> str:
        return ", ".join((getattr(self._library, function)(code) or b"unknown").decode() for function in TEXTS)

    def _number(self, function: str, *arguments: int) -> int:
        value = c_int()
        self._call(function, ctypes.byref(value), *arguments)
        return value.value

    def _handle(self, function: str, *arguments: int) -> int:
        handle = c_void_p()
        self._call(function, ctypes.byref(handle), *arguments)
        return handle.value or 0

    # --- the device ---------------------------------------------------------------------------------------------------

    def device(self) -> Device:
        """Describe the GPU; raises BackendError with CUDA's own text when there is none, or no fitting driver."""
        if self._number("cudaGetDeviceCount") < 1:
            raise BackendError(f"{self.name}: sees no CUDA device; expected at least one")
        properties = ctypes.create_string_buffer(PROPERTIES_BYTES)
        self._call("cudaGetDeviceProperties", ctypes.addressof(properties), 0)
        attributes = (CAPABILITY_MAJOR, CAPABILITY_MINOR, MULTIPROCESSORS, INTEGRATED)
        major, minor, multiprocessors, integrated = (
            self._number("cudaDeviceGetAttribute", attribute, 0) for attribute in attributes
        )
        return Device(
            name=properties.raw[:NAME_BYTES].split(b"\0", 1)[0].decode(errors="replace"),
            compute_capability=(major, minor),
            multiprocessors=multiprocessors,
            integrated=bool(integrated),
            driver_version=self._number("cudaDriverGetVersion"),
            runtime_version=self._number("cudaRuntimeGetVersion"),
            memory_bytes=self.memory_bytes()[1],
        )

    def sees_device(self) -> bool:
        """Tell whether there is a GPU that this library can use."""
        try:
            return self._number("cudaGetDeviceCount") > 0
        except BackendError:
            return False

    def memory_bytes(self) -> tuple[int, int]:
        """Return the device's free and total memory."""
        free, total = c_size_t(), c_size_t()
        self._call("cudaMemGetInfo", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    # --- memory -------------------------------------------------------------------------------------------------------

    def malloc(self, size: int) -> int:
        """Return the address of `size` new bytes on the device; they hold anything."""
        return self._handle("cudaMalloc", size)

    def free(self, address: int) -> None:
        """Give device memory back."""
        self._call("cudaFree", address)

    def host_alloc(self, size: int) -> int:
        """Return the address of `size` new pinned bytes in the host's memory: only such are copied asynchronously."""
        return self._handle("cudaHostAlloc", size, 0)

    def free_host(self, address: int) -> None:
        """Give pinned memory back."""
        self._call("cudaFreeHost", address)

    def copy_async(self, target: int, source: int, size: int, kind: int, stream: int) -> None:
        """Copy `size` bytes in the stream's order; `kind` is HOST_TO_DEVICE, DEVICE_TO_HOST or DEVICE_TO_DEVICE."""
        self._call("cudaMemcpyAsync", target, source, size, kind, stream)

    def memset_async(self, address: int, value: int, size: int, stream: int) -> None:
        """Set `size` bytes of device memory in the stream's order."""
        self._call("cudaMemsetAsync", address, value, size, stream)

    # --- streams and graphs -------------------------------------------------------------------------------------------

    def create_stream(self) -> int:
        """Return a new stream that does not wait for the default one."""
        return self._handle("cudaStreamCreateWithFlags", NON_BLOCKING)

    def destroy_stream(self, stream: int) -> None:
        """Give a stream back."""
        self._call("cudaStreamDestroy", stream)

    def synchronize(self, stream: int) -> None:
        """Wait, without the interpreter's lock, until the stream's work is done; work that failed is reported here."""
        self._call("cudaStreamSynchronize", stream)

    def begin_capture(self, stream: int) -> None:
        """From here the stream's work is written down and not done. The thread that begins must end it."""
        self._call("cudaStreamBeginCapture", stream, CAPTURE_THREAD_LOCAL)

    def end_capture(self, stream: int) -> int:
        """Return the graph of what was given to the stream since begin_capture."""
        graph = c_void_p()
        self._call("cudaStreamEndCapture", stream, ctypes.byref(graph))
        return graph.value or 0

    def instantiate(self, graph: int) -> int:
        """Return the graph made ready for launches, which no longer needs the graph."""
        return self._handle("cudaGraphInstantiateWithFlags", graph, 0)

    def launch(self, executable: int, stream: int) -> None:
        """Do all of a graph's work in the stream's order."""
        self._call("cudaGraphLaunch", executable, stream)

    def destroy_graph(self, graph: int) -> None:
        """Give a captured graph back."""
        self._call("cudaGraphDestroy", graph)

    def destroy_executable(self, executable: int) -> None:
        """Give an instantiated graph back."""
        self._call("cudaGraphExecDestroy", executable)

    def clear_error(self) -> None:
        """Forget the last error: TensorRT asks for it after its own launches and would take ours for its own."""
        self._library.cudaGetLastError()


def load_cudart() -> Cudart:
    """Load the best libcudart there is: one that sees a device, loaded by this process, newest.

    Raises BackendError naming all that was tried when none can be loaded. One that sees no device is returned all the
    same when no other does: its `device()` says why.
    """
    blind: Cudart | None = None
    tried: list[str] = []
    for name, mode in _candidates():
        try:
            found = Cudart(_open(name, mode), name)
        except (OSError, BackendError):
            tried.append(name)
            continue
        if found.sees_device():
            return found
        blind = blind or found
    if blind is None:
        names = ", ".join(dict.fromkeys(tried))
        raise BackendError(f"no CUDA runtime library can be loaded; tried {names}; expected CUDA 11.4 or newer")
    return blind


def _open(name: str, mode: int) -> Any:
    """Load a shared library; OSError when there is none of that name."""
    return ctypes.CDLL(name, mode)


def _candidates() -> Iterator[tuple[str, int]]:
    """Yield names for dlopen: first what this process has loaded (torch brings its own), then the usual places."""
    for soname in SONAMES:
        yield soname, os.RTLD_NOLOAD | os.RTLD_LOCAL
    for soname in SONAMES:
        yield soname, os.RTLD_LOCAL
        for folder in _folders():
            if (folder / soname).exists():
                yield str(folder / soname), os.RTLD_LOCAL


def _folders() -> Iterator[Path]:
    for root in filter(None, (os.environ.get("CUDA_HOME"), "/usr/local/cuda")):
        yield Path(root) / "lib64"
    yield from sorted(Path("/usr/local").glob("cuda-*/lib64"), reverse=True)
    wheels = importlib.util.find_spec("nvidia")  # where pip puts nvidia-cuda-runtime; TensorRT's own wheels need it
    for root in (wheels.submodule_search_locations or ()) if wheels else ():
        yield from (Path(root) / "cu13" / "lib", Path(root) / "cuda_runtime" / "lib")
