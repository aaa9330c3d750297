"""A state is merged, a message is not a state: the newest value of each name over all topics and messages.

So it does not matter whether one driver sends all joints, or several take turns on one topic or on their own.
Dims: N values of one state.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.arrays import FloatArray
from hal_ros.core.streams import counts
from hal_ros.core.streams.spec import StateSpec
from hal_ros.core.ticks import BACKWARD_JUMP_NS

MOST_WAITING = 4096
"""Messages that wait for the clock: four seconds at 1 kHz. What is older is merged, so that memory stays bounded."""


class Source(NamedTuple):
    """A message whose values went into a tick."""

    stream: str
    topic: str
    stamp_ns: int


@dataclass(frozen=True)
class StateSample:
    """What one message says of a state."""

    stamp_ns: int
    topic: str
    values: FloatArray  # (N,) NaN where the robot says that it does not know
    present: NDArray[np.bool_] | None = None  # (N,) which values the message speaks of; None: all


@dataclass(frozen=True)
class StateAtTick:
    """A state as it was known at a tick."""

    values: FloatArray  # (N,) finite; 0 where it is not valid
    valid: FloatArray  # (N,) 0 or 1
    sources: tuple[Source, ...]  # the messages that hold the newest word on a value, known or not; oldest first


class StateMerger:
    """The values of one state, fed in receive order and asked at rising stamps. What is refused is counted.

    The answer is a function of the stamps alone as long as no message is late: of equal stamps the topic that sorts
    last counts, and on one topic the first message. Looking up costs no more with a faster topic: of those that wait
    only the newest are looked at.
    """

    def __init__(self, name: str, spec: StateSpec, counters: Counter[str]) -> None:
        self._name, self._counters = name, counters
        self._max_age_ns = round(spec.max_age_s * 1e9)
        self._waiting: list[StateSample] = []  # by stamp; newer than the last tick
        self._stamps: list[int] = []  # of those that wait
        self._newest: dict[str, StateSample] = {}  # by topic, to know repeats by
        self._asked_ns = 0
        count = spec.value_count
        self._values = np.zeros(count, np.float32)
        self._value_ns = np.zeros(count, np.int64)  # 0: never seen
        self._topic = np.full(count, "", object)

    def add(self, sample: StateSample) -> bool:
        """Take one message; False where it is refused, and counted."""
        counters, name = self._counters, self._name
        if sample.stamp_ns <= 0:
            counters[counts.key(name, counts.ZERO)] += 1
            return False
        if self._is_repeat(sample):
            counters[counts.key(name, counts.REPEATED)] += 1
            return False
        self._newest[sample.topic] = sample
        counters[counts.key(name, counts.RECEIVED)] += 1
        late_ns = self._asked_ns - sample.stamp_ns
        if 0 <= late_ns <= BACKWARD_JUMP_NS:
            counters[counts.key(name, counts.LATE)] += 1
            self._merge(sample)
            return True
        # Stamps further back may be of a stream that begins anew: the clock will tell.
        in_order = not self._stamps or sample.stamp_ns > self._stamps[-1]
        at = len(self._stamps) if in_order else bisect_left(self._stamps, sample.stamp_ns)
        self._stamps.insert(at, sample.stamp_ns)
        self._waiting.insert(at, sample)
        if len(self._stamps) > MOST_WAITING:
            counters[counts.key(name, counts.OVERFLOWED)] += 1
            self._merge(self._waiting[0])
            del self._waiting[0], self._stamps[0]
        return True

    def at(self, stamp_ns: int) -> StateAtTick:
        """Return the state at a tick: per value the newest with stamp_ns - max_age <= stamp <= stamp_ns."""
        if self._asked_ns - stamp_ns > BACKWARD_JUMP_NS:
            self._begin_anew(stamp_ns)
        self._asked_ns = stamp_ns
        self._take_waiting(bisect_right(self._stamps, stamp_ns))
        oldest_ns = stamp_ns - self._max_age_ns
        fresh = (self._value_ns >= max(oldest_ns, 1)) & (self._value_ns <= stamp_ns)
        valid = fresh & np.isfinite(self._values)
        self._count(valid)
        values = np.where(valid, self._values, np.float32(0))
        return StateAtTick(values, valid.astype(np.float32), self._sources(fresh))

    def _is_repeat(self, sample: StateSample) -> bool:
        before = self._newest.get(sample.topic)
        if before is None or before.stamp_ns != sample.stamp_ns:
            return False
        return before.present is None or (sample.present is not None and not (sample.present & ~before.present).any())

    def _begin_anew(self, stamp_ns: int) -> None:
        """Forget what is of the time before the clock jumped back."""
        self._value_ns[self._value_ns > stamp_ns] = 0
        kept = bisect_left(self._stamps, stamp_ns + BACKWARD_JUMP_NS)
        del self._waiting[kept:], self._stamps[kept:]

    def _take_waiting(self, count: int) -> None:
        """Merge the oldest `count` of those that wait, the newest of them first: what has a newer value needs no look.

        Each of them is newer than what was merged before, but for those that were overdue by a whole jump.
        """
        missing = np.ones(len(self._values), bool)
        filled_ns = 0
        seen: set[tuple[str, bytes]] = set()  # of the messages of a topic that speak of the same values one counts
        for sample in reversed(self._waiting[:count]):
            if filled_ns and sample.stamp_ns != filled_ns:
                break
            kind = sample.topic, b"" if sample.present is None else sample.present.tobytes()
            if kind in seen:
                continue
            seen.add(kind)
            self._merge(sample)
            missing &= False if sample.present is None else ~sample.present
            if not filled_ns and not missing.any():
                filled_ns = sample.stamp_ns  # others of this stamp still count
        del self._waiting[:count], self._stamps[:count]

    def _merge(self, sample: StateSample) -> None:
        """Take over those values of a message that are newer than the known ones."""
        newer = np.greater(sample.stamp_ns, self._value_ns)
        equal = np.equal(sample.stamp_ns, self._value_ns)
        if equal.any():
            newer |= equal & (self._topic < sample.topic)
        if sample.present is not None:
            newer &= sample.present
        self._values[newer] = sample.values[newer]
        self._value_ns[newer] = sample.stamp_ns
        self._topic[newer] = sample.topic

    def _count(self, valid: NDArray[np.bool_]) -> None:
        if valid.all():
            return
        cause = counts.PARTIAL if valid.any() else counts.MISSING
        self._counters[counts.key(self._name, cause)] += 1
        if cause == counts.MISSING and self._value_ns.any():
            self._counters[counts.key(self._name, counts.STALE)] += 1

    def _sources(self, fresh: NDArray[np.bool_]) -> tuple[Source, ...]:
        found = set(zip(self._value_ns[fresh].tolist(), self._topic[fresh].tolist(), strict=True))
        return tuple(Source(self._name, topic, stamp_ns) for stamp_ns, topic in sorted(found))
