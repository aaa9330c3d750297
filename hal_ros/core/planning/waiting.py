"""Goals that wait for an action: state in, state out, without a clock of its own.

A goal is looked at whenever something is known anew, and now and then for its timeout alone. Durations of segments are
the sensor's, the timeout is on the ROS clock that the caller reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from hal_ros.core.decoding.known_plan import action_ids
from hal_ros.core.errors import ConfigError
from hal_ros.core.segmenter import OpenSegment

TELL_NS = 500_000_000
"""Feedback about the same segment comes this often at most."""


class WaitOutcome(IntEnum):
    """Why a goal ended; the numbers are those of hal_msgs/action/WaitForAction."""

    REACHED = 1
    TIMED_OUT = 2
    CANCELED = 3
    REFUSED = 4
    ENDED = 5


@dataclass(frozen=True)
class WaitGoal:
    """What a client waits for."""

    labels: tuple[str, ...]  # any of these; none: any action
    min_confidence: float
    min_duration_ns: int
    timeout_ns: int
    after_segment_id: int = 0  # only segments that began after this one; 0: all


@dataclass(frozen=True)
class Waiting:
    """A goal and how far it is."""

    wanted: WaitGoal
    actions: frozenset[int]  # none: any
    since_ns: int = 0  # on the ROS clock, when its time began; 0 while that clock does not run yet
    now_ns: int = 0  # on the ROS clock, of the newest look
    told_id: int = -1  # segment of the newest feedback; -1 before the first one
    told_ns: int = 0  # on the ROS clock, when it was sent


class WaitVerdict(NamedTuple):
    """What one look gave."""

    outcome: WaitOutcome | None  # None: it still waits
    tells: bool  # whether feedback is due
    waiting: Waiting


def begin(wanted: WaitGoal, vocabulary: Sequence[str]) -> Waiting:
    """Return a goal that waits. Raises ConfigError, in one line, for one that can never be reached as it was put."""
    actions = frozenset(action_ids(wanted.labels, vocabulary, "labels"))
    if not 0 <= wanted.min_confidence <= 1:  # NaN is refused, too
        raise ConfigError(f"min_confidence is {wanted.min_confidence:g}; expected 0 to 1")
    if wanted.min_duration_ns < 0:
        raise ConfigError(f"min_duration is {wanted.min_duration_ns * 1e-9:g} s; expected 0 s or more")
    if wanted.timeout_ns <= 0:
        raise ConfigError(f"timeout is {wanted.timeout_ns * 1e-9:g} s; expected more than 0 s")
    return Waiting(wanted, actions)


def look(waiting: Waiting, segment: OpenSegment | None, now_ns: int, fresh: bool = True) -> WaitVerdict:
    """Judge a goal by the segment that runs, at a time of the ROS clock; `fresh` says that this is a new answer.

    Where that clock has jumped back, or has only just begun to run, the goal's time begins anew.
    """
    since_ns = waiting.since_ns if waiting.since_ns > 0 and waiting.now_ns <= now_ns else now_ns
    waiting = replace(waiting, since_ns=since_ns, now_ns=now_ns)
    if segment is not None and _fits(waiting, segment):
        return WaitVerdict(WaitOutcome.REACHED, False, waiting)
    if since_ns and now_ns - since_ns >= waiting.wanted.timeout_ns:
        return WaitVerdict(WaitOutcome.TIMED_OUT, False, waiting)
    segment_id = 0 if segment is None else segment.segment_id
    late = fresh and segment is not None and not 0 <= now_ns - waiting.told_ns < TELL_NS
    if segment_id == waiting.told_id and not late:
        return WaitVerdict(None, False, waiting)
    return WaitVerdict(None, True, replace(waiting, told_id=segment_id, told_ns=now_ns))


def _fits(waiting: Waiting, segment: OpenSegment) -> bool:
    wanted = waiting.wanted
    return (
        (not waiting.actions or segment.action in waiting.actions)
        and segment.segment_id > wanted.after_segment_id
        and segment.confidence >= wanted.min_confidence
        and segment.newest_ns - segment.start_ns >= wanted.min_duration_ns
    )


def timeout_words(wanted: WaitGoal, segment: OpenSegment | None, vocabulary: Sequence[str]) -> str:
    """Return what came instead, in one line."""
    named = " or ".join(map(repr, wanted.labels)) or "action"
    demands = [f"above segment {wanted.after_segment_id}"] if wanted.after_segment_id else []
    demands += [f"for {wanted.min_duration_ns * 1e-9:g} s"] if wanted.min_duration_ns else []
    demands += [f"with confidence {wanted.min_confidence:.2g}"] if wanted.min_confidence else []
    text = " ".join([f"no {named}", *demands, f"within {wanted.timeout_ns * 1e-9:g} s"])
    if segment is None:
        return f"{text}; no segment runs"
    age_s = (segment.newest_ns - segment.start_ns) * 1e-9
    name = vocabulary[segment.action]
    return f"{text}; {name!r} has run for {age_s:.1f} s, confidence {segment.confidence:.2f}"
