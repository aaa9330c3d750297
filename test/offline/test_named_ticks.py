"""Labels of a live run name every message that went in: from these alone its ticks are rebuilt, byte for byte."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import FakeBackend, make_card, picture
from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.frames import BagPicture, Frame, to_rgb
from hal_ros.bags.inputs import inputs_among
from hal_ros.bags.messages import deserialise, header_message, known_class, serialise, to_ns
from hal_ros.bags.reader import BagMessage
from hal_ros.bags.sensors import IMAGE, stamp_of
from hal_ros.core.card import EncoderSpec
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.streams.convert import PictureConverter
from hal_ros.core.streams.intake import Due, Intake
from hal_ros.core.streams.merge import StateSample
from hal_ros.core.streams.pictures import TimedPicture
from hal_ros.core.streams.readers import Reading
from hal_ros.core.streams.spec import JOINT_STATE, CameraSpec, StateSpec, StreamSpec
from hal_ros.offline.named_ticks import PATIENCE, named_frames, named_ticks
from hal_ros.offline.replay import LABEL_TOPIC, replay

MS, START_NS = 1_000_000, 5_000_000_000
WRENCH, BARE = "geometry_msgs/msg/WrenchStamped", "std_msgs/msg/Float32"
STREAMS = StreamSpec(
    "front",
    {
        "front": CameraSpec(topic=("/front",), size_px=16),
        "wrist": CameraSpec(topic=("/wrist",), size_px=16, max_age_s=0.25),
        "detail": CameraSpec(topic=("/front",), size_px=16, crop=(0, 0, 8, 8)),
    },
    {
        "arm": StateSpec(topic=("/joint_states", "/gripper/joint_states"), names=("a", "b", "finger"), max_age_s=0.1),
        "wrench": StateSpec(topic=("/ft",), type=WRENCH, fields=("wrench.force.x", "wrench.force.z"), max_age_s=0.05),
        "level": StateSpec(topic=("/level",), fields=("data",), max_age_s=0.5),
    },
)
CARD = make_card(streams=STREAMS, encoder=EncoderSpec(3))
TOPICS = {
    "/front": IMAGE,
    "/wrist": IMAGE,
    "/joint_states": JOINT_STATE,
    "/gripper/joint_states": JOINT_STATE,
    "/ft": WRENCH,
    "/level": BARE,
}
INPUTS = inputs_among(TOPICS, BagTypes(), STREAMS, "robot")


class Everything(FakeBackend):
    """Every input counts, so that a wrong one shows in the probabilities."""

    def step(self, inputs: Any, state: Any) -> Any:
        feature = inputs.feature.reshape(3, 3) * np.array([[1], [0.7], [0.4]], np.float32)
        values = inputs.joints * inputs.joints_valid * np.arange(1, len(inputs.joints) + 1, dtype=np.float32)
        shift = np.array([0.001, 0.002, 0.003], np.float32) * (values.sum() + 2 * inputs.joints_valid.sum())
        return super().step(inputs._replace(feature=(feature.sum(0) + shift).astype(np.float32)), state)


def segmenter() -> Segmenter:
    return Segmenter(CARD, Everything(CARD))


# --- a robot whose drivers take turns ---------------------------------------------------------------------------------


def image(topic: str, stamp_ns: int, colour: str) -> BagMessage:
    message = known_class(IMAGE)(header_message(stamp_ns, topic), 16, 16, "rgb8", 0, 48, picture(colour).reshape(-1))
    return BagMessage(topic, IMAGE, stamp_ns, serialise(message))


def joints(topic: str, stamp_ns: int, names: Sequence[str], effort: bool) -> BagMessage:
    values = np.array([(stamp_ns - START_NS) / 1e9 + len(name) for name in names])
    message = known_class(JOINT_STATE)(
        header_message(stamp_ns, ""), list(names), values, -values, values if effort else np.zeros(0)
    )
    return BagMessage(topic, JOINT_STATE, stamp_ns, serialise(message))


def wrench(stamp_ns: int) -> BagMessage:
    vector = known_class("geometry_msgs/msg/Vector3")
    force = vector((stamp_ns - START_NS) / 1e9, 0.0, 1.0)
    message = known_class("geometry_msgs/msg/Wrench")(force, vector(0.0, 0.0, 0.0))
    return BagMessage("/ft", WRENCH, stamp_ns, serialise(known_class(WRENCH)(header_message(stamp_ns, ""), message)))


def level(stamp_ns: int) -> BagMessage:
    data = serialise(known_class(BARE)((stamp_ns - START_NS) / 1e10))
    return BagMessage("/level", BARE, stamp_ns + 3 * MS, data, stamp_ns)  # sent without a stamp


def robot() -> list[BagMessage]:
    """Three seconds, each message when it was stamped; three drivers of joints, two of them on one topic."""
    messages = []
    for tick in range(30):
        at_ns = START_NS + tick * 100 * MS
        messages.append(image("/front", at_ns, ("red", "green", "blue")[tick // 10]))
        if tick % 3 == 0:
            messages.append(image("/wrist", at_ns - 7 * MS, ("blue", "red")[tick // 15]))
        messages.append(level(at_ns - 40 * MS))
        for step in range(5):
            now = at_ns + step * 20 * MS
            messages.append(joints("/joint_states", now - 9 * MS, ("b", "a"), effort=True))
            messages.append(joints("/joint_states", now - 4 * MS, ("finger",) if step % 2 else ("b",), effort=False))
            messages.append(wrench(now - 2 * MS))
        messages.append(joints("/gripper/joint_states", at_ns - 30 * MS, ("finger", "other"), effort=True))
    return messages


BAG = robot()


def received(messages: Sequence[BagMessage], delays_ms: random.Random, most_ms: int) -> list[BagMessage]:
    """The order of one process's arrivals; within a topic messages keep theirs, and some never come."""
    newest: dict[str, int] = {}
    arrived = []
    for message in sorted(messages, key=lambda one: one.receive_ns):
        at_ns = max(newest.get(message.topic, 0), message.receive_ns + delays_ms.randint(0, most_ms) * MS)
        newest[message.topic] = at_ns
        arrived.append(message._replace(receive_ns=at_ns))
    return sorted(arrived, key=lambda one: one.receive_ns)


def live(messages: Sequence[BagMessage], skipped: set[int] = frozenset()) -> tuple[list[BagMessage], Counter[str]]:  # type: ignore[assignment]
    """A node's run: in receive order through the intake, with ticks that its worker was too slow for."""
    intake, counters = Intake(STREAMS), Counter[str]()
    converter = PictureConverter(STREAMS, to_rgb, counters)
    frames = []
    for message in messages:
        content = INPUTS.types.deserialise(message.type_name, message.data)
        stamp_ns, due = stamp_of(message, INPUTS), None
        for camera in sorted(INPUTS.cameras.get(message.topic, ()), key="front".__eq__):
            shot = TimedPicture(stamp_ns, message.topic, BagPicture(content, message.type_name))
            due = intake.picture(camera, shot)
        for name, reader in INPUTS.readers.get(message.topic, {}).items():
            reading = reader.read(content)
            if isinstance(reading, Reading):
                intake.state(name, StateSample(stamp_ns, message.topic, reading.values, reading.present))
            else:
                intake.refuse(name, reading)
        if due is not None and due.tick not in skipped:
            frames.append(_frame(due, converter, message))
    return list(replay(frames, segmenter())), intake.counters


def _frame(due: Due, converter: PictureConverter, message: BagMessage) -> Frame:
    pictures = converter.convert(due)
    assert pictures is not None
    return Frame(due, pictures, message.topic, message.receive_ns)


def rebuilt(bag: Sequence[BagMessage], recorded: Sequence[BagMessage]) -> tuple[list[BagMessage], Counter[str]]:
    counters: Counter[str] = Counter()
    labels = [one for one in recorded if one.topic == LABEL_TOPIC]
    ticks, segments = named_ticks(labels, CARD, BagTypes())
    return list(replay(named_frames(bag, ticks, INPUTS, counters), segmenter(), segments)), counters


def contents(messages: Sequence[BagMessage]) -> list[tuple[str, bytes]]:
    return [(one.topic, one.data) for one in messages]


@settings(max_examples=25, deadline=None)
@given(
    st.randoms(use_true_random=False),
    st.sampled_from([0, 15, 60, 250]),
    st.sets(st.integers(0, 29), max_size=6),
    st.sets(st.integers(0, len(BAG) - 1), max_size=100),
)
def test_what_a_live_run_merged_is_rebuilt_from_its_labels(
    delays: random.Random, most_ms: int, skipped: set[int], lost: set[int]
) -> None:
    """Whatever came late or never to the node, and in whatever order the recorder got it."""
    to_node = [one for index, one in enumerate(BAG) if index not in lost]
    recorded, _ = live(received(to_node, delays, most_ms), skipped)
    in_bag = received(BAG, delays, most_ms)
    again, counters = rebuilt(in_bag, recorded)
    assert contents(again) == contents(recorded)
    assert not counters["missing"]


def test_the_disturbed_run_was_disturbed() -> None:  # negative control
    plain, _ = live(received(BAG, random.Random(0), 0))
    late, counters = live(received(BAG, random.Random(0), 60))
    assert contents(plain) != contents(late)
    causes = {name for name, count in counters.items() if count}
    assert causes >= {"arm/late", "wrench/missing"}
    labels = [deserialise(one.type_name, one.data) for one in late if one.topic == LABEL_TOPIC]
    assert {one.stream for label in labels for one in label.inputs} == set(STREAMS.names)
    assert max(sum(one.stream == "arm" for one in label.inputs) for label in labels) > 2  # merged of several
    again, _ = rebuilt(received(BAG, random.Random(0), 0), plain)
    assert contents(again) != contents(late)


def test_a_tick_needs_no_more_than_what_its_label_names() -> None:
    recorded, _ = live(received(BAG, random.Random(1), 30))
    labels = [deserialise(one.type_name, one.data) for one in recorded if one.topic == LABEL_TOPIC]
    named = {(one.topic, to_ns(one.stamp)) for label in labels for one in label.inputs}
    bag = [one for one in received(BAG, random.Random(2), 30) if (one.topic, stamp_of(one, INPUTS)) in named]
    assert len(bag) < len(BAG)
    assert contents(rebuilt(bag, recorded)[0]) == contents(recorded)


@pytest.mark.parametrize("topic", ["/wrist", "/ft", "/joint_states", "/level"])
def test_ticks_with_an_input_that_is_not_in_the_bag_are_counted(topic: str) -> None:
    recorded, _ = live(received(BAG, random.Random(0), 0))
    labels = [deserialise(one.type_name, one.data) for one in recorded if one.topic == LABEL_TOPIC]
    needing = [index for index, label in enumerate(labels) if any(one.topic == topic for one in label.inputs)]
    again, counters = rebuilt([one for one in BAG if one.topic != topic], recorded)
    assert counters["missing"] == len(needing) > 0
    assert sum(one.topic == LABEL_TOPIC for one in again) == len(labels) - len(needing)


def test_one_lost_input_takes_one_tick_and_no_memory() -> None:
    assert PATIENCE > 30
    recorded, _ = live(received(BAG, random.Random(0), 0))
    labels = [deserialise(one.type_name, one.data) for one in recorded if one.topic == LABEL_TOPIC]
    (gone,) = [to_ns(one.stamp) for one in labels[7].inputs if one.stream == "wrench"]
    bag = [one for one in BAG if not (one.topic == "/ft" and stamp_of(one, INPUTS) == gone)]
    again, counters = rebuilt(sorted(bag, key=lambda one: one.receive_ns), recorded)
    assert counters["missing"] == 1
    found = [to_ns(deserialise(o.type_name, o.data).header.stamp) for o in again if o.topic == LABEL_TOPIC]
    assert found == [to_ns(label.header.stamp) for index, label in enumerate(labels) if index != 7]


def test_two_drivers_of_one_topic_may_speak_at_one_moment() -> None:
    """As in a simulation: two messages of one topic and stamp, of which one came too late for its tick."""
    bag = []
    for tick in range(8):
        at_ns = START_NS + tick * 100 * MS
        first, second = (joints("/joint_states", at_ns, names, True) for names in (("a", "b"), ("finger",)))
        bag += [first, image("/front", at_ns, "red")._replace(receive_ns=at_ns + MS)]
        bag.append(second._replace(receive_ns=at_ns + (2 * MS if tick % 2 else 0)))
    arrived = sorted(bag, key=lambda one: one.receive_ns)
    recorded, counters = live(arrived)
    assert counters["arm/late"] == 4
    in_bag = sorted(bag, key=lambda one: (stamp_of(one, INPUTS), one.topic))
    assert contents(rebuilt(in_bag, recorded)[0]) == contents(recorded)


def test_a_simulation_that_was_reset_gives_its_stamps_again() -> None:
    """The second run shows other things at the same stamps."""
    again = [
        image("/front", stamp_of(one, INPUTS), "blue") if one.topic == "/front" else one
        for one in BAG
        if one.topic != "/ft"
    ]
    again = [one._replace(receive_ns=one.receive_ns + 10_000 * MS) for one in again if one.topic != "/level"]
    bag = [*received(BAG, random.Random(3), 20), *received(again, random.Random(4), 20)]
    recorded, counters = live(bag)
    assert counters["restarts"] == 2
    found, told = rebuilt(bag, recorded)
    assert contents(found) == contents(recorded) and not told["missing"]


def test_a_label_that_names_no_picture_of_the_clock_is_counted() -> None:
    recorded, _ = live(received(BAG, random.Random(0), 0))
    broken = []
    for one in recorded:
        label = deserialise(one.type_name, one.data) if one.topic == LABEL_TOPIC else None
        if label is not None and label.tick == 3:
            label.inputs.clear()
            one = one._replace(data=serialise(label))
        broken.append(one)
    _, counters = rebuilt(BAG, broken)
    assert counters["missing"] == 1
