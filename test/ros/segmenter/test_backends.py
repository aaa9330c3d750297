"""Back ends that fail: the node says so and tries once more; and a node on TensorRT, built on start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn

from fakes import FakeBackend, FakeState, make_card
from hal_ros.bags.messages import to_ns
from hal_ros.core.errors import BackendError
from hal_ros.core.step import StepInput, StepOutput
from hal_ros.ros.segmenter.configuring import open_proven_backend
from hal_ros.runtime.backend import BackendOptions
from hal_ros.runtime.bundle import save_card
from ros_fakes import START_NS, Rig, image_message, values

pytestmark = pytest.mark.ros
OK, ERROR = DiagnosticStatus.OK, DiagnosticStatus.ERROR
FAILURE = TransitionCallbackReturn.FAILURE


OUT_OF_MEMORY = "cudaGraphLaunch: CUDA error 2 (cudaErrorMemoryAllocation, out of memory)"
"""The process can go on after it. After an error of the context, such as 700, no CUDA call of the process succeeds."""


class Gpu:
    """May fail, and serve again; `opened` is what was asked for whenever somebody opened a backend on it."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.opened: list[tuple[str, BackendOptions]] = []

    def open(self, bundle: Any, choice: str, options: BackendOptions) -> tuple[FakeBackend, str]:
        """Stand in for the node's own opener."""
        self.opened.append((choice, options))
        self.check()
        return GpuBackend(bundle.card, self), f"opened for the {len(self.opened)}. time"

    def check(self) -> None:
        if self.fault is not None:
            raise self.fault


class GpuBackend(FakeBackend):
    """Can do nothing once its GPU has failed, and never again."""

    def __init__(self, card: Any, gpu: Gpu) -> None:
        super().__init__(card)
        self._gpu, self._lost = gpu, False

    def initial_state(self) -> FakeState:
        self._check()
        return super().initial_state()

    def step(self, inputs: StepInput, state: FakeState) -> tuple[StepOutput, FakeState]:
        self._check()
        return super().step(inputs, state)

    def _check(self) -> None:
        self._lost = self._lost or self._gpu.fault is not None
        if self._lost:
            raise self._gpu.fault or BackendError("it failed before")


class Brief(Gpu):
    """Fails for exactly one step: by the time that somebody opens a backend again, it serves."""

    def open(self, bundle: Any, choice: str, options: BackendOptions) -> tuple[FakeBackend, str]:
        self.fault = None
        return super().open(bundle, choice, options)


def active(rig: Rig, gpu: Gpu, **parameters: Any) -> Any:
    rig.folder.mkdir(exist_ok=True)
    save_card(make_card(), rig.folder)
    node = rig.bare_segmenter(gpu.open, **parameters)
    node.trigger_configure()
    node.trigger_activate()
    assert node.state == "active"
    rig.until(rig.matched)
    return node


def fail(rig: Rig, node: Any, gpu: Gpu, tick: int, error: Exception | None = None) -> None:
    """Let the GPU fail before the image of a tick, and wait until the node has seen it."""
    gpu.fault = error or BackendError(OUT_OF_MEMORY)
    opened, session = len(gpu.opened), node._session
    rig.show_message(image_message("red", START_NS + tick * 100_000_000), wait=False)
    rig.until(lambda: node._session is not session and (len(gpu.opened) > opened or node.state == "inactive"))


def test_a_gpu_that_fails_once_is_opened_again_and_labels_go_on(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    gpu = Brief()
    node = active(rig, gpu, build_on_start=True)
    for tick in range(4):
        rig.show("red", tick)
    rig.diagnostics.clear()
    fail(rig, node, gpu, 4)
    assert node.state == "active"
    assert [options.build_on_start for _, options in gpu.opened] == [True, False]  # a robot at work does not wait
    rig.until(lambda: any(s.level == ERROR and "CUDA error 2" in s.message for d in rig.diagnostics for s in d.status))
    status = rig.status("model", OK, "labels per second")
    assert values(status)["backend_reason"] == "opened for the 2. time"
    assert "the backend was opened again" in capfd.readouterr().err
    rig.until(rig.matched)
    for tick in range(10, 13):
        rig.show("blue", tick)
    assert [label.label for label in rig.labels[-3:]] == ["blue"] * 3
    assert rig.labels[-1].segment_id == 2  # ids go on


def test_the_open_segment_is_closed_though_the_backend_is_gone(rig: Rig) -> None:
    gpu = Gpu()
    node = active(rig, gpu)
    for tick in range(4):
        rig.show("red", tick)
    fail(rig, node, gpu, 4)
    rig.until(lambda: rig.boundaries and rig.boundaries[-1].to_label == "")
    assert to_ns(rig.boundaries[-1].header.stamp) == START_NS + 2 * 100_000_000  # after the last confirmed tick


def test_a_gpu_that_goes_on_failing_leaves_the_node_inactive_with_an_error(rig: Rig) -> None:
    gpu = Gpu()
    node = active(rig, gpu)
    rig.show("red", 0)
    fail(rig, node, gpu, 1)
    status = rig.status("model", ERROR, f"it can't be opened again: {OUT_OF_MEMORY}")
    assert f"deactivated, the model failed: BackendError: {OUT_OF_MEMORY}" in status.message
    assert values(status)["backend"] == "none"
    assert node.state == "inactive" and len(gpu.opened) == 2
    assert node.trigger_activate() == FAILURE  # there is none
    rig.status("model", ERROR, f"{OUT_OF_MEMORY}; when that is mended, clean the node up and configure it again")
    assert node.state == "inactive"
    gpu.fault = None
    for trigger in (node.trigger_cleanup, node.trigger_configure, node.trigger_activate):
        trigger()
    rig.until(rig.matched)
    rig.show("blue", 5)
    rig.status("model", OK, "labels per second")


def test_it_is_opened_again_once_until_somebody_activates_the_node(rig: Rig) -> None:
    gpu = Brief()
    node = active(rig, gpu)
    rig.show("red", 0)
    fail(rig, node, gpu, 1)
    assert node.state == "active"
    rig.until(rig.matched)
    rig.show("red", 10)
    fail(rig, node, gpu, 11)
    rig.status("model", ERROR, "deactivated, the model failed: BackendError")
    assert node.state == "inactive" and len(gpu.opened) == 2
    node.trigger_cleanup()
    node.trigger_configure()
    node.trigger_activate()
    rig.until(rig.matched)
    rig.show("red", 20)
    fail(rig, node, gpu, 21)
    assert node.state == "active" and len(gpu.opened) == 4


def test_a_bug_is_not_tried_again(rig: Rig) -> None:
    gpu = Brief()
    node = active(rig, gpu)
    rig.show("red", 0)
    fail(rig, node, gpu, 1, RuntimeError("index out of range"))
    rig.status("model", ERROR, "deactivated, the model failed: RuntimeError: index out of range")
    assert node.state == "inactive" and len(gpu.opened) == 1


def test_the_parameters_reach_the_backend(rig: Rig) -> None:
    gpu = Gpu()
    given = {"backend": "tensorrt", "threads": 3, "precision": "fp32", "build_on_start": True}
    active(rig, gpu, providers="CUDAExecutionProvider, CPUExecutionProvider", **given)
    ((choice, options),) = gpu.opened
    assert (choice, options.threads, options.precision, options.build_on_start) == ("tensorrt", 3, "fp32", True)
    assert options.providers == ("CUDAExecutionProvider", "CPUExecutionProvider")


def test_no_provider_is_named_by_default(rig: Rig) -> None:
    gpu = Gpu()
    active(rig, gpu)
    assert gpu.opened[0][1].providers == ()


# --- the node on a fake TensorRT --------------------------------------------------------------------------------------


@pytest.fixture
def fake_tensorrt(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("onnx", reason="onnx is not installed")
    import fake_tensorrt
    from colour_bundle import write_bundle

    write_bundle(rig.folder)
    monkeypatch.setenv("HAL_ROS_CACHE", str(tmp_path / "cache"))
    return fake_tensorrt


def test_a_node_builds_its_engines_while_it_configures_and_runs_on_them(
    rig: Rig, fake_tensorrt: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fakes = fake_tensorrt.install(monkeypatch)
    node = rig.bare_segmenter(backend="tensorrt", precision="fp32", build_on_start=True)
    node.trigger_configure()
    assert node.state == "inactive"
    rig.until(lambda: any("configuring: " in s.message for d in rig.diagnostics for s in d.status))
    node.trigger_activate()
    rig.until(rig.matched)
    for tick, colour in enumerate(("red", "green", "blue")):
        rig.show(colour, tick)
    assert [label.label for label in rig.labels] == ["red", "green", "blue"]
    said = values(rig.status("model", OK, "labels per second"))
    assert said["backend"] == "tensorrt" and said["backend_reason"].startswith("chosen by the user; engines in fp32")
    assert said["backend_tensorrt"].startswith("10.3.0") and said["backend_precision"] == "fp32"
    assert "accepted" in capfd.readouterr().err  # a line of the builder
    assert fakes.counts["enqueues"] and "builds" not in fakes.counts  # built, but not in this process


def test_configure_fails_with_the_command_where_it_may_not_build(
    rig: Rig, fake_tensorrt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tensorrt.install(monkeypatch)
    node = rig.bare_segmenter(backend="tensorrt", precision="fp32")
    assert node.trigger_configure() == FAILURE
    rig.status("model", ERROR, f"-m hal_ros compile --model {rig.folder.resolve()} --precision fp32")
    assert node.state == "unconfigured"


def test_a_signal_cancels_the_build(rig: Rig, fake_tensorrt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tensorrt.install(monkeypatch)
    node = rig.bare_segmenter(backend="tensorrt", precision="fp32", build_on_start=True)
    node.is_ending = lambda: True
    assert node.trigger_configure() == FAILURE
    rig.status("model", ERROR, "building engines was cancelled")


def on_engines(rig: Rig, *opener: Any, **parameters: Any) -> Any:
    """Return a node that is active on engines in fp32 and has labelled one image."""
    node = rig.bare_segmenter(*opener, precision="fp32", build_on_start=True, **parameters)
    node.trigger_configure()
    node.trigger_activate()
    rig.until(rig.matched)
    rig.show("red", 0)
    assert values(rig.status("model", OK, "labels per second"))["backend"] == "tensorrt"
    return node


def what_cuda_says(fakes: Any, call: str = "memory_bytes") -> str:
    """Return an error's text without the name of the function."""
    with pytest.raises(BackendError) as refused:
        getattr(fakes.cudart(), call)()
    return str(refused.value).partition(": ")[2]


def test_auto_goes_on_with_onnx_runtime_when_the_gpu_is_lost(
    rig: Rig, fake_tensorrt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = fake_tensorrt.install(monkeypatch)
    node = on_engines(rig)
    fakes.gpu.broken = 700
    session = node._session
    rig.show_message(image_message("green", START_NS + 100_000_000), wait=False)
    rig.until(lambda: node._session not in (None, session))
    # Reports from before the failure may still be on their way.
    rig.until(lambda: any(values(s).get("backend") == "onnxruntime" for d in rig.diagnostics for s in d.status))
    assert what_cuda_says(fakes) in values(rig.status("model", OK, "labels per second"))["backend_reason"]
    rig.until(rig.matched)
    rig.show("blue", 10)
    assert [label.label for label in rig.labels] == ["red", "blue"]


def test_a_chosen_tensorrt_never_falls_back_when_the_gpu_is_lost(
    rig: Rig, fake_tensorrt: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fakes = fake_tensorrt.install(monkeypatch)
    node = on_engines(rig, backend="tensorrt")
    fakes.gpu.broken = 700  # no call of this process succeeds after it, whatever the node does
    rig.show_message(image_message("green", START_NS + 100_000_000), wait=False)
    status = rig.status("model", ERROR, "it can't be opened again: ")
    lost = what_cuda_says(fakes)
    assert "700" in lost and lost in status.message and lost in capfd.readouterr().err
    assert node.state == "inactive"
    assert node.trigger_activate() == FAILURE
    rig.status("model", ERROR, lost)
    node.trigger_cleanup()
    assert node.trigger_configure() == FAILURE
    rig.status("model", ERROR, lost)
    assert node.state == "unconfigured"


def test_a_chosen_tensorrt_is_opened_again_when_memory_was_short(
    rig: Rig, fake_tensorrt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fake_cudart import OUT_OF_MEMORY, CudaError

    fakes = fake_tensorrt.install(monkeypatch)
    in_use: list[int] = []

    def opener(*arguments: Any) -> Any:
        in_use.append(fakes.gpu.bytes_in_use())
        return open_proven_backend(*arguments)

    def launch_once(*_: int) -> None:
        del fakes.gpu.cudaGraphLaunch  # from now on the class's own
        raise CudaError(OUT_OF_MEMORY)

    node = on_engines(rig, opener, backend="tensorrt")
    fakes.gpu.cudaGraphLaunch = launch_once
    rig.show_message(image_message("green", START_NS + 100_000_000), wait=False)
    rig.until(lambda: len(in_use) == 2 and node.state == "active")
    assert in_use == [0, 0] and fakes.gpu.bytes_in_use()  # never two at once
    rig.until(rig.matched)
    rig.show("blue", 10)
    assert [label.label for label in rig.labels] == ["red", "blue"]
    assert values(rig.status("model", OK, "labels per second"))["backend"] == "tensorrt"
