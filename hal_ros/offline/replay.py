"""A bag through the segmenter offline: the node's own intake, conversions, step and messages, without its clock.

Plain replay takes every tick that is due. It equals a live run byte for byte where that run dropped, held and lost
nothing and each message had arrived before the clock's message that follows it. Replay of recorded labels
(`offline.named_ticks`) takes exactly the ticks, messages and resets that they name, and so always equals them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from hal_ros.bags.answer_messages import (
    BOUNDARY_TYPE,
    LABEL_TYPE,
    PLAN_TYPE,
    boundary_message,
    label_message,
    plan_message,
)
from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.frames import Frame
from hal_ros.bags.messages import deserialise, serialise, to_ns
from hal_ros.bags.reader import BagMessage, read_messages, topic_types
from hal_ros.core.answers import NO_ACTION, BoundaryEstimate
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import BagError
from hal_ros.core.observations import Observation
from hal_ros.core.segmenter import Segmenter, SegmenterState
from hal_ros.offline.followed_plans import FollowedPlans

LABEL_TOPIC = "/action_label"
BOUNDARY_TOPIC = "/action_boundary"
PLAN_TOPIC = "/segmenter/plan_progress"
VOCABULARY_TOPIC = "/segmenter/vocabulary"


def replay(
    frames: Iterable[Frame],
    segmenter: Segmenter,
    segments: int = 0,
    plans: FollowedPlans | None = None,
    left_open: Collection[int] = (),
) -> Iterator[BagMessage]:
    """Step every frame and yield the answers' messages in the order in which the node publishes them.

    `segments` were opened before. At the end the open segment is closed, as the node does when the clock falls silent
    or the node is deactivated, but for sessions that are `left_open`; where the session changes the node began anew.
    Plans are followed, too. Raises what the backend raises.
    """
    state, plans = segmenter.start(segments), plans or FollowedPlans()
    last: Frame | None = None
    for frame in frames:
        due = frame.due
        if last is not None and (frame.reset or frame.session != last.session):
            anew = frame.session != last.session
            if not (anew and last.session in left_open):
                yield from _closing(segmenter, state, last)
            state = segmenter.start(0 if anew else state.segments)
            plans.restart()
        yield from plans.before(frame)
        observation = Observation(due.stamp_ns, due.tick, due.origin_ns, frame.pictures, due.values, due.valid)
        estimate, boundaries, state = segmenter.step(observation, state)
        label = label_message(estimate, due, segmenter.card, frame.frame_id, frame.session)
        yield BagMessage(LABEL_TOPIC, LABEL_TYPE, frame.receive_ns, serialise(label))
        for boundary in boundaries:  # one that closes a segment is still of the tick before
            of = frame if boundary.to_action != NO_ACTION or last is None else replace(frame, frame_id=last.frame_id)
            yield from _boundaries((boundary,), segmenter.card, of)
        progress = plans.follow(estimate, due.origin_ns)
        if progress is not None:
            data = serialise(plan_message(progress, segmenter.card.vocabulary, frame.frame_id))
            yield BagMessage(PLAN_TOPIC, PLAN_TYPE, frame.receive_ns, data)
        last = frame
    if last is not None and last.session not in left_open:
        yield from _closing(segmenter, state, last)


def _closing(segmenter: Segmenter, state: SegmenterState, last: Frame) -> Iterator[BagMessage]:
    return _boundaries(segmenter.close(state), segmenter.card, last)


def _boundaries(boundaries: Sequence[BoundaryEstimate], card: ModelCard, frame: Frame) -> Iterator[BagMessage]:
    for boundary in boundaries:
        message = boundary_message(boundary, card.vocabulary, frame.frame_id, frame.session)
        yield BagMessage(BOUNDARY_TOPIC, BOUNDARY_TYPE, frame.receive_ns, serialise(message))


def sessions_left_open(labels_of: Path | None) -> frozenset[int]:
    """Return the sessions of recorded labels whose last segment was not closed; 0: labels older than sessions.

    A recording that was ended while the node was active holds no event that closes it, nor one of a node that was
    killed.
    """
    kinds = {} if labels_of is None else topic_types(labels_of)
    topics = [topic for topic, kind in kinds.items() if kind == BOUNDARY_TYPE]
    if labels_of is None or not topics:
        return frozenset()
    types, last = BagTypes.of(labels_of), {}
    for message in read_messages(labels_of, topics):
        event = types.deserialise(BOUNDARY_TYPE, message.data)
        last[int(getattr(event, "session", 0))] = event.to_label_id
    return frozenset(session for session, label_id in last.items() if label_id != NO_ACTION)


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


class AgainstRecording:
    """Replayed answers compared with recorded ones while they pass: neither is kept.

    A label of 0.1.0 ends before its inputs, and its events before their session: what they hold must be what those of
    today begin with. What was answered without a node has no session, and is compared without it. A closing event of a
    version before docs/adr/0008-silence.md may be detected later than it stands.
    """

    def __init__(self, recorded: Iterable[BagMessage], topics: Iterable[str], types: BagTypes) -> None:
        """Compare each of the topics, in order; `types` are those of the recording."""
        self._recorded, self._types = iter(recorded), types
        self._found = {topic: Comparison(topic, 0, 0, 0, None) for topic in topics}
        self._waiting: dict[str, deque[BagMessage]] = {topic: deque() for topic in self._found}

    def of(self, answers: Iterable[BagMessage]) -> Iterator[BagMessage]:
        """Compare answers as they pass."""
        for answer in answers:
            if answer.topic in self._found:
                self._compare(answer)
            yield answer

    def results(self) -> list[Comparison]:
        """Return the comparisons once all answers have passed; what else was recorded was not replayed."""
        for topic in self._found:
            while (message := self._next(topic)) is not None:
                self._differs(message)
        return list(self._found.values())

    def _compare(self, answer: BagMessage) -> None:
        found = self._found[answer.topic]
        self._found[answer.topic] = found._replace(replayed=found.replayed + 1)
        recorded = self._next(answer.topic)
        if recorded is not None and _same(answer.data, recorded, self._types):
            found = self._found[answer.topic]
            self._found[answer.topic] = found._replace(equal=found.equal + 1)
        elif recorded is not None:
            self._differs(recorded)

    def _next(self, topic: str) -> BagMessage | None:
        """Return the next recorded message of a topic, and count it; those of others that lie before it wait."""
        waiting = self._waiting[topic]
        while not waiting and (message := next(self._recorded, None)) is not None:
            if message.topic in self._waiting:
                self._waiting[message.topic].append(message)
        if not waiting:
            return None
        found = self._found[topic]
        self._found[topic] = found._replace(recorded=found.recorded + 1)
        return waiting.popleft()

    def _differs(self, message: BagMessage) -> None:
        found = self._found[message.topic]
        if found.first_difference_ns is None:
            stamp_ns = to_ns(self._types.deserialise(message.type_name, message.data).header.stamp)
            self._found[message.topic] = found._replace(first_difference_ns=stamp_ns)


def compare(recorded: Iterable[BagMessage], replayed: Iterable[BagMessage], topic: str, types: BagTypes) -> Comparison:
    """Compare the messages of one topic as `AgainstRecording` does."""
    against = AgainstRecording(recorded, (topic,), types)
    deque(against.of(replayed), maxlen=0)
    return against.results()[0]


def _same(replayed: bytes, recorded: BagMessage, types: BagTypes) -> bool:
    """Whether two messages are equal, but for what their versions, or an answer without a node, can't say."""
    kind = recorded.type_name
    if replayed == recorded.data or kind not in (LABEL_TYPE, BOUNDARY_TYPE):
        return replayed == recorded.data
    try:
        theirs, ours = types.deserialise(kind, recorded.data), deserialise(kind, replayed)
    except BagError:
        return False  # what was recorded is damaged
    if kind == BOUNDARY_TYPE and ours.to_label_id == NO_ACTION and ours.detected_at == ours.header.stamp:
        ours.detected_at = theirs.detected_at
    ours.session = ours.session or getattr(theirs, "session", 0)
    is_older = len(types.describe(kind)) < len(BagTypes().describe(kind))
    return serialise(ours).startswith(recorded.data) if is_older else serialise(ours) == recorded.data
