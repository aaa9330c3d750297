"""From a bag's messages to the ticks that are due, with their pixels and joints: replay and ingest both walk this way.

It is the node's walk without its clock: the same intake, the same conversions, what can't be read counted and skipped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hal_ros.bags.messages import deserialise, to_ns
from hal_ros.bags.reader import BagMessage
from hal_ros.bags.sensors import SensorTopics, joint_sample, joints_first, pixels
from hal_ros.core import image
from hal_ros.core.arrays import ByteArray
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import BagError, ImageError
from hal_ros.core.intake import Due, Intake
from hal_ros.core.observations import JointSample


@dataclass(frozen=True)
class Frame:
    """A tick to step: what the node's worker would get. `reset` says that somebody reset the node before it."""

    due: Due
    picture: ByteArray | None
    frame_id: str
    receive_ns: int
    reset: bool = False


def due_frames(
    messages: Iterable[BagMessage],
    card: ModelCard,
    topics: SensorTopics,
    counters: Counter[str],
    start_ns: int | None = None,
) -> Iterator[Frame]:
    """Yield the ticks that are due, from messages in receive order; with start_ns from the image of that stamp on.

    Counters: those of the intake; skipped (images before start_ns), unreadable (images that can't be converted),
    malformed (messages that are not of their type), joints_unnamed (joint states that name none of the card's joints).
    Raises BagError when there is no image of stamp start_ns.
    """
    intake = Intake(card)
    for message in joints_first(messages, topics):
        content = content_of(message, topics, counters)
        if content is None:
            continue
        if start_ns is not None and message.topic == (topics.camera or topics.joints):
            if to_ns(content.header.stamp) != start_ns:
                counters["skipped"] += 1
                continue
            start_ns = None
        if message.topic == topics.joints:
            sample = sample_of(content, card, counters)
            due = None if sample is None else intake.joints(sample)
            frame = None if due is None else Frame(due, None, content.header.frame_id, message.receive_ns)
        else:
            due = intake.image(to_ns(content.header.stamp))
            frame = None if due is None else with_picture(due, content, message, card, counters)
        if frame is not None:
            yield frame
    counters.update(intake.counters)
    if start_ns is not None:
        raise BagError(f"no image is stamped {start_ns} ns, where the replay was to begin")


def content_of(message: BagMessage, topics: SensorTopics, counters: Counter[str]) -> Any | None:
    """Deserialise a message on one of the two topics; None for all others, and counted for a malformed one."""
    if message.topic not in topics:
        return None
    try:
        return deserialise(message.type_name, message.data)
    except BagError:
        counters["malformed"] += 1
        return None


def sample_of(content: Any, card: ModelCard, counters: Counter[str]) -> JointSample | None:
    """Return a JointState in the card's joint order; None, and counted, when it names none of them."""
    assert card.joints is not None  # otherwise no joint topic was looked for
    sample = joint_sample(content, card.joints)
    counters["joints_unnamed"] += sample is None
    return sample


def with_picture(due: Due, content: Any, message: BagMessage, card: ModelCard, counters: Counter[str]) -> Frame | None:
    """Return a due image as a frame; None, and counted, when its pixels can't be converted."""
    assert card.image is not None  # the intake lets no image through without it
    try:
        picture = image.to_input(pixels(content, message.type_name), card.image)
    except ImageError:
        counters["unreadable"] += 1
        return None
    return Frame(due, picture, content.header.frame_id, message.receive_ns)
