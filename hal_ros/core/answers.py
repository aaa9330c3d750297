"""What comes out: the answers of a tick, the changes between them, and the segments that they make. K actions.

Times are the sensor's, in integer nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from hal_ros.core.arrays import FloatArray

NO_ACTION = 65535
"""The label id of 'no action': before the first segment and after the last one (uint16 maximum in the messages)."""


@dataclass(frozen=True)
class Answer:
    """Which action runs at stamp_ns. segment_id is 0 in a provisional answer: only confirmed ones form segments."""

    stamp_ns: int
    action: int
    confidence: float  # probability of `action`, 0..1
    log_probs: FloatArray  # (K,)
    segment_id: int = 0


@dataclass(frozen=True)
class ActionEstimate:
    """The answers that one processed tick gives; as_of_ns is the newest sensor time that went into them."""

    tick: int
    stamp_ns: int
    as_of_ns: int
    held_ticks: int
    provisional: Answer
    confirmed: Answer | None  # speaks of lag_ticks earlier; None while warming up


@dataclass(frozen=True)
class BoundaryEstimate:
    """One change of the confirmed sequence. At its start from_action, at its end to_action is NO_ACTION."""

    stamp_ns: int  # first tick of to_action; when to_action is NO_ACTION, the end of the ended segment
    detected_ns: int
    from_action: int
    to_action: int
    confidence: float  # of to_action at its first tick; of from_action at its last one when there is no to_action
    segment_id: int  # of the new segment; 0 when to_action is NO_ACTION
    duration_ns: int  # of the ended segment; 0 when from_action is NO_ACTION


@dataclass(frozen=True)
class Segment:
    """One action over [start_ns, end_ns)."""

    action: str
    start_ns: int
    end_ns: int
