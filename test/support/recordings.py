"""A recording made of plain words: what was true, what was said, one letter a tick."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from hal_ros.bags.messages import duration_message, header_message, known_class, serialise, time_message
from hal_ros.bags.reader import BagWriter
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.arrays import ByteArray

PERIOD_NS = 100_000_000
SESSION = 0  # of what no node has answered
START_NS = 1_700_000_000_000_000_000
FRAME = "camera"
SESSION = 7


class Story(NamedTuple):
    """One letter a tick indexes `vocabulary`; '.' is no answer. Confirmed words may lag behind by `lag` ticks."""

    vocabulary: tuple[str, ...]
    truth: str  # '' records no truth
    provisional: str
    confirmed: str
    lag: int = 4
    compute_ns: int = 20_000_000
    images: str = "compressed"  # "raw", "" records none
    with_vocabulary: bool = True
    with_diagnostics: bool = True
    receive_offset_ns: int = 0  # another clock


def letter(index: int) -> str:
    return chr(ord("A") + index)


def action_id(word: str, tick: int) -> int:
    return NO_ACTION if not 0 <= tick < len(word) or word[tick] == "." else ord(word[tick]) - ord("A")


def name(story: Story, action: int) -> str:
    return "" if action == NO_ACTION else story.vocabulary[action]


def write_story(path: Path, story: Story) -> Path:
    """Write the story as a recording of the live system."""
    random = np.random.default_rng(0)
    with BagWriter(path) as bag:
        if story.with_vocabulary:
            fields = (list(story.vocabulary), 10.0, story.lag, 5)
            put(bag, "/segmenter/vocabulary", "Vocabulary", START_NS, ("demo", "ab" * 32, *fields))
        segment_id, segment_start_ns = 0, 0
        for tick in range(len(story.provisional)):
            stamp_ns = START_NS + tick * PERIOD_NS
            receive_ns = stamp_ns + story.compute_ns + int(random.gamma(2, 4e6)) + story.receive_offset_ns
            header = header_message(stamp_ns, FRAME)
            if story.truth:
                truth = (header, name(story, action_id(story.truth, tick)), 1)
                put(bag, "/simulation/action_truth", "ActionTruth", receive_ns, truth)
            if story.images:
                put_image(bag, story, tick, stamp_ns + 2_000_000 + story.receive_offset_ns)
            now, before = (action_id(story.confirmed, tick - story.lag - back) for back in (0, 1))
            confirmed_ns = stamp_ns - story.lag * PERIOD_NS
            if now not in (before, NO_ACTION):
                segment_id += 1
                duration_ns = confirmed_ns - segment_start_ns if before != NO_ACTION else 0
                segment_start_ns = confirmed_ns
                event = (
                    header_message(confirmed_ns, FRAME),
                    time_message(stamp_ns),
                    name(story, before),
                    before,
                    name(story, now),
                    now,
                    0.9,
                    segment_id,
                    duration_message(duration_ns),
                    SESSION,
                )
                put(bag, "/action_boundary", "BoundaryEvent", receive_ns, event)
            said = action_id(story.provisional, tick)
            put(bag, "/action_label", "ActionLabel", receive_ns, label_fields(story, tick, said, now, segment_id))
        if story.with_diagnostics:
            put_diagnostics(bag, START_NS + story.receive_offset_ns)
    return path


def label_fields(story: Story, tick: int, said: int, confirmed: int, segment_id: int) -> tuple[Any, ...]:
    stamp_ns = START_NS + tick * PERIOD_NS
    valid = confirmed != NO_ACTION
    confirmed_ns = stamp_ns - story.lag * PERIOD_NS if valid else 0
    probabilities = np.full(len(story.vocabulary), 1 / len(story.vocabulary), np.float32)
    return (
        header_message(stamp_ns, FRAME),
        time_message(stamp_ns),
        tick,
        0,
        time_message(START_NS),
        time_message(stamp_ns),
        name(story, said),
        said,
        0.8,
        probabilities,
        valid,
        time_message(confirmed_ns),
        name(story, confirmed),
        confirmed,
        0.9 if valid else 0.0,
        segment_id if valid else 0,
        [],
        SESSION,
    )


def put(bag: BagWriter, topic: str, kind: str, receive_ns: int, fields: tuple[Any, ...]) -> None:
    type_name = f"hal_msgs/msg/{kind}"
    bag.write(topic, type_name, serialise(known_class(type_name)(*fields)), receive_ns)


def put_image(bag: BagWriter, story: Story, tick: int, receive_ns: int) -> None:
    header = header_message(START_NS + tick * PERIOD_NS, FRAME)
    rgb = draw(action_id(story.truth or story.confirmed, tick), tick)
    if story.images == "raw":
        height, width, _ = rgb.shape
        message = known_class("sensor_msgs/msg/Image")(header, height, width, "rgb8", 0, 3 * width, rgb.reshape(-1))
        bag.write("/camera/color/image_raw", message.__msgtype__, serialise(message), receive_ns)
    else:
        _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        message = known_class("sensor_msgs/msg/CompressedImage")(header, "jpeg", jpeg.reshape(-1))
        bag.write("/camera/color/image_raw/compressed", message.__msgtype__, serialise(message), receive_ns)


def draw(action: int, tick: int) -> ByteArray:
    """Return a small picture whose ground is the action's own grey and whose dot moves with time."""
    picture = np.full((120, 160, 3), 60 + 10 * (action % 16), np.uint8)
    cv2.circle(picture, (20 + tick % 120, 60), 12, (230, 120, 40), -1)
    return picture


def put_diagnostics(bag: BagWriter, receive_ns: int) -> None:
    value = known_class("diagnostic_msgs/msg/KeyValue")
    status = known_class("diagnostic_msgs/msg/DiagnosticStatus")
    values = [value("images", "900"), value("dropped: overwritten", "0"), value("step p50 ms", "1.31")]
    model = status(0, "segmenter: model", "10.0 labels per second", "demo", values)
    camera = status(1, "segmenter: camera", "3 images lost on the way in 1.0 s", "demo", [value("lost", "3")])
    array = known_class("diagnostic_msgs/msg/DiagnosticArray")(header_message(START_NS, ""), [model, camera])
    bag.write("/diagnostics", array.__msgtype__, serialise(array), receive_ns)
