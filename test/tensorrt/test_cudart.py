"""The layer on libcudart: the real library where one is installed, and a fake one for what only a GPU shows."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from fake_cudart import NO_DRIVER, STICKY, FakeDevice, FakeGpu, FakeLibrary
from hal_ros.core.errors import BackendError
from hal_ros.tensorrt import cudart
from hal_ros.tensorrt.cudart import DEVICE_TO_DEVICE, DEVICE_TO_HOST, HOST_TO_DEVICE, Cudart, Device, load_cudart
from hal_ros.tensorrt.device_buffers import DeviceBlock, Resources, StagedBlock, TensorSpec, read_back

HEADERS = [Path(folder) / "cuda_runtime_api.h" for folder in ("/usr/local/cuda/include", "/usr/include")]
HEADER = next(filter(Path.exists, HEADERS), None)


def fake(gpu: FakeGpu | None = None) -> Cudart:
    return Cudart(FakeLibrary(gpu or FakeGpu()), "fake libcudart")


# --- the real library -------------------------------------------------------------------------------------------------


@pytest.fixture
def real() -> Cudart:
    try:
        return load_cudart()
    except BackendError as error:
        pytest.skip(str(error))


def test_the_real_library_has_all_functions_and_says_whether_there_is_a_device(real: Cudart) -> None:
    """Loading declares each function, so that a missing one would have been refused."""
    if real.sees_device():
        device = real.device()
        assert device.name and device.compute_capability >= (5, 0) and device.memory_bytes > 0
        assert device.runtime_version >= 11040 and device.driver_version > 0
    else:
        says = r"^cudaGetDeviceCount: CUDA error \d+ \(cudaError\w+, .+\)$|sees no CUDA"
        with pytest.raises(BackendError, match=says):
            real.device()


def test_the_real_library_refuses_memory_without_a_device(real: Cudart) -> None:
    if real.sees_device():
        pytest.skip("there is a device")
    with pytest.raises(BackendError, match=r"^cudaMalloc: CUDA error \d+ \(cudaError\w+, .+\)$"):
        real.malloc(16)
    real.clear_error()


def test_the_real_library_moves_bytes(real: Cudart) -> None:
    if not real.sees_device():
        pytest.skip("no CUDA device")
    assert round_trip(real) == bytes(range(16))


@pytest.mark.parametrize("function", [*cudart.SIGNATURES])
def test_signatures_are_those_of_the_installed_header(function: str) -> None:
    """One parameter more or less, or a number where a pointer is wanted, would go unseen until a GPU is there."""
    if HEADER is None:
        pytest.skip("no cuda_runtime_api.h")
    found = re.search(rf"cudaError_t CUDARTAPI {function}\(([^)]*(?:__dv\(0\))?[^)]*)\);", HEADER.read_text())
    assert found
    declared = [text.strip() for text in found[1].split(",") if text.strip() not in ("", "void")]
    ours = cudart.SIGNATURES[function]
    assert [size_of(text) for text in declared] == [ctypes.sizeof(kind) for kind in ours]
    assert [is_result(text) for text in declared] == [issubclass(kind, ctypes._Pointer) for kind in ours]


def size_of(parameter: str) -> int:
    """Bytes that a C parameter takes; handles are pointers."""
    if "*" in parameter or re.search(r"cuda(Stream|Graph|GraphExec)_t", parameter):
        return ctypes.sizeof(ctypes.c_void_p)
    if "size_t" in parameter or "long long" in parameter:
        return 8
    return 4


def is_result(parameter: str) -> bool:
    """Whether the function writes a number or a handle there."""
    return bool(re.match(r"(void \*\*|(int|size_t|cuda(Stream|Graph|GraphExec)_t) \*)", parameter))


# --- the fake one -----------------------------------------------------------------------------------------------------


def round_trip(cuda: Cudart) -> bytes:
    """Send 16 bytes up, across and down again."""
    resources = Resources(cuda)
    stream = resources.create_stream()
    block = StagedBlock(resources, [TensorSpec("bytes", (16,), np.dtype(np.uint8))])
    other = DeviceBlock(resources, [TensorSpec("bytes", (16,), np.dtype(np.uint8))])
    block.arrays["bytes"][:] = range(16)
    block.upload(stream)
    cuda.copy_async(other.address, block.address, 16, DEVICE_TO_DEVICE, stream)
    block.clear(stream)
    block.download(stream)
    cuda.synchronize(stream)
    assert not block.arrays["bytes"].any()
    found = read_back(cuda, other, stream)[:16]
    resources.close()
    return found


def test_bytes_come_back() -> None:
    gpu = FakeGpu()
    assert round_trip(fake(gpu)) == bytes(range(16))
    assert not any(gpu.live().values())


def test_the_fake_does_nothing_before_it_is_synchronised() -> None:
    cuda = fake()
    stream, host, address = cuda.create_stream(), cuda.host_alloc(4), cuda.malloc(4)
    cuda.memset_async(address, 0, 4, stream)
    cuda.copy_async(host, address, 4, DEVICE_TO_HOST, stream)
    assert ctypes.string_at(host, 4) == b"\xff" * 4
    cuda.synchronize(stream)
    assert ctypes.string_at(host, 4) == b"\0" * 4


class Taken(NamedTuple):
    """One stream and 16 bytes on either side."""

    cuda: Cudart
    stream: int
    host: int
    device: int


@pytest.mark.parametrize(
    "misuse",
    [
        lambda t: t.cuda.copy_async(t.device, t.host, 17, HOST_TO_DEVICE, t.stream),
        lambda t: t.cuda.copy_async(t.host, t.device, 16, HOST_TO_DEVICE, t.stream),
        lambda t: t.cuda.copy_async(t.device, t.host, 16, HOST_TO_DEVICE, 0),
        lambda t: t.cuda.free(t.host),
        lambda t: (t.cuda.free(t.device), t.cuda.memset_async(t.device, 0, 16, t.stream)),
        lambda t: (t.cuda.begin_capture(t.stream), t.cuda.malloc(16)),
        lambda t: (t.cuda.begin_capture(t.stream), t.cuda.free(t.device)),
        lambda t: (t.cuda.begin_capture(t.stream), t.cuda.free_host(t.host)),
        lambda t: (t.cuda.begin_capture(t.stream), t.cuda.synchronize(t.stream)),
    ],
)
def test_the_fake_notices_misuse(misuse: Callable[[Taken], Any]) -> None:
    cuda = fake()
    taken = Taken(cuda, cuda.create_stream(), cuda.host_alloc(16), cuda.malloc(16))
    with pytest.raises(BackendError, match="CUDA error"):
        misuse(taken)


def test_a_graph_repeats_what_was_captured() -> None:
    cuda = fake()
    stream, host, address = cuda.create_stream(), cuda.host_alloc(4), cuda.malloc(4)
    cuda.begin_capture(stream)
    cuda.memset_async(address, 7, 4, stream)
    cuda.copy_async(host, address, 4, DEVICE_TO_HOST, stream)
    graph = cuda.end_capture(stream)
    executable = cuda.instantiate(graph)
    cuda.destroy_graph(graph)
    cuda.synchronize(stream)
    assert ctypes.string_at(host, 4) == b"\xff" * 4  # capturing does nothing
    for _ in range(2):
        ctypes.memset(host, 0, 4)
        cuda.launch(executable, stream)
        cuda.synchronize(stream)
        assert ctypes.string_at(host, 4) == b"\7" * 4


def test_a_device_is_described() -> None:
    described = fake(FakeGpu(FakeDevice("Orin Nano", (8, 7), 8, True, 12060, 12040, 8 << 30))).device()
    assert described == Device("Orin Nano", (8, 7), 8, True, 12060, 12040, 8 << 30)


def test_no_driver_is_told_in_cudas_words() -> None:
    cuda = fake(FakeGpu(code=NO_DRIVER))
    with pytest.raises(BackendError) as caught:
        cuda.device()
    assert str(caught.value) == (
        "cudaGetDeviceCount: CUDA error 35 (cudaErrorInsufficientDriver, "
        "CUDA driver version is insufficient for CUDA runtime version)"
    )
    assert not cuda.sees_device()


@pytest.mark.parametrize(("code", "lasts"), [(700, True), (2, False)])
def test_an_error_that_lasts_says_so(code: int, lasts: bool) -> None:
    gpu = FakeGpu(code=code)
    with pytest.raises(BackendError) as caught:
        fake(gpu).malloc(16)
    assert str(caught.value).endswith("; it lasts until this process ends: start it again") is lasts
    with contextlib.nullcontext() if not lasts else pytest.raises(AssertionError, match="does not go by itself"):
        gpu.broken = 0
    assert gpu.broken == (code if lasts else 0)


def test_lasting_errors_are_those_of_the_installed_header() -> None:
    header = HEADER and HEADER.with_name("driver_types.h")
    if header is None or not header.exists():
        pytest.skip("no driver_types.h")
    told = re.findall(r"/\*\*((?:(?!\*/).)*)\*/\s*cudaError\w+\s*=\s*(\d+)", header.read_text(), re.DOTALL)
    lasting = {int(code) for text, code in told if "process must be terminated" in " ".join(text.split())}
    assert lasting
    assert lasting <= cudart.STICKY == STICKY


def test_all_that_was_taken_goes_back_even_when_the_device_failed() -> None:
    gpu = FakeGpu()
    resources = Resources(fake(gpu))
    resources.malloc(8), resources.host_alloc(8), resources.create_stream()

    def take_too_much() -> None:
        with resources.all_or_nothing():
            resources.malloc(8)
            resources.malloc(1 << 40)

    with pytest.raises(BackendError, match="out of memory"):
        take_too_much()
    assert gpu.live()["blocks"] == 2
    gpu.broken = 700
    resources.close()  # says nothing: there is nobody who could do anything about it
    assert gpu.live()["blocks"] == 2


# --- finding one ------------------------------------------------------------------------------------------------------


def offer(monkeypatch: pytest.MonkeyPatch, libraries: dict[str, Any], loaded: tuple[str, ...] = ()) -> None:
    """Let dlopen know only these libraries, and the process have loaded some of them."""

    def opened(name: str, mode: int) -> Any:
        found = libraries.get(Path(name).name)
        if found is None or (mode & os.RTLD_NOLOAD and name not in loaded):
            raise OSError(f"{name}: cannot open shared object file")
        return found

    monkeypatch.setattr(cudart, "_open", opened)


def test_the_newest_library_that_sees_a_device_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    blind, seeing = FakeLibrary(FakeGpu(code=NO_DRIVER)), FakeLibrary(FakeGpu())
    offer(monkeypatch, {"libcudart.so.13": seeing, "libcudart.so.12": seeing})
    assert load_cudart().name == "libcudart.so.13"
    offer(monkeypatch, {"libcudart.so.13": blind, "libcudart.so.12": seeing})  # the driver is older than the newest
    assert load_cudart().name == "libcudart.so.12"
    offer(monkeypatch, {"libcudart.so.13": blind})
    with pytest.raises(BackendError, match="CUDA error 35"):
        load_cudart().device()


def test_what_the_process_has_loaded_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"libcudart.so.13": FakeLibrary(FakeGpu()), "libcudart.so.12": FakeLibrary(FakeGpu())}
    offer(monkeypatch, both, loaded=("libcudart.so.12",))
    assert load_cudart().name == "libcudart.so.12"


def test_a_wheels_folder_is_searched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "nvidia" / "cu13" / "lib"
    folder.mkdir(parents=True)
    (folder / "libcudart.so.13").touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    def opened(name: str, mode: int) -> Any:
        if name != str(folder / "libcudart.so.13"):
            raise OSError(name)
        return FakeLibrary(FakeGpu())

    monkeypatch.setattr(cudart, "_open", opened)
    assert load_cudart().name == str(folder / "libcudart.so.13")


def test_all_that_was_tried_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, {})
    with pytest.raises(BackendError, match=r"tried libcudart\.so\.13, libcudart\.so\.12, libcudart\.so\.11\.0"):
        load_cudart()


def test_a_library_that_lacks_a_function_is_refused() -> None:
    class Old:
        """Knows no graphs."""

        def __getattr__(self, name: str) -> Any:
            if "Graph" in name:
                raise AttributeError(name)
            return getattr(FakeLibrary(FakeGpu()), name)

    with pytest.raises(BackendError, match=r"old: has no cudaGraphInstantiateWithFlags; expected CUDA 11\.4"):
        Cudart(Old(), "old")
