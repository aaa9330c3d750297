"""The segmenter's answers as messages of hal_msgs: the node and the replay of a bag both make them here (law 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hal_ros.bags.messages import duration_message, header_message, known_class, serialise, time_message
from hal_ros.core.answers import NO_ACTION, ActionEstimate, Answer, BoundaryEstimate
from hal_ros.core.card import ModelCard
from hal_ros.core.decoding.known_plan import PlanEstimate
from hal_ros.core.planning.known import LastKnown
from hal_ros.core.streams.intake import Due
from hal_ros.core.streams.merge import Source
from hal_ros.core.streams.spec import StreamSpec

LABEL_TYPE = "hal_msgs/msg/ActionLabel"
BOUNDARY_TYPE = "hal_msgs/msg/BoundaryEvent"
INPUT_TYPE = "hal_msgs/msg/InputStamp"
PLAN_TYPE = "hal_msgs/msg/PlanProgress"
FOLLOWED_TYPE = "hal_msgs/msg/Plan"
VOCABULARY_TYPE = "hal_msgs/msg/Vocabulary"


def label_message(estimate: ActionEstimate, due: Due, card: ModelCard, frame_id: str, session: int = 0) -> Any:
    """Return the ActionLabel of one processed tick; `due` is the tick that went in, `session` the node's life."""
    provisional, confirmed, vocabulary = estimate.provisional, estimate.confirmed, card.vocabulary
    confirmed_action = NO_ACTION if confirmed is None else confirmed.action
    return known_class(LABEL_TYPE)(
        header=header_message(estimate.stamp_ns, frame_id),
        as_of=time_message(estimate.as_of_ns),
        tick=estimate.tick,
        held_ticks=estimate.held_ticks,
        origin=time_message(due.origin_ns),
        joints_stamp=time_message(newest_joints_ns(due.sources, card.streams)),
        label=vocabulary[provisional.action],
        label_id=provisional.action,
        confidence=provisional.confidence,
        probabilities=np.exp(provisional.log_probs, dtype=np.float32),
        confirmed_valid=confirmed is not None,
        confirmed_stamp=time_message(0 if confirmed is None else confirmed.stamp_ns),
        confirmed_label=action_name(confirmed_action, vocabulary),
        confirmed_label_id=confirmed_action,
        confirmed_confidence=0.0 if confirmed is None else confirmed.confidence,
        segment_id=0 if confirmed is None else confirmed.segment_id,
        inputs=[_input_stamp(*source) for source in due.sources],
        session=session,
    )


def newest_joints_ns(sources: Sequence[Source], spec: StreamSpec) -> int:
    """Return the newest stamp of the joint states among the messages that went in; 0 without one."""
    return max((s.stamp_ns for s in sources if s.stream in spec.states and spec.states[s.stream].names), default=0)


def _input_stamp(stream: str, topic: str, stamp_ns: int) -> Any:
    return known_class(INPUT_TYPE)(stream=stream, topic=topic, stamp=time_message(stamp_ns))


def boundary_message(boundary: BoundaryEstimate, vocabulary: Sequence[str], frame_id: str, session: int = 0) -> Any:
    """Return the BoundaryEvent of one change of the confirmed sequence."""
    return known_class(BOUNDARY_TYPE)(
        header=header_message(boundary.stamp_ns, frame_id),
        detected_at=time_message(boundary.detected_ns),
        from_label=action_name(boundary.from_action, vocabulary),
        from_label_id=boundary.from_action,
        to_label=action_name(boundary.to_action, vocabulary),
        to_label_id=boundary.to_action,
        confidence=boundary.confidence,
        segment_id=boundary.segment_id,
        duration=duration_message(boundary.duration_ns),
        session=session,
    )


def plan_message(progress: PlanEstimate, vocabulary: Sequence[str], frame_id: str) -> Any:
    """Return the PlanProgress of one confirmed answer."""
    return known_class(PLAN_TYPE)(
        header=header_message(progress.stamp_ns, frame_id),
        as_of=time_message(progress.as_of_ns),
        step=progress.step,
        steps=progress.steps,
        label=action_name(progress.action, vocabulary),
        label_id=progress.action,
        remaining_steps=progress.remaining,
        progress=progress.progress,
        confidence=progress.confidence,
        deviation=progress.deviation,
        deviates=progress.deviates,
    )


def followed_message(plan: Sequence[int], vocabulary: Sequence[str], known: LastKnown, session: int) -> Any:
    """Return the Plan that is followed from the label after what is `known`; an empty one says that none is."""
    return known_class(FOLLOWED_TYPE)(
        header=header_message(known.label_ns, known.frame_id),
        session=session,
        labels=[vocabulary[action] for action in plan],
        label_ids=np.array(plan, np.uint16),
    )


def vocabulary_message(card: ModelCard, sha256: str) -> Any:
    """Return the Vocabulary of a bundle with this card; sha256 is the bundle's hash."""
    return known_class(VOCABULARY_TYPE)(
        bundle=card.name,
        bundle_hash=sha256,
        labels=list(card.vocabulary),
        rate_hz=card.rate_hz,
        lag_ticks=card.lag_ticks,
        max_held_ticks=card.max_held_ticks,
    )


def warm_up(card: ModelCard) -> None:
    """Serialise one message of each kind: the first time compiles its serialiser, which a first frame must not pay."""
    answer = Answer(0, 0, 0.0, np.zeros(len(card.vocabulary), np.float32))
    estimate = ActionEstimate(0, 0, 0, 0, answer, answer)
    boundary = BoundaryEstimate(0, 0, NO_ACTION, 0, 0.0, 0, 0)
    nothing = np.zeros(0, np.float32)
    due = Due(0, 0, 0, {}, nothing, nothing, (Source("", "", 0),))
    serialise(label_message(estimate, due, card, ""))
    serialise(boundary_message(boundary, card.vocabulary, ""))
    progress = PlanEstimate(0, 0, 0, 1, 0, 0.0, 0.0, 0.0, False)
    serialise(plan_message(progress, card.vocabulary, ""))


def action_name(action: int, vocabulary: Sequence[str]) -> str:
    """Return an action's name, '' for NO_ACTION."""
    return "" if action == NO_ACTION else vocabulary[action]
