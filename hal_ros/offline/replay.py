"""A bag through the segmenter offline: the node's own intake, conversions, step and messages, without its clock.

Plain replay takes every tick that is due. It equals a live run byte for byte where that run dropped, held and lost
nothing and each joint sample had arrived before the image that follows it. Replay of recorded labels takes exactly the
ticks, joint samples and resets that they name, whatever was dropped, and so always equals them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from hal_ros.bags.answer_messages import (
    BOUNDARY_TYPE,
    LABEL_TYPE,
    PLAN_TYPE,
    boundary_message,
    label_message,
    plan_message,
)
from hal_ros.bags.frames import Frame, content_of, sample_of, with_picture
from hal_ros.bags.messages import deserialise, serialise, to_ns
from hal_ros.bags.reader import BagMessage
from hal_ros.bags.sensors import SensorTopics, joints_first
from hal_ros.core.answers import BoundaryEstimate
from hal_ros.core.card import ModelCard
from hal_ros.core.decoding.known_plan import PlanTracker
from hal_ros.core.errors import BagError
from hal_ros.core.intake import Due
from hal_ros.core.observations import JointSample, Observation
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.ticks import Grid, place

LABEL_TOPIC = "/action_label"
BOUNDARY_TOPIC = "/action_boundary"
PLAN_TOPIC = "/segmenter/plan_progress"
VOCABULARY_TOPIC = "/segmenter/vocabulary"
PATIENCE = 64
"""So many later labels may be ready before a label whose image or joint sample is not in the bag is given up."""


def replay(
    frames: Iterable[Frame], segmenter: Segmenter, segments: int = 0, tracker: PlanTracker | None = None
) -> Iterator[BagMessage]:
    """Step every frame and yield the answers' messages in the order in which the node publishes them.

    `segments` were opened before; at the end the open segment is closed, as the node does when it is deactivated. With
    a tracker the plan is followed, too. Raises what the backend raises.
    """
    state = segmenter.start(segments)
    plan = None if tracker is None else tracker.start()
    last: Frame | None = None
    for frame in frames:
        due = frame.due
        if frame.reset and last is not None:
            closing, state = segmenter.finish(state, last.due.stamp_ns)
            yield from _boundaries(closing, segmenter.card, last)
            plan = None if tracker is None else tracker.start()
        observation = Observation(due.stamp_ns, due.tick, due.origin_ns, frame.picture, due.joints)
        estimate, boundaries, state = segmenter.step(observation, state)
        label = label_message(estimate, due, segmenter.card.vocabulary, frame.frame_id)
        yield BagMessage(LABEL_TOPIC, LABEL_TYPE, frame.receive_ns, serialise(label))
        yield from _boundaries(boundaries, segmenter.card, frame)
        if tracker is not None and plan is not None:
            progress, plan = tracker.follow(estimate, due.origin_ns, plan)
            if progress is not None:
                data = serialise(plan_message(progress, segmenter.card.vocabulary, frame.frame_id))
                yield BagMessage(PLAN_TOPIC, PLAN_TYPE, frame.receive_ns, data)
        last = frame
    if last is not None:
        closing, _ = segmenter.finish(state, last.due.stamp_ns)
        yield from _boundaries(closing, segmenter.card, last)


def _boundaries(boundaries: Sequence[BoundaryEstimate], card: ModelCard, frame: Frame) -> Iterator[BagMessage]:
    for boundary in boundaries:
        message = boundary_message(boundary, card.vocabulary, frame.frame_id)
        yield BagMessage(BOUNDARY_TOPIC, BOUNDARY_TYPE, frame.receive_ns, serialise(message))


# --- exactly the ticks that recorded labels name ---------------------------------------------------------------------


class NamedTick(NamedTuple):
    """What a recorded ActionLabel says of the tick that went in."""

    stamp_ns: int
    tick: int
    origin_ns: int
    joints_ns: int  # stamp of the joint sample; 0 without one
    reset: bool  # its grid is new though nothing in the stamps made it so


def named_ticks(labels: Iterable[BagMessage], card: ModelCard) -> tuple[list[NamedTick], int]:
    """Return the ticks that recorded labels name, and how many segments the node had opened before the first one.

    Raises BagError for labels that begin in the middle of a stream: the model's state before them is not known.
    """
    ticks: list[NamedTick] = []
    segments = None
    for message in labels:
        label = deserialise(message.type_name, message.data)
        before = ticks[-1] if ticks else None
        if before is None and label.tick > 0 and label.confirmed_valid and card.lag_ticks > 0:
            raise BagError(
                f"the recorded labels begin at tick {label.tick}, amid a stream; expected its first label too"
            )
        ticks.append(_named_tick(label, before, card))
        if segments is None and label.confirmed_valid:
            segments = label.segment_id - 1
    return ticks, segments or 0


def _named_tick(label: Any, before: NamedTick | None, card: ModelCard) -> NamedTick:
    stamp_ns, origin_ns = to_ns(label.header.stamp), to_ns(label.origin)
    reset = False
    if before is not None and origin_ns != before.origin_ns:
        grid = Grid(before.origin_ns, before.tick, before.stamp_ns)
        reset = not place(origin_ns, grid, card.period_ns, card.max_held_ticks).restarted
    return NamedTick(stamp_ns, label.tick, origin_ns, to_ns(label.joints_stamp), reset)


def named_frames(
    messages: Iterable[BagMessage],
    ticks: Sequence[NamedTick],
    card: ModelCard,
    topics: SensorTopics,
    counters: Counter[str],
) -> Iterator[Frame]:
    """Yield exactly the given ticks, from messages in receive order.

    Counters, beside those of due_frames: missing (ticks whose image or joint sample is not in the bag).
    """
    waiting = deque(ticks)
    stamps = {tick.stamp_ns for tick in ticks}
    samples_ns = {tick.joints_ns for tick in ticks} - {0}  # 0 says that there was none
    arrived: dict[int, tuple[BagMessage, Any]] = {}  # the driving messages by stamp
    samples: dict[int, JointSample] = {}
    for message in joints_first(messages, topics):
        content = content_of(message, topics, counters)
        if content is None:
            continue
        stamp_ns = to_ns(content.header.stamp)
        if message.topic == topics.joints and stamp_ns in samples_ns:
            sample = sample_of(content, card, counters)
            if sample is not None:
                samples[stamp_ns] = sample
        if message.topic == (topics.camera or topics.joints) and stamp_ns in stamps:
            arrived.setdefault(stamp_ns, (message, content))
        yield from _ready(waiting, arrived, samples, card, counters)
    while waiting:
        counters["missing"] += 1
        waiting.popleft()
        yield from _ready(waiting, arrived, samples, card, counters)


def _ready(
    waiting: deque[NamedTick],
    arrived: dict[int, tuple[BagMessage, Any]],
    samples: dict[int, JointSample],
    card: ModelCard,
    counters: Counter[str],
) -> Iterator[Frame]:
    """Yield the ticks at the head of the queue whose inputs are all there, forgetting what they used."""
    while waiting:
        tick = waiting[0]
        if tick.stamp_ns not in arrived or (tick.joints_ns and tick.joints_ns not in samples):
            if len(arrived) < PATIENCE:
                return
            counters["missing"] += 1
            arrived.pop(tick.stamp_ns, None)
            waiting.popleft()
            continue
        waiting.popleft()
        message, content = arrived.pop(tick.stamp_ns)
        due = Due(tick.stamp_ns, tick.tick, tick.origin_ns, samples.get(tick.joints_ns))
        for stamp_ns in [stamp_ns for stamp_ns in samples if stamp_ns < tick.joints_ns]:
            del samples[stamp_ns]
        if card.image is None:
            yield Frame(due, None, content.header.frame_id, message.receive_ns, tick.reset)
        elif (frame := with_picture(due, content, message, card, counters)) is not None:
            yield replace(frame, reset=tick.reset)


# --- against the recording -------------------------------------------------------------------------------------------


class Comparison(NamedTuple):
    """How many recorded messages of one topic were replayed byte for byte, and the stamp of the first that was not."""

    topic: str
    equal: int
    recorded: int
    replayed: int
    first_difference_ns: int | None

    @property
    def holds(self) -> bool:
        """Whether the replay begins with all that was recorded; the recorder may have ended before the node did."""
        return self.first_difference_ns is None

    def __str__(self) -> str:
        """Return one line."""
        where = "" if self.holds else f"; the first that differs is stamped {self.first_difference_ns} ns"
        return f"{self.topic}: {self.equal} of {self.recorded} recorded messages equal byte for byte{where}"


def compare(recorded: Sequence[BagMessage], replayed: Sequence[BagMessage], topic: str) -> Comparison:
    """Compare the messages of one topic, in order."""
    before = [message for message in recorded if message.topic == topic]
    after = [message.data for message in replayed if message.topic == topic]
    equal = 0
    first_difference_ns = None
    for index, message in enumerate(before):
        if index < len(after) and after[index] == message.data:
            equal += 1
        elif first_difference_ns is None:
            first_difference_ns = to_ns(deserialise(message.type_name, message.data).header.stamp)
    return Comparison(topic, equal, len(before), len(after), first_difference_ns)
