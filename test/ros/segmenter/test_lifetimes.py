"""What an activation held is free when it ends, without the garbage collector: a small board has no room for two."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import Image

from fakes import FakeBackend, make_card
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import BackendError, ConfigError
from hal_ros.core.step import StepInput, StepOutput
from hal_ros.runtime.bundle import save_card
from ros_fakes import START_NS, Rig, image_message, robot_card

pytestmark = pytest.mark.ros


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class State:
    """A stream's state, of which others can tell whether it is still there."""


class Opener:
    """Opens backends, and counts those and their states that are alive; `at_opening` is how many backends were."""

    def __init__(self) -> None:
        self.backends: weakref.WeakSet[Watched] = weakref.WeakSet()
        self.states: weakref.WeakSet[State] = weakref.WeakSet()
        self.at_opening: list[int] = []
        self.faults: list[str] = []  # of the next step, and of the openings after it

    def __call__(self, bundle: Any, *_: Any) -> tuple[Watched, str]:
        self.at_opening.append(len(self.backends))
        if self.faults:
            raise BackendError(self.faults.pop(0))
        backend = Watched(bundle.card, self)
        self.backends.add(backend)
        return backend, "by the test"


class Watched(FakeBackend):
    """A fake whose states are objects."""

    def __init__(self, card: Any, opener: Opener) -> None:
        super().__init__(card)
        self._opener = opener

    def initial_state(self) -> Any:
        return self._watch(super().initial_state())

    def step(self, inputs: StepInput, state: Any) -> tuple[StepOutput, Any]:
        if self._opener.faults:
            raise BackendError(self._opener.faults.pop(0))
        output, following = super().step(inputs, state.content)
        return output, self._watch(following)

    def _watch(self, content: Any) -> State:
        state = State()
        state.content = content  # type: ignore[attr-defined]
        self._opener.states.add(state)
        return state


def configured(rig: Rig, opener: Opener, card: ModelCard | None = None) -> Any:
    rig.folder.mkdir(exist_ok=True)
    save_card(card or make_card(), rig.folder)
    node = rig.bare_segmenter(opener)
    node.trigger_configure()
    return node


def activate(rig: Rig, node: Any) -> None:
    node.trigger_activate()
    assert node.state == "active"
    rig.until(rig.matched)


def fail(rig: Rig, opener: Opener, tick: int, *faults: str) -> None:
    """Let the model fail at a tick, and then the openings that follow; wait until all of it is over."""
    opener.faults += faults
    rig.show_message(image_message("red", START_NS + tick * 100_000_000), wait=False)
    rig.until(lambda: not opener.faults and len(opener.at_opening) > 1)


def test_an_activation_that_ended_leaves_nothing(rig: Rig) -> None:
    opener = Opener()
    node = configured(rig, opener)
    sessions = []
    for activation in range(4):
        activate(rig, node)
        rig.show("red", 10 * activation)
        sessions += [weakref.ref(node._session), weakref.ref(node._session.pipeline)]
        assert len(opener.states) >= 1  # the negative control: what is in use is seen
        node.trigger_deactivate()
        assert not opener.states
    rig.executor.spin_once(timeout_sec=0)  # the executor still holds what it waited for last
    assert [session() for session in sessions] == [None] * len(sessions)
    node.trigger_cleanup()
    assert not opener.backends


def test_an_activation_of_many_streams_leaves_nothing(rig: Rig) -> None:
    """Of its topics one is still looked for, as nobody publishes it."""
    wrist = rig.talk(Image, "/wrist/image_raw")
    opener = Opener()
    node = configured(rig, opener, robot_card())
    sessions = []
    for activation in range(2):
        activate(rig, node)
        rig.send("wrist", wrist, image_message("red", START_NS + 1_000_000_000 * activation - 1))
        rig.show("red", 10 * activation)
        sessions += [weakref.ref(node._session), weakref.ref(node._session.subscriptions)]
        node.trigger_deactivate()
        assert not opener.states
    # the executor holds on to what it looked at last until it looks again
    rig.until(lambda: not any(session() for session in sessions))


def test_an_activation_that_failed_leaves_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise ConfigError("no such topic")

    opener = Opener()
    node = configured(rig, opener)
    monkeypatch.setattr("hal_ros.ros.segmenter.session.Subscriptions", refuse)
    assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert not opener.states
    node.trigger_cleanup()
    assert not opener.backends


def test_a_backend_is_gone_before_it_is_opened_again(rig: Rig) -> None:
    opener = Opener()
    node = configured(rig, opener)
    activate(rig, node)
    rig.show("red", 0)
    fail(rig, opener, 1, "out of memory")
    assert node.state == "active" and len(opener.backends) == 1
    assert opener.at_opening == [0, 0]


def test_a_backend_that_can_not_be_opened_again_is_gone_too(rig: Rig) -> None:
    opener = Opener()
    node = configured(rig, opener)
    activate(rig, node)
    rig.show("red", 0)
    fail(rig, opener, 1, "out of memory", "out of memory still")
    assert node.state == "inactive" and not opener.backends
    assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    rig.status("model", b"\x02", "clean the node up and configure it again")
    for trigger in (node.trigger_cleanup, node.trigger_configure):
        trigger()
    activate(rig, node)
    rig.show("blue", 20)
    assert opener.at_opening == [0, 0, 0]


def test_a_failure_that_nobody_looked_at_holds_no_backend(rig: Rig) -> None:
    opener = Opener()
    node = configured(rig, opener)
    activate(rig, node)
    node._on_worker_error(_raised(node._session.pipeline))  # and before the executor gets to it:
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert not opener.backends


def _raised(held: Any) -> Exception:
    """Return an error whose traceback holds on to `held`."""
    try:
        raise BackendError("out of memory")
    except BackendError as error:
        return error


# --- on a fake TensorRT -----------------------------------------------------------------------------------------------


def test_engines_and_streams_are_given_back_to_the_gpu(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    import fake_tensorrt
    from colour_bundle import write_bundle

    write_bundle(rig.folder)
    monkeypatch.setenv("HAL_ROS_CACHE", str(tmp_path / "cache"))
    fakes = fake_tensorrt.install(monkeypatch)
    node = rig.bare_segmenter(backend="tensorrt", precision="fp32", build_on_start=True)
    node.trigger_configure()
    at_first = fakes.gpu.live()
    for activation in range(4):
        activate(rig, node)
        rig.show("red", 10 * activation)
        node.trigger_deactivate()
        assert fakes.gpu.live() == at_first  # no stream more
    node.trigger_cleanup()
    assert not any(fakes.gpu.live().values())
    node.trigger_configure()
    assert fakes.gpu.live() == at_first and at_first["blocks"]
