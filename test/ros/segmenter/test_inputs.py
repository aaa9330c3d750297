"""What becomes of messages before the worker sees them; no middleware is needed for that."""

from __future__ import annotations

import gc
import sys
import types
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import make_card
from hal_ros.core.errors import ConfigError
from hal_ros.ros.segmenter.inputs import MessageInputs, ReceivedFrame, Synchroniser
from ros_fakes import PERIOD_NS, START_NS, image_message, joint_message

MS = 1_000_000


class Recorded(MessageInputs):
    """Inputs that keep their frames."""

    def __init__(self, **changes: object) -> None:
        self.frames: list[ReceivedFrame] = []
        super().__init__(make_card(**changes), self.frames.append)

    def image(self, stamp_ns: int) -> None:
        self.on_image(image_message("red", stamp_ns))


@pytest.fixture
def inputs() -> Recorded:
    return Recorded()


def test_a_frame_carries_the_message_untouched(inputs: Recorded) -> None:
    message = image_message("red", START_NS)
    inputs.on_image(message)
    (frame,) = inputs.frames
    assert frame.message is message and frame.frame_id == "camera"
    assert (frame.due.stamp_ns, frame.due.tick, frame.due.origin_ns) == (START_NS, 0, START_NS)
    assert frame.received_ns == inputs.last_image_ns


def test_a_camera_of_100_hz_gives_10_ticks_a_second(inputs: Recorded) -> None:
    for i in range(100):
        inputs.image(START_NS + i * 10 * MS)
    assert [frame.due.tick for frame in inputs.frames] == list(range(11))  # 0.99 s is nearest to tick 10
    assert inputs.counters["not_due"] == 89


@pytest.mark.parametrize(
    ("offset_ns", "cause"), [(0, "repeated"), (-50 * MS, "backwards"), (-START_NS, "zero"), (10 * MS, "not_due")]
)
def test_a_bad_stamp_is_counted_and_dropped(inputs: Recorded, offset_ns: int, cause: str) -> None:
    inputs.image(START_NS)
    inputs.image(START_NS + offset_ns)
    assert len(inputs.frames) == 1
    assert inputs.counters[cause] == 1


@pytest.mark.parametrize("jump_ns", [-2_000 * MS, 60_000 * MS])
def test_a_jump_in_time_starts_a_fresh_grid(inputs: Recorded, jump_ns: int) -> None:
    inputs.image(START_NS)
    inputs.image(START_NS + jump_ns)
    due = inputs.frames[-1].due
    assert (due.tick, due.origin_ns) == (0, START_NS + jump_ns)
    assert inputs.counters["restarts"] == 2


def test_a_reset_starts_a_fresh_grid(inputs: Recorded) -> None:
    inputs.image(START_NS)
    inputs.reset()
    inputs.image(START_NS + PERIOD_NS)
    assert [frame.due.tick for frame in inputs.frames] == [0, 0]


@given(st.lists(st.integers(-3 * PERIOD_NS, 40 * PERIOD_NS), max_size=40))
def test_every_image_is_counted_once_and_ticks_rise_on_a_grid(offsets: list[int]) -> None:
    inputs = Recorded()
    for offset in offsets:
        inputs.image(START_NS + offset)
    causes = ("due", "not_due", "repeated", "backwards", "zero")
    assert sum(inputs.counters[cause] for cause in causes) == len(offsets) == inputs.counters["images"]
    assert len(inputs.frames) == inputs.counters["due"]
    for before, after in zip(inputs.frames, inputs.frames[1:], strict=False):
        assert after.due.origin_ns != before.due.origin_ns or after.due.tick > before.due.tick


# --- joints -----------------------------------------------------------------------------------------------------------


def test_joints_are_taken_by_name_in_any_order(inputs: Recorded) -> None:
    message = joint_message(START_NS, ("other", "b", "a"))
    message.position = [9.0, 2.0, 1.0]
    inputs.on_joints(message)
    inputs.image(START_NS)
    joints = inputs.frames[0].due.joints
    assert joints is not None and joints.position.tolist() == [1.0, 2.0]
    assert np.isnan(joints.velocity).all() and np.isnan(joints.effort).all()


def test_a_joint_sample_newer_than_the_image_is_not_used(inputs: Recorded) -> None:
    inputs.on_joints(joint_message(START_NS - 20 * MS, value=1.0))
    inputs.on_joints(joint_message(START_NS + MS, value=2.0))
    inputs.image(START_NS)
    joints = inputs.frames[0].due.joints
    assert joints is not None and joints.position.tolist() == [1.0, 1.0]


def test_joints_that_never_come_leave_the_camera_alone(inputs: Recorded) -> None:
    inputs.image(START_NS)
    assert inputs.frames[0].due.joints is None
    assert inputs.counters["joints_missing"] == 1


@pytest.mark.parametrize("change", [{"position": [1.0, float("nan")]}, {"name": ["a", "c"]}])
def test_absent_values_are_nan_and_counted(inputs: Recorded, change: dict[str, list[object]]) -> None:
    message = joint_message(START_NS)
    for name in ("position", "velocity", "effort"):
        setattr(message, name, [1.0, 1.0])
    inputs.on_joints(message)
    inputs.image(START_NS)
    assert inputs.counters["joints_partial"] == 0
    for name, value in change.items():
        setattr(message, name, value)
    message.header.stamp.nanosec += 1
    inputs.on_joints(message)
    inputs.image(START_NS + PERIOD_NS)
    joints = inputs.frames[-1].due.joints
    assert joints is not None and joints.position[0] == 1.0 and np.isnan(joints.position[1])
    assert inputs.counters["joints_partial"] == 1


def test_joints_of_another_robot_are_counted_with_their_names(inputs: Recorded) -> None:
    inputs.on_joints(joint_message(START_NS, ("x", "y")))
    assert inputs.counters["joints_unnamed"] == 1 and inputs.counters["joint_samples"] == 0
    assert inputs.joint_names_seen == {"x", "y"}


def test_a_bundle_without_camera_ticks_on_joints() -> None:
    inputs = Recorded(image=None)
    for i in range(30):
        inputs.on_joints(joint_message(START_NS + i * 10 * MS))
    assert [frame.due.tick for frame in inputs.frames] == [0, 1, 2, 3]
    assert all(frame.message is None and frame.due.joints is not None for frame in inputs.frames)


def test_a_bundle_without_joints_takes_none() -> None:
    inputs = Recorded(joints=None)
    inputs.on_joints(joint_message(START_NS))
    inputs.image(START_NS)
    assert inputs.frames[0].due.joints is None
    assert inputs.counters["joints_missing"] == 0


# --- message_filters --------------------------------------------------------------------------------------------------


class SimpleFilter:
    """The interface of ROS 2's message_filters that the synchroniser uses."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[..., None]] = []

    def registerCallback(self, callback: Callable[..., None]) -> None:  # noqa: N802
        self.callbacks.append(callback)

    def signalMessage(self, *messages: object) -> None:  # noqa: N802
        for callback in self.callbacks:
            callback(*messages)


class PairInOrder(SimpleFilter):
    """Pairs the n-th message of one filter with the n-th of the other."""

    def __init__(self, filters: list[SimpleFilter], queue_size: int, slop: float) -> None:
        super().__init__()
        self.queues: list[list[object]] = [[] for _ in filters]
        self.limits = (queue_size, slop)
        for queue, one in zip(self.queues, filters, strict=True):
            one.registerCallback(queue.append)
            one.registerCallback(lambda _: self.pair())

    def pair(self) -> None:
        while all(self.queues):
            self.signalMessage(*(queue.pop(0) for queue in self.queues))


@pytest.fixture
def message_filters(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    module = types.ModuleType("message_filters")
    module.rclpy = object()  # type: ignore[attr-defined]
    module.SimpleFilter, module.ApproximateTimeSynchronizer = SimpleFilter, PairInOrder  # type: ignore[attr-defined]
    module.__file__ = "message_filters/__init__.py"
    monkeypatch.setitem(sys.modules, "message_filters", module)
    return module


def test_an_image_waits_for_its_joint_state(inputs: Recorded, message_filters: types.ModuleType) -> None:
    synchroniser = Synchroniser(inputs, slop_s=0.02, queue_size=10)
    synchroniser.on_image(image_message("red", START_NS))
    assert not inputs.frames and inputs.counters["unpaired"] == 1
    assert inputs.last_image_ns is not None  # it did come
    synchroniser.on_joints(joint_message(START_NS - MS))
    assert len(inputs.frames) == 1 and inputs.counters["unpaired"] == 0


def test_a_pair_does_not_bring_in_a_newer_sample(inputs: Recorded, message_filters: types.ModuleType) -> None:
    synchroniser = Synchroniser(inputs, slop_s=0.02, queue_size=10)
    inputs.on_joints(joint_message(START_NS - MS, value=1.0))
    synchroniser.on_image(image_message("red", START_NS))
    synchroniser.on_joints(joint_message(START_NS + MS, value=2.0))
    joints = inputs.frames[0].due.joints
    assert joints is not None and joints.position.tolist() == [1.0, 1.0]


def test_a_synchroniser_ends_with_its_holder(inputs: Recorded, message_filters: types.ModuleType) -> None:
    gc.collect()
    gc.disable()
    try:
        synchroniser = Synchroniser(inputs, slop_s=0.02, queue_size=10)
        synchroniser.on_image(image_message("red", START_NS))
        seen = weakref.ref(synchroniser)
        del synchroniser
        assert seen() is None
    finally:
        gc.enable()


def test_the_ros_1_port_is_refused(message_filters: types.ModuleType, inputs: Recorded) -> None:
    del message_filters.rclpy
    with pytest.raises(ConfigError, match=r"message_filters/__init__.py is not the one of ROS 2"):
        Synchroniser(inputs, 0.02, 10)


def test_an_absent_package_is_named(inputs: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "message_filters", None)
    with pytest.raises(ConfigError, match=r"message_filters.*expected latest"):
        Synchroniser(inputs, 0.02, 10)


def test_the_real_synchroniser_pairs_by_stamp(inputs: Recorded) -> None:
    module = pytest.importorskip("message_filters", reason="ROS 2's message_filters is not installed")
    if not hasattr(module, "rclpy"):
        pytest.skip("message_filters is the port of ROS 1")
    synchroniser = Synchroniser(inputs, slop_s=0.02, queue_size=10)
    synchroniser.on_image(image_message("red", START_NS))
    synchroniser.on_joints(joint_message(START_NS - 500 * MS))
    assert not inputs.frames
    synchroniser.on_joints(joint_message(START_NS - MS))
    assert len(inputs.frames) == 1
