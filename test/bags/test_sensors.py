"""The clock's messages go behind all that are not newer: whatever the order of arrival, the stamps decide."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosbags.typesys import get_types_from_msg

from fakes import make_streams
from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.frames import due_frames
from hal_ros.bags.inputs import BagInputs, inputs_among
from hal_ros.bags.messages import header_message, known_class, serialise
from hal_ros.bags.reader import BagMessage
from hal_ros.bags.sensors import IMAGE, MOST_LATE_NS, in_clock_order, stamp_of
from hal_ros.bags.writer import TopicForm
from hal_ros.core.streams.spec import JOINT_STATE, CameraSpec, StateSpec, StreamSpec

MS = 1_000_000
IMAGES = [100 * MS * tick for tick in range(1, 6)]
JOINTS = [10 * MS * tick for tick in range(1, 60)]
TYPES = {"/image": IMAGE, "/joints": JOINT_STATE}
INPUTS = inputs_among(TYPES, BagTypes(), make_streams(), "model")


def message(topic: str, stamp_ns: int, receive_ns: int) -> BagMessage:
    header = b"\0\1\0\0" + struct.pack("<iI", *divmod(stamp_ns, 1_000_000_000))
    return BagMessage(topic, "", receive_ns, header)


def stamp_ns(found: BagMessage) -> int:
    seconds, nanoseconds = struct.unpack_from("<iI", found.data, 4)
    return int(seconds * 1_000_000_000 + nanoseconds)


def newest_joints_at_images(messages: Iterable[BagMessage]) -> list[int]:
    """What causal alignment finds: per image, in order, the newest stamp seen that is not newer."""
    seen, found = [0], []
    for each in messages:
        if each.topic == "/joints":
            seen.append(stamp_ns(each))
        else:
            found.append(max(stamp for stamp in seen if stamp <= stamp_ns(each)))
    return found


def arrived(image_delay_ns: int, joint_delays_ns: list[int]) -> list[BagMessage]:
    """A recording whose joint states came late by these delays; each topic stays in order, as one publisher's does."""
    messages = [message("/image", stamp, stamp + image_delay_ns) for stamp in IMAGES]
    newest = 0
    for stamp, delay in zip(JOINTS, joint_delays_ns, strict=True):
        newest = max(newest, stamp + delay)
        messages.append(message("/joints", stamp, newest))
    return sorted(messages, key=lambda each: each.receive_ns)


@given(st.integers(0, 40), st.lists(st.integers(0, 80), min_size=len(JOINTS), max_size=len(JOINTS)))
def test_the_order_of_arrival_does_not_matter(image_delay_ms: int, joint_delays_ms: list[int]) -> None:
    messages = arrived(image_delay_ms * MS, [delay * MS for delay in joint_delays_ms])
    ordered = list(in_clock_order(messages, INPUTS))
    assert newest_joints_at_images(ordered) == IMAGES
    assert sorted(map(id, ordered)) == sorted(map(id, messages))  # nothing is lost, nothing comes twice
    for topic in TYPES:
        assert [m for m in ordered if m.topic == topic] == [m for m in messages if m.topic == topic]


def test_in_receive_order_it_would_matter() -> None:
    late = arrived(0, [30 * MS] * len(JOINTS))
    assert newest_joints_at_images(late) != IMAGES


THREE = StreamSpec(
    "front",
    {"front": CameraSpec(topic=("/front",)), "wrist": CameraSpec(topic=("/wrist",))},
    {"arm": StateSpec(topic=("/arm", "/hand"), names=("a",))},
)
THREE_TYPES = {"/front": IMAGE, "/wrist": IMAGE, "/arm": JOINT_STATE, "/hand": JOINT_STATE}


@given(st.lists(st.tuples(st.sampled_from(list(THREE_TYPES)), st.integers(1, 30), st.integers(0, 90)), max_size=60))
def test_every_topic_is_waited_for(plan: list[tuple[str, int, int]]) -> None:
    """A message of the clock comes before none that is not newer, as long as none came a second late."""
    inputs = inputs_among(THREE_TYPES, BagTypes(), THREE, "model")
    came: dict[str, int] = {}
    messages = []
    for topic, tens, delay_ms in sorted(plan, key=lambda one: one[1]):
        came[topic] = max(came.get(topic, 0), tens * 10 * MS + delay_ms * MS)
        messages.append(message(topic, tens * 10 * MS, came[topic]))
    ordered = list(in_clock_order(sorted(messages, key=lambda each: each.receive_ns), inputs))
    assert sorted(map(id, ordered)) == sorted(map(id, messages))
    for at, each in enumerate(ordered):
        if each.topic == "/front":
            assert all(stamp_ns(later) > stamp_ns(each) for later in ordered[at + 1 :] if later.topic != "/front")


def test_an_image_does_not_wait_for_ever() -> None:
    silent = [message("/image", 1, 1), message("/clock", 1, 2 + MOST_LATE_NS), message("/joints", 0, 3 + MOST_LATE_NS)]
    assert [m.topic for m in in_clock_order(silent, INPUTS)] == ["/image", "/clock", "/joints"]


def test_with_the_clock_alone_nothing_waits() -> None:
    images = [message("/image", stamp, stamp) for stamp in IMAGES]
    pulled: list[int] = []

    def source() -> Iterable[BagMessage]:
        for each in images:
            pulled.append(each.receive_ns)
            yield each

    stream = in_clock_order(source(), inputs_among({"/image": IMAGE}, BagTypes(), make_streams(), "model"))
    assert next(iter(stream)) is images[0] and pulled == IMAGES[:1]


def test_a_message_without_a_header_passes() -> None:
    broken = [BagMessage("/image", "", 1, b"\0"), BagMessage("/joints", "", 2, b""), message("/joints", 5, 3)]
    assert len(list(in_clock_order(broken, INPUTS))) == 3


def looped(loops: int, seconds: int = 3, joint_lead_ms: int = 15) -> list[BagMessage]:
    """A bag that was played several times: images come later than joints of their time; the last joints are missing."""
    messages = []
    for loop in range(loops):
        zero_ns, received_ns = 10_000 * MS, (10_000 + loop * seconds * 1000) * MS
        for offset_ns in range(0, seconds * 1000 * MS, 10 * MS):
            joints = known_class(JOINT_STATE)(
                header_message(zero_ns + offset_ns, ""), ["a", "b"], np.full(2, offset_ns / 1e9), np.ones(2), np.ones(2)
            )
            if offset_ns < (seconds * 1000 - 130) * MS:  # so that the last image waits for newer ones
                messages.append(BagMessage("/joints", JOINT_STATE, received_ns + offset_ns, serialise(joints)))
            if offset_ns % (100 * MS) == 0:
                header = header_message(zero_ns + offset_ns, "")
                image = known_class(IMAGE)(header, 1, 1, "mono8", 0, 1, np.zeros(1, np.uint8))
                at_ns = received_ns + offset_ns + joint_lead_ms * MS
                messages.append(BagMessage("/image", IMAGE, at_ns, serialise(image)))
    return sorted(messages, key=lambda each: each.receive_ns)


@pytest.mark.parametrize("joint_lead_ms", [-45, 0, 15, 45])
def test_a_looped_bag_gives_the_same_ticks_again(joint_lead_ms: int) -> None:
    counters: Counter[str] = Counter()
    frames = list(due_frames(looped(3, joint_lead_ms=joint_lead_ms), INPUTS, counters))
    seen = [(f.due.tick, f.due.values.tolist(), f.due.valid.tolist()) for f in frames]
    assert len(seen) == 90 and seen[:30] == seen[30:60] == seen[60:]
    assert counters["restarts"] == 3 and not counters["joints/late"] and not counters["joints/missing"]


def test_a_driver_whose_clock_is_behind_takes_its_turn() -> None:
    """What is seconds older than the clock's message keeps its place in the order of arrival."""
    late = [message("/joints", stamp, stamp + 5000 * MS) for stamp in JOINTS]
    timely = [message("/joints", stamp + 5000 * MS, stamp + 5001 * MS) for stamp in JOINTS]
    images = [message("/image", stamp + 5000 * MS, stamp + 5002 * MS) for stamp in IMAGES]
    messages = sorted([*late, *timely, *images], key=lambda each: each.receive_ns)
    ordered = list(in_clock_order(messages, INPUTS))
    assert sorted(map(id, ordered)) == sorted(map(id, messages))
    assert newest_joints_at_images(ordered) == [stamp + 5000 * MS for stamp in IMAGES]


# --- when a message was made ------------------------------------------------------------------------------------------

DEFINITION = "float64 value\nstd_msgs/Header header\n" + "=" * 80 + "\nMSG: std_msgs/Header\n"
DEFINITION += "builtin_interfaces/Time stamp\nstring frame_id\n" + "=" * 80 + "\nMSG: builtin_interfaces/Time\n"
DEFINITION += "int32 sec\nuint32 nanosec\n"


def gauge_inputs() -> BagInputs:
    forms = {"/gauge": TopicForm("x/msg/Gauge", "cdr", "ros2msg", DEFINITION.encode(), {})}
    state = StateSpec(topic=("/gauge", "/bare"), fields=("value",))
    types = {"/gauge": "x/msg/Gauge", "/image": IMAGE}
    spec = replace(make_streams(joints=None), states={"gauge": state})
    return inputs_among(types, BagTypes(forms), spec, "model")


def test_a_header_further_down_is_no_stamp() -> None:
    """As on the live node: it takes the time of sending for a type that does not begin with a header."""
    inputs = gauge_inputs()
    assert get_types_from_msg(DEFINITION, "x/msg/Gauge") and inputs.headed == {"/image"}
    data = b"\0\1\0\0" + struct.pack("<diI", 2.5, 7, 9) + struct.pack("<I", 1) + b"\0"
    assert inputs.types.deserialise("x/msg/Gauge", data).header.stamp.nanosec == 9
    assert stamp_of(BagMessage("/gauge", "x/msg/Gauge", 5, data, 4), inputs) == 4


def test_a_message_of_a_type_without_header_is_of_when_it_was_sent() -> None:
    types = {"/image": IMAGE, "/force": "geometry_msgs/msg/Wrench"}
    state = StateSpec(topic=("/force",), fields=("force.x",))
    inputs = inputs_among(types, BagTypes(), replace(make_streams(joints=None), states={"force": state}), "model")
    data = serialise(known_class("geometry_msgs/msg/Vector3")(1.0, 2.0, 3.0))
    assert stamp_of(BagMessage("/force", "geometry_msgs/msg/Wrench", 5, data, 4), inputs) == 4
    assert stamp_of(BagMessage("/force", "geometry_msgs/msg/Wrench", 5, data), inputs) == 5  # the bag does not say
    assert stamp_of(message("/image", 3, 5), inputs) == 3
