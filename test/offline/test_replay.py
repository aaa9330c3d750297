"""Replay gives the same bytes twice, and those of a live run: plainly if nothing was dropped, by its labels always."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import SIZE_PX, FakeBackend, make_card, make_streams, picture
from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.frames import Frame, due_frames
from hal_ros.bags.inputs import BagInputs, inputs_among
from hal_ros.bags.messages import deserialise, header_message, known_class, serialise, to_ns
from hal_ros.bags.reader import BagMessage
from hal_ros.bags.sensors import IMAGE
from hal_ros.core.arrays import ByteArray, FloatArray
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import BagError
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.streams.spec import JOINT_STATE
from hal_ros.offline.named_ticks import named_frames, named_ticks
from hal_ros.offline.replay import BOUNDARY_TOPIC, LABEL_TOPIC, compare, replay

START_NS = 5_000_000_000
MS = 1_000_000
CAMERA, JOINTS = "/camera/color/image_raw", "/joint_states"
TYPES = BagTypes()
STORY = ["red"] * 12 + ["blue"] * 9 + ["green"] * 15


class JointsBackend(FakeBackend):
    """Colours and joints both count, so that a wrong joint sample shows in the probabilities."""

    def encode(self, image: ByteArray) -> FloatArray:
        return super().encode(image)

    def step(self, inputs: Any, state: Any) -> Any:
        shifted = inputs._replace(feature=inputs.feature + np.float32(0.01) * inputs.joints[:1])
        return super().step(shifted, state)


def image_message(colour: str, stamp_ns: int, receive_ns: int) -> BagMessage:
    pixels = picture(colour, 2 * SIZE_PX).reshape(-1)
    size = 2 * SIZE_PX
    message = known_class(IMAGE)(header_message(stamp_ns, "camera"), size, size, "rgb8", 0, 3 * size, pixels)
    return BagMessage(CAMERA, IMAGE, receive_ns, serialise(message))


def joint_message(stamp_ns: int, receive_ns: int, names: tuple[str, ...] = ("a", "b")) -> BagMessage:
    position = np.full(len(names), (stamp_ns - START_NS) / 1e9)
    message = known_class(JOINT_STATE)(header_message(stamp_ns, ""), list(names), position, np.array([]), np.array([]))
    return BagMessage(JOINTS, JOINT_STATE, receive_ns, serialise(message))


def stream(story: Iterable[str], start_ns: int = START_NS) -> list[BagMessage]:
    """Images at 15 Hz that arrive 20 ms late, joint states at 100 Hz, in receive order."""
    colours = list(story)
    images = [
        image_message(colour, stamp_ns, stamp_ns + 20 * MS)
        for colour, stamp_ns in ((c, start_ns + i * 1000 * MS // 15) for i, c in enumerate(colours))
    ]
    joints = [joint_message(s, s + MS) for s in range(start_ns - 50 * MS, images[-1].receive_ns, 10 * MS)]
    return sorted(images + joints, key=lambda message: message.receive_ns)


BAG = stream(STORY)


def inputs_of(card: ModelCard) -> BagInputs:
    return inputs_among({CAMERA: IMAGE, JOINTS: JOINT_STATE}, TYPES, card.streams, card.name)


def frames_of(bag: Iterable[BagMessage], card: ModelCard, start_ns: int | None = None) -> Iterator[Frame]:
    return due_frames(bag, inputs_of(card), Counter(), start_ns)


def segmenter(card: ModelCard | None = None) -> Segmenter:
    card = card or make_card()
    return Segmenter(card, JointsBackend(card))


def answers(messages: list[BagMessage], card: ModelCard | None = None) -> list[BagMessage]:
    card = card or make_card()
    return list(replay(frames_of(messages, card), segmenter(card)))


def by_labels(messages: list[BagMessage], recorded: list[BagMessage], counters: Counter[str]) -> list[BagMessage]:
    card = make_card()
    ticks, segments = named_ticks([m for m in recorded if m.topic == LABEL_TOPIC], card, TYPES)
    return list(replay(named_frames(messages, ticks, inputs_of(card), counters), segmenter(card), segments))


def test_the_same_bag_gives_the_same_bytes() -> None:
    bag = stream(STORY)
    first = answers(bag)
    assert first == answers(bag)
    assert {answer.topic for answer in first} == {LABEL_TOPIC, BOUNDARY_TOPIC}
    changed = answers(stream(["green", *STORY[1:]]))
    assert changed != first  # one other picture
    due = {to_ns(deserialise(m.type_name, m.data).header.stamp) for m in first if m.topic == LABEL_TOPIC}
    image = next(m for m in bag if m.topic == CAMERA and m.receive_ns - 20 * MS in due - {START_NS})
    assert answers([m for m in bag if m != image]) != first  # one message less


def test_labels_and_boundaries_say_what_was_shown() -> None:
    found = answers(stream(STORY))
    labels = [deserialise(m.type_name, m.data) for m in found if m.topic == LABEL_TOPIC]
    boundaries = [deserialise(m.type_name, m.data) for m in found if m.topic == BOUNDARY_TOPIC]
    assert [label.tick for label in labels] == list(range(len(labels)))
    assert {label.header.frame_id for label in labels} == {"camera"}
    assert [b.to_label for b in boundaries] == ["red", "blue", "green", ""]
    assert all(0 <= to_ns(label.header.stamp) - to_ns(label.joints_stamp) < 10 * MS for label in labels[1:])


def live(frames: Iterable[Frame], dropped: set[int], card: ModelCard) -> list[BagMessage]:
    """A live run whose worker was too slow for some due frames."""
    return list(replay((frame for i, frame in enumerate(frames) if i not in dropped), segmenter(card)))


@settings(max_examples=25)
@given(st.sets(st.integers(0, 22)))
def test_recorded_labels_are_repeated_whatever_was_dropped(dropped: set[int]) -> None:
    bag, card, whole = BAG, make_card(), answers(BAG)
    recorded = live(frames_of(bag, card), dropped, card)
    counters: Counter[str] = Counter()
    assert by_labels(bag, recorded, counters) == recorded
    assert not counters["missing"]
    assert (recorded == whole) == (not dropped)  # so the labels' own ticks do matter


def test_recorded_labels_are_repeated_whatever_joints_the_node_had() -> None:
    bag, card = stream(STORY), make_card()
    joints = [message for message in bag if message.topic == JOINTS]
    recorded = answers([message for message in bag if message not in joints[1::2]], card)  # those came too late
    counters: Counter[str] = Counter()
    assert by_labels(bag, recorded, counters) == recorded
    assert answers(bag) != recorded


def test_joint_states_without_a_stamp_are_not_taken_for_an_answer_without_joints() -> None:
    images = [message for message in stream(STORY) if message.topic != JOINTS]
    bag = [joint_message(0, images[0].receive_ns - MS), *images]
    card = make_card()
    ticks, _ = named_ticks([m for m in answers(bag) if m.topic == LABEL_TOPIC], card, TYPES)
    frames = list(named_frames(bag, ticks, inputs_of(card), Counter()))
    assert len(frames) == len(ticks) and not any(frame.due.valid.any() for frame in frames)


def test_late_joints_in_the_recording_change_nothing() -> None:
    bag, card = stream(STORY), make_card()
    late = sorted(bag, key=lambda m: m.receive_ns + (33 * MS if m.topic == JOINTS else 0))
    assert [m.data for m in answers(late, card)] == [m.data for m in answers(bag, card)]


def test_recorded_labels_are_repeated_across_resets_and_gaps() -> None:
    bag = stream(STORY) + stream(STORY[5:], START_NS + 8_000 * MS)
    card = make_card()
    frames = list(frames_of(bag, card))
    again = list(frames_of(bag[60:], card))
    first = again[0].due.stamp_ns
    joined = [f for f in frames if f.due.stamp_ns < first] + [replace(again[0], reset=True), *again[1:]]
    recorded = list(replay(joined, segmenter(card)))
    counters: Counter[str] = Counter()
    assert by_labels(bag, recorded, counters) == recorded
    assert len({to_ns(deserialise(m.type_name, m.data).origin) for m in recorded if m.topic == LABEL_TOPIC}) == 3


def test_segment_numbers_go_on_where_the_recorded_run_stood() -> None:
    bag, card = stream(STORY), make_card()
    recorded = list(replay(frames_of(bag, card), segmenter(card), segments=7))
    assert by_labels(bag, recorded, Counter()) == recorded


def test_labels_whose_image_is_not_in_the_bag_are_counted() -> None:
    bag = stream(STORY)
    recorded = answers(bag)
    gone = next(i for i, m in enumerate(bag) if m.topic == CAMERA and i > 30)
    counters: Counter[str] = Counter()
    found = by_labels([*bag[:gone], *bag[gone + 1 :]], recorded, counters)
    assert counters["missing"] <= 1  # none, if that image was not due
    counters.clear()
    assert by_labels([m for m in bag if m.topic == JOINTS], recorded, counters) == []
    assert counters["missing"] == sum(m.topic == LABEL_TOPIC for m in recorded)
    assert compare(recorded, found, LABEL_TOPIC, TYPES).recorded == counters["missing"]


def test_labels_from_the_middle_of_a_run_are_refused() -> None:
    recorded = [m for m in answers(stream(STORY)) if m.topic == LABEL_TOPIC]
    with pytest.raises(BagError, match="begin at tick 10, amid a stream"):
        named_ticks(recorded[10:], make_card(), TYPES)


def test_what_can_not_be_read_is_counted_and_skipped() -> None:
    bag, counters = stream(STORY), Counter()
    first, second, *_ = [i for i, m in enumerate(bag) if m.topic == CAMERA]
    bag[first] = bag[first]._replace(data=bag[first].data[:20])
    message = deserialise(IMAGE, bag[second].data)
    message.encoding = "invented"
    bag[second] = bag[second]._replace(data=serialise(message))
    bag.insert(0, joint_message(START_NS, START_NS, ("other",)))
    labels = list(replay(due_frames(bag, inputs_of(make_card()), counters), segmenter()))
    assert labels
    told = {cause: count for cause, count in counters.items() if "/" in cause and "received" not in cause}
    assert told == Counter({"camera/malformed": 1, "camera/unreadable": 1, "joints/unnamed": 1})


def test_a_model_without_camera_runs_on_joints() -> None:
    class StatesAlone(JointsBackend):
        def step(self, inputs: Any, state: Any) -> Any:
            return super().step(inputs._replace(feature=np.zeros(3, np.float32)), state)

    card = make_card(streams=make_streams(camera=None), encoder=None)
    inputs, bag = inputs_of(card), stream(STORY)
    backend = Segmenter(card, StatesAlone(card))
    recorded = list(replay(due_frames(bag, inputs, Counter()), backend))
    ticks, segments = named_ticks([m for m in recorded if m.topic == LABEL_TOPIC], card, TYPES)
    assert len(ticks) > 20
    assert list(replay(named_frames(bag, ticks, inputs, Counter()), backend, segments)) == recorded


def test_a_replay_may_begin_where_a_live_run_did() -> None:
    bag, card = stream(STORY), make_card()
    images = [m for m in bag if m.topic == CAMERA]
    late = [m for m in bag if m not in images[:5]]  # the node was activated after five images
    origin_ns = images[5].receive_ns - 20 * MS
    counters: Counter[str] = Counter()
    frames = due_frames(bag, inputs_of(card), counters, origin_ns)
    assert list(replay(frames, segmenter(card))) == answers(late) != answers(bag)
    assert counters["skipped"] == 5
    with pytest.raises(BagError, match=r"no message of camera is stamped 7 ns.*--from-start begins"):
        list(due_frames(bag, inputs_of(card), counters, start_ns=7))


def test_an_empty_bag_gives_nothing() -> None:
    assert answers([]) == []
    assert named_ticks([], make_card(), TYPES) == ([], 0)


def test_comparison_names_the_first_message_that_differs() -> None:
    recorded = answers(stream(STORY))
    same = compare(recorded, recorded, LABEL_TOPIC, TYPES)
    assert same.holds
    assert same.equal == same.recorded == same.replayed
    labels = [m for m in recorded if m.topic == LABEL_TOPIC]
    other = [*labels[:3], labels[3]._replace(data=labels[4].data), *labels[4:]]
    result = compare(recorded, other, LABEL_TOPIC, TYPES)
    assert not result.holds
    assert result.equal == len(labels) - 1
    assert result.first_difference_ns == to_ns(deserialise(labels[3].type_name, labels[3].data).header.stamp)
    assert not compare(recorded, labels[:-1], LABEL_TOPIC, TYPES).holds
    assert compare(labels[:-1], labels, LABEL_TOPIC, TYPES).holds  # the recorder ended first
