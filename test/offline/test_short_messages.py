"""Whatever a message holds, the next good one is read: report, replay, label and ingest walk past what is too short."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from fakes import SIZE_PX, FakeBackend, make_card, picture
from hal_ros.bags.frames import due_frames
from hal_ros.bags.inputs import AskedTopics, find_inputs
from hal_ros.bags.messages import header_message, known_class, serialise
from hal_ros.bags.reader import BagMessage, BagWriter, read_messages
from hal_ros.bags.sensors import COMPRESSED, IMAGE
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.streams.counts import MALFORMED, by_stream
from hal_ros.core.streams.spec import JOINT_STATE
from hal_ros.datasets import episodes
from hal_ros.offline.labelling import ANSWER_TOPICS, label
from hal_ros.offline.recording import read_pictures, read_recording
from hal_ros.offline.replay import LABEL_TOPIC, replay
from hal_ros.runtime.bundle import Bundle, save_card

CAMERAS = {IMAGE: "/camera/color/image_raw", COMPRESSED: "/camera/color/image_raw/compressed"}
JOINTS = "/joint_states"
START_NS, PERIOD_NS = 5_000_000_000, 100_000_000
STORY = ["red"] * 5 + ["blue"] * 6
KINDS = (IMAGE, COMPRESSED, JOINT_STATE)
SHORT = (b"", b"\0", b"\0\1\0\0", b"\0\1\0\0" + bytes(7))


def image_message(colour: str, stamp_ns: int, kind: str) -> BagMessage:
    header, pixels = header_message(stamp_ns, "camera"), picture(colour)
    if kind == COMPRESSED:
        png = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].reshape(-1)
        message = known_class(kind)(header, "png", png)
    else:
        message = known_class(kind)(header, SIZE_PX, SIZE_PX, "rgb8", 0, 3 * SIZE_PX, pixels.reshape(-1))
    return BagMessage(CAMERAS[kind], kind, stamp_ns + 1, serialise(message))


def sensors(camera: str) -> list[BagMessage]:
    messages = []
    for tick, colour in enumerate(STORY):
        stamp_ns = START_NS + tick * PERIOD_NS
        joints = known_class(JOINT_STATE)(header_message(stamp_ns, ""), ["a", "b"], *[np.ones(2)] * 3)
        messages.append(BagMessage(JOINTS, JOINT_STATE, stamp_ns, serialise(joints)))
        messages.append(image_message(colour, stamp_ns, camera))
    return messages


def with_short(messages: list[BagMessage], kind: str, topic: str) -> list[BagMessage]:
    """Put short messages before all others, and between them."""
    found = list(messages)
    for place, data in zip((0, 3, 8, len(messages)), SHORT, strict=True):
        receive_ns = messages[min(place, len(messages) - 1)].receive_ns
        found.insert(place + len(found) - len(messages), BagMessage(topic, kind, receive_ns, data))
    return found


def write(path: Path, messages: list[BagMessage]) -> Path:
    with BagWriter(path) as bag:
        for topic, type_name, receive_ns, data, _ in messages:
            bag.write(topic, type_name, data, receive_ns)
    return path


def malformed(counters: Counter[str]) -> int:
    return sum(count for _, cause, count in by_stream(counters) if cause == MALFORMED)


def answers_of(bag: Path) -> list[BagMessage]:
    return list(read_messages(bag, ANSWER_TOPICS))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    (tmp_path / "model").mkdir()
    return save_card(make_card(), tmp_path / "model")


@pytest.fixture(params=KINDS)
def bags(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path, AskedTopics]:
    """A good bag, the same one with short messages in it, and the topics of both."""
    kind = request.param
    camera = IMAGE if kind == JOINT_STATE else kind
    messages = sensors(camera)
    topics = {"camera": (CAMERAS[camera],), "joints": (JOINTS,)}
    short = with_short(messages, kind, JOINTS if kind == JOINT_STATE else CAMERAS[camera])
    return write(tmp_path / "good", messages), write(tmp_path / "short", short), topics


def test_replay_counts_them(bags: tuple[Path, Path, AskedTopics]) -> None:
    good, short, topics = bags
    found = []
    for bag in (good, short):
        card, counters = make_card(), Counter[str]()
        frames = due_frames(read_messages(bag), find_inputs(bag, card.streams, card.name, topics), counters)
        found.append((list(replay(frames, Segmenter(card, FakeBackend(card)))), malformed(counters)))
    (right, none), (again, some) = found
    assert (again, none, some) == (right, 0, len(SHORT))
    assert sum(answer.topic == LABEL_TOPIC for answer in right) == len(STORY)


def test_label_counts_and_copies_them(bags: tuple[Path, Path, AskedTopics], bundle: Bundle, tmp_path: Path) -> None:
    good, short, topics = bags
    segmenter = Segmenter(bundle.card, FakeBackend(bundle.card))
    label(good, tmp_path / "right", bundle, segmenter, topics)
    done = label(short, tmp_path / "again", bundle, segmenter, topics)
    assert malformed(done.counters) == len(SHORT)
    assert done.copied == 2 * len(STORY) + len(SHORT)
    assert answers_of(tmp_path / "again") == answers_of(tmp_path / "right")


def test_ingest_counts_them(bags: tuple[Path, Path, AskedTopics]) -> None:
    good, short, topics = bags
    right, again = (episodes.ingest(bag, make_card(), topics) for bag in (good, short))
    for name in episodes.ROW_KEYS:
        np.testing.assert_array_equal(getattr(again, name), getattr(right, name))
    np.testing.assert_array_equal(again.images["camera"], right.images["camera"])
    assert episodes.faults(right.counters) == ""
    assert episodes.faults(again.counters) in [f"{s}: {len(SHORT)} messages malformed" for s in ("camera", "joints")]


def test_a_report_counts_the_images_and_reads_on(
    bags: tuple[Path, Path, AskedTopics], bundle: Bundle, tmp_path: Path
) -> None:
    good, short, topics = bags
    segmenter = Segmenter(bundle.card, FakeBackend(bundle.card))
    stamps = [START_NS, START_NS + PERIOD_NS]
    found = []
    for bag in (good, short):
        labelled = tmp_path / f"{bag.name}-labelled"
        label(bag, labelled, bundle, segmenter, topics)
        found.append((read_recording(labelled), read_pictures(labelled, stamps)))
    (right, pictures), (again, pictures_again) = found
    images = sum((m.topic,) == topics["camera"] for m in read_messages(short)) - len(STORY)
    assert again.remark == (f"{images} skipped: malformed" if images else "")  # joint states are not looked at
    assert (again.labels, again.events) == (right.labels, right.events)
    assert again.images_received_ns == right.images_received_ns
    assert list(pictures) == list(pictures_again) == stamps
    for stamp_ns in stamps:
        np.testing.assert_array_equal(pictures[stamp_ns], pictures_again[stamp_ns])


def test_a_report_reads_past_answers_and_pictures_that_were_cut(bundle: Bundle, tmp_path: Path) -> None:
    card = bundle.card
    bag = write(tmp_path / "run", sensors(IMAGE))
    label(bag, tmp_path / "right", bundle, Segmenter(card, FakeBackend(card)), {})
    right = read_recording(tmp_path / "right")
    messages = list(read_messages(tmp_path / "right"))
    cut = next(i for i, m in enumerate(messages) if m.topic == LABEL_TOPIC and i > 10)
    first = next(i for i, m in enumerate(messages) if m.type_name == IMAGE)
    for place in (first, cut):
        messages[place] = messages[place]._replace(data=messages[place].data[:20])
    again = read_recording(write(tmp_path / "again", messages))
    assert len(again.labels) == len(right.labels) - 1
    assert again.remark == "1 skipped: malformed"
    assert read_pictures(tmp_path / "again", [START_NS]) == {}
    assert list(read_pictures(tmp_path / "again", [START_NS, START_NS + PERIOD_NS])) == [START_NS + PERIOD_NS]
