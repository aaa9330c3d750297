"""What becomes of messages before the worker sees them; no middleware is needed for that."""

from __future__ import annotations

import dataclasses
import gc
import sys
import time
import types
import weakref
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, Header

from fakes import make_streams
from hal_ros.bags.sensors import IMAGE
from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.spec import JOINT_STATE, StateSpec, StreamSpec
from hal_ros.ros.segmenter.inputs import MessageInputs, ReceivedFrame, Synchroniser, TopicPort
from hal_ros.ros.segmenter.topics import Form, WantedTopic
from ros_fakes import PERIOD_NS, START_NS, image_message, joint_message, to_stamp

MS = 1_000_000


class Recorded(MessageInputs):
    """Inputs that keep their frames."""

    def __init__(self, spec: StreamSpec | None = None, **changes: Any) -> None:
        self.frames: list[ReceivedFrame] = []
        super().__init__(spec or make_streams(**changes), self.frames.append)

    def topic(self, stream: str) -> TopicPort:
        kind = IMAGE if stream in self.spec.cameras else JOINT_STATE
        return self.port(WantedTopic(Form(f"/{stream}", f"/{stream}", kind), (stream,)))

    def image(self, stamp_ns: int) -> None:
        self.topic("camera").on_message(image_message("red", stamp_ns))

    def joints(self, message: JointState) -> None:
        self.topic("joints").on_message(message)

    def newest(self) -> tuple[list[float], list[float]]:
        """The state values of the newest tick, and which of them are valid."""
        due = self.frames[-1].due
        return due.values.tolist(), due.valid.tolist()


@pytest.fixture
def inputs() -> Recorded:
    return Recorded()


def test_a_frame_carries_the_message_untouched(inputs: Recorded) -> None:
    message = image_message("red", START_NS)
    inputs.topic("camera").on_message(message)
    (frame,) = inputs.frames
    picture = frame.due.pictures["camera"]
    assert picture is not None and picture.message is message and frame.due.frame_id == "camera"
    assert (picture.topic, picture.stamp_ns) == ("/camera", START_NS)
    assert (frame.due.stamp_ns, frame.due.tick, frame.due.origin_ns) == (START_NS, 0, START_NS)
    assert frame.received_ns == inputs.sights["camera"].last_ns


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
    assert len(inputs.frames) == inputs.counters["restarts"] == 1  # it may be one stamp alone
    inputs.image(START_NS + jump_ns + PERIOD_NS)
    before, due = inputs.frames[-1].due.in_order
    assert (before.tick, before.origin_ns) == (0, START_NS + jump_ns) and due.tick == 1
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
    inputs.reset()  # what still waits for the next stamp is known to be in vain now
    causes = ("due", "not_due", "repeated", "backwards", "zero", "outlier")
    assert sum(inputs.counters[cause] for cause in causes) == len(offsets) == inputs.counters["camera/received"]
    dues = [due for frame in inputs.frames for due in frame.due.in_order]
    assert len(dues) == inputs.counters["due"]
    for before, after in pairwise(dues):
        assert after.origin_ns != before.origin_ns or after.tick > before.tick


HOSTILE: dict[str, Any] = {
    "nanoseconds": {"header": Header(stamp=Time(sec=5, nanosec=2**32 - 1))},
    "the end of time": {"header": Header(stamp=Time(sec=2**31 - 1, nanosec=999_999_999))},
    "before 1970": {"header": Header(stamp=Time(sec=-5))},
    "no image": {"height": 2**32 - 1, "width": 2**32 - 1, "step": 0, "data": b""},
}


@pytest.mark.parametrize("kept", [0, 3, 4, 12, 40, -8])
def test_bytes_that_are_no_picture_are_counted_and_the_next_good_one_is_answered(inputs: Recorded, kept: int) -> None:
    camera, good = inputs.topic("camera"), serialize_message(image_message("red", START_NS))
    camera.on_bytes(good[:kept])
    assert inputs.counters["camera/malformed"] == 1 and inputs.sights["camera"].malformed
    camera.on_bytes(good)
    assert [frame.due.stamp_ns for frame in inputs.frames] == [START_NS]


@pytest.mark.parametrize("case", HOSTILE)
def test_whatever_an_image_holds_the_next_good_one_is_answered(inputs: Recorded, case: str) -> None:
    inputs.image(START_NS)
    odd = image_message("red", START_NS + PERIOD_NS)
    for name, value in HOSTILE[case].items():
        setattr(odd, name, value)
    inputs.topic("camera").on_message(odd)
    inputs.image(START_NS + 2 * PERIOD_NS)
    assert inputs.frames[-1].due.tick == 2 and inputs.counters["restarts"] == 1
    assert inputs.counters["camera/received"] == 3


def test_a_message_that_breaks_its_reader_is_counted_with_what_was_wrong(
    inputs: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = inputs.topic("joints")
    monkeypatch.setattr(port.readers["joints"], "read", lambda _: 1 // 0)
    port.on_message(joint_message(START_NS))
    monkeypatch.undo()
    port.on_message(joint_message(START_NS))
    assert (inputs.counters["joints/malformed"], inputs.counters["joints/received"]) == (1, 1)
    assert "ZeroDivisionError" in inputs.sights["joints"].malformed


# --- joints -----------------------------------------------------------------------------------------------------------


POSITIONS = [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_joints_are_taken_by_name_in_any_order(inputs: Recorded) -> None:
    message = joint_message(START_NS, ("other", "b", "a"))
    message.position = [9.0, 2.0, 1.0]
    inputs.joints(message)
    inputs.image(START_NS)
    assert inputs.newest() == ([1.0, 2.0, 0, 0, 0, 0], POSITIONS)


def test_a_joint_sample_newer_than_the_image_is_not_used(inputs: Recorded) -> None:
    inputs.joints(joint_message(START_NS - 20 * MS, value=1.0))
    inputs.joints(joint_message(START_NS + MS, value=2.0))
    inputs.image(START_NS)
    assert inputs.newest() == (POSITIONS, POSITIONS)


def test_joints_that_never_come_leave_the_camera_alone(inputs: Recorded) -> None:
    inputs.image(START_NS)
    assert not inputs.frames[0].due.valid.any()
    assert inputs.counters["joints/missing"] == 1


UNKNOWN = {field: [1.0, float("nan")] for field in ("position", "velocity", "effort")}


@pytest.mark.parametrize("change", [UNKNOWN, {"name": ["a", "c"]}])
def test_absent_values_are_invalid_and_counted(inputs: Recorded, change: dict[str, list[object]]) -> None:
    message = joint_message(START_NS)
    for name in ("position", "velocity", "effort"):
        setattr(message, name, [1.0, 1.0])
    inputs.joints(message)
    inputs.image(START_NS)
    assert inputs.counters["joints/partial"] == 0
    for name, value in change.items():
        setattr(message, name, value)
    message.header.stamp = to_stamp(START_NS + PERIOD_NS)  # the one before is too old by then
    inputs.joints(message)
    inputs.image(START_NS + PERIOD_NS + PERIOD_NS // 2)
    values, valid = inputs.newest()
    assert (values[0], valid[0], valid[1]) == (1.0, 1.0, 0.0)
    assert inputs.counters["joints/partial"] == 1


def test_joints_of_another_robot_are_counted_with_their_names(inputs: Recorded) -> None:
    inputs.joints(joint_message(START_NS, ("x", "y")))
    assert inputs.counters["joints/unnamed"] == 1 and inputs.counters["joints/received"] == 0
    assert inputs.sights["joints"].names_seen == {"x", "y"} and inputs.names_unseen("joints") == ("a", "b")


def test_a_bundle_without_camera_ticks_on_joints() -> None:
    inputs = Recorded(camera=None)
    for i in range(30):
        inputs.joints(joint_message(START_NS + i * 10 * MS))
    assert [frame.due.tick for frame in inputs.frames] == [0, 1, 2, 3]
    assert all(not frame.due.pictures and frame.due.valid.any() for frame in inputs.frames)


def test_a_bundle_without_joints_takes_none() -> None:
    inputs = Recorded(joints=None)
    inputs.image(START_NS)
    assert not inputs.frames[0].due.values.size and len(inputs.frames[0].due.sources) == 1


def test_one_topic_may_be_of_several_streams_and_the_clock_comes_last() -> None:
    """A tick that the joints make knows what the same message says of the gripper."""
    spec = StreamSpec("arm", {}, {"arm": StateSpec(names=("a",)), "gripper": StateSpec(names=("b",))}, 10.0)
    frames: list[ReceivedFrame] = []
    inputs = MessageInputs(spec, frames.append)
    port = inputs.port(WantedTopic(Form("j", "/j", JOINT_STATE), ("arm", "gripper")))
    port.on_message(joint_message(START_NS, ("a", "b")))
    assert [source.stream for source in frames[0].due.sources] == ["arm", "gripper"]


@pytest.mark.parametrize(
    ("state", "type_name", "words"),
    [
        (StateSpec(type="geometry_msgs/msg/WrenchStamped", fields=("wrench.force.x",)), JOINT_STATE, "expected geo"),
        (StateSpec(names=("a",)), "std_msgs/msg/String", "carries std_msgs/msg/String; expected sensor_msgs"),
        (StateSpec(fields=("wrench.force.q",)), "geometry_msgs/msg/WrenchStamped", "wrench.force.q"),
    ],
)
def test_a_topic_that_can_not_be_read_says_why_in_one_line(state: StateSpec, type_name: str, words: str) -> None:
    inputs = MessageInputs(StreamSpec("s", {}, {"s": state}), lambda _: None)
    port = inputs.port(WantedTopic(Form("/x", "/x", type_name), ("s",)))
    problem = inputs.sights["s"].problem
    assert not port.streams and problem.startswith(f"/x carries {type_name}") and problem.count("carries") == 1
    assert words in problem and "\n" not in problem


def test_a_message_without_header_is_stamped_when_it_was_sent() -> None:
    spec = StreamSpec("s", {}, {"s": StateSpec(type="std_msgs/msg/Float64MultiArray", fields=("data[1]",))})
    frames: list[ReceivedFrame] = []
    port = MessageInputs(spec, frames.append).port(
        WantedTopic(Form("/x", "/x", "std_msgs/msg/Float64MultiArray"), ("s",))
    )
    assert not port.headed
    port.on_message_with_info(Float64MultiArray(data=[1.0, 2.0]), {"source_timestamp": START_NS})
    assert frames[0].due.stamp_ns == START_NS and frames[0].due.values.tolist() == [2.0]
    before_ns = time.time_ns()
    port.on_bare_message(Float64MultiArray(data=[1.0, 2.0]))
    port.on_bare_message(Float64MultiArray(data=[1.0, 2.0]))  # it goes on from the one before, and proves it
    assert before_ns <= frames[1].due.stamp_ns <= time.time_ns()


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


class Synchronised(NamedTuple):
    """A synchroniser and the callbacks of its topics."""

    synchroniser: Synchroniser
    on: dict[str, Callable[[Any], None]]


def synchronised(inputs: Recorded, *streams: str) -> Synchronised:
    synchroniser = Synchroniser(inputs, slop_s=0.02, queue_size=10)
    on = {name: synchroniser.wrap(inputs.topic(name)) for name in streams or inputs.spec.names}
    synchroniser.start()
    return Synchronised(synchroniser, on)


def test_an_image_waits_for_its_joint_state(inputs: Recorded, message_filters: types.ModuleType) -> None:
    _, on = synchronised(inputs)
    on["camera"](image_message("red", START_NS))
    assert not inputs.frames and inputs.counters["unpaired"] == 1
    assert inputs.sights["camera"].last_ns is not None  # it did come
    on["joints"](joint_message(START_NS - MS))
    assert len(inputs.frames) == 1 and inputs.counters["unpaired"] == 0


def test_an_image_waits_for_all_of_three_streams(message_filters: types.ModuleType) -> None:
    two = make_streams()
    inputs = Recorded(dataclasses.replace(two, states={**two.states, "gripper": StateSpec(names=("g",))}))
    _, on = synchronised(inputs)
    on["camera"](image_message("red", START_NS))
    on["joints"](joint_message(START_NS - MS))
    assert not inputs.frames
    on["gripper"](joint_message(START_NS - 2 * MS, ("g",)))
    (frame,) = inputs.frames
    assert [source.stream for source in frame.due.sources] == ["camera", "joints", "gripper"]


def test_a_topic_that_is_found_late_takes_part_from_then_on(
    inputs: Recorded, message_filters: types.ModuleType
) -> None:
    synchroniser, on = synchronised(inputs, "camera")
    on["camera"](image_message("red", START_NS))
    assert len(inputs.frames) == 1  # there was nothing to wait for
    on["joints"] = synchroniser.wrap(inputs.topic("joints"))
    synchroniser.start()
    on["camera"](image_message("red", START_NS + PERIOD_NS))
    assert len(inputs.frames) == 1
    on["joints"](joint_message(START_NS + PERIOD_NS - MS))
    assert len(inputs.frames) == 2


def test_a_pair_does_not_bring_in_a_newer_sample(inputs: Recorded, message_filters: types.ModuleType) -> None:
    _, on = synchronised(inputs)
    inputs.joints(joint_message(START_NS - MS, value=1.0))
    on["camera"](image_message("red", START_NS))
    on["joints"](joint_message(START_NS + MS, value=2.0))
    assert inputs.newest() == (POSITIONS, POSITIONS)


def test_a_synchroniser_ends_with_its_holder(inputs: Recorded, message_filters: types.ModuleType) -> None:
    gc.collect()
    gc.disable()
    try:
        synchroniser, on = synchronised(inputs)
        on["camera"](image_message("red", START_NS))
        seen = weakref.ref(synchroniser)
        del synchroniser, on
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
    _, on = synchronised(inputs)
    on["camera"](image_message("red", START_NS))
    on["joints"](joint_message(START_NS - 500 * MS))
    assert not inputs.frames
    on["joints"](joint_message(START_NS - MS))
    assert len(inputs.frames) == 1
