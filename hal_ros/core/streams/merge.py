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
from hal_ros.core.ticks import BACKWARD_JUMP_NS, is_stamp

WAITING_NS = 10_000_000_000
"""How long messages of one kind wait for the clock, by their stamps, however many they are."""
LEAST_WAITING = 64
"""So many of a kind wait, however far apart their stamps are: one that is far off says nothing of the others."""
MOST_WAITING = 16_384
"""Messages of all kinds that wait: ten seconds at 1 kHz and more. Of more the oldest go: memory stays bounded."""
MOST_KINDS = 64
"""So many kinds of messages are remembered that have none waiting; drivers have one each."""


class Source(NamedTuple):
    """A message whose values went into a tick."""

    stream: str
    topic: str
    stamp_ns: int


@dataclass(frozen=True, eq=False, slots=True)  # two messages that say the same are two
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


class _Waiting:
    """Messages of one kind, of one topic and about the same values, by stamp: of those not newer the last counts."""

    def __init__(self) -> None:
        self.stamps: list[int] = []
        self.samples: list[tuple[int, StateSample]] = []  # with the order in which they came
        self.newest_ns = 0  # of the message that came last

    def holds(self, stamp_ns: int) -> bool:
        """Whether a message of that stamp came before."""
        at = bisect_left(self.stamps, stamp_ns)
        return stamp_ns == self.newest_ns or (at < len(self.stamps) and self.stamps[at] == stamp_ns)

    def insert(self, order: int, sample: StateSample) -> None:
        """Put a message where its stamp belongs, usually at the end."""
        stamps = self.stamps
        at = len(stamps) if not stamps or sample.stamp_ns > stamps[-1] else bisect_left(stamps, sample.stamp_ns)
        stamps.insert(at, sample.stamp_ns)
        self.samples.insert(at, (order, sample))

    def outlived(self) -> int:
        """Return how many of the oldest waited long enough; half of the time is that to the middle one's stamp.

        A single stamp that is far off does not move the middle one.
        """
        if len(self.stamps) <= LEAST_WAITING:
            return 0
        return bisect_left(self.stamps, self.stamps[len(self.stamps) // 2] - WAITING_NS // 2)

    def cut(self, start: int, end: int) -> int:
        """Take out the messages from `start` to `end`; returns how many there were."""
        before = len(self.stamps)
        del self.stamps[start:end], self.samples[start:end]
        return before - len(self.stamps)


class StateMerger:
    """The values of one state, fed in receive order and asked at rising stamps. What is refused is counted.

    The answer is a function of the stamps alone as long as no message is late: of equal stamps the topic that sorts
    last counts, and on one topic the first message. Looking up costs no more with a faster topic: of the messages that
    wait, one of each kind is looked at.
    """

    def __init__(self, name: str, spec: StateSpec, counters: Counter[str]) -> None:
        self._counters = counters
        self._keys = {cause: counts.key(name, cause) for cause in (counts.RECEIVED, *counts.CAUSES)}
        self._name = name
        self._max_age_ns = round(spec.max_age_s * 1e9)
        self._kinds: dict[tuple[str, bytes], _Waiting] = {}
        self._waiting = 0  # messages of all kinds
        self._order = 0
        self._spent: list[object] = []  # let go by later messages: a tick shall not pay for a fast topic
        self._asked_ns = 0
        count = spec.value_count
        self._columns = len(spec.names) or count  # one for each name, or path
        self._values = np.zeros(count, np.float32)
        self._value_ns = np.zeros(count, np.int64)  # 0: never seen
        self._from: NDArray[np.object_] = np.full(count, None, object)  # the StateSample that each value is of
        self._newest_ns = 0  # of the values
        self._whole: StateSample | None = None  # the message that all values are of, if there is one
        self._all = np.ones(count, np.float32)
        self._seen = np.zeros(count, bool)  # values that were valid at some tick: a driver may never send efforts

    def add(self, sample: StateSample) -> bool:
        """Take one message; False where it is refused, and counted."""
        del self._spent[-2:]
        kind = self._kind(sample)
        cause = counts.ZERO if not is_stamp(sample.stamp_ns) else counts.REPEATED if kind.holds(sample.stamp_ns) else ""
        self._counters[self._keys[cause or counts.RECEIVED]] += 1
        if cause:
            return False
        kind.newest_ns = sample.stamp_ns
        # Stamps further back may be of a stream that begins anew: the clock will tell.
        if 0 <= self._asked_ns - sample.stamp_ns <= BACKWARD_JUMP_NS:
            self._counters[self._keys[counts.LATE]] += 1
            self._merge(sample)
            return True
        self._order += 1
        kind.insert(self._order, sample)
        self._waiting += 1
        self._set_aside(kind, kind.outlived())
        if self._waiting > MOST_WAITING:  # one that writes faster than all others does not cost them theirs
            self._set_aside(max(self._kinds.values(), key=lambda one: len(one.stamps)), 1)
        return True

    def at(self, stamp_ns: int) -> StateAtTick:
        """Return the state at a tick: per value the newest with stamp_ns - max_age <= stamp <= stamp_ns."""
        if self._asked_ns - stamp_ns > BACKWARD_JUMP_NS:
            self._begin_anew(stamp_ns)
        self._asked_ns = stamp_ns
        self._take_waiting(stamp_ns)
        oldest_ns = stamp_ns - self._max_age_ns
        whole = self._whole
        if whole is not None and oldest_ns <= whole.stamp_ns <= stamp_ns and np.isfinite(whole.values).all():
            self._seen.fill(True)
            return StateAtTick(whole.values, self._all, (Source(self._name, whole.topic, whole.stamp_ns),))
        fresh = self._value_ns >= max(oldest_ns, 1)
        if self._newest_ns > stamp_ns:  # somebody turned the clock back a little
            fresh &= self._value_ns <= stamp_ns
        valid = fresh & np.isfinite(self._values)
        self._count(valid, oldest_ns)
        values = np.where(valid, self._values, np.float32(0))
        return StateAtTick(values, valid.astype(np.float32), self._sources(fresh))

    def _set_aside(self, kind: _Waiting, count: int) -> None:
        """Let go of the oldest messages of a kind."""
        if count:
            self._counters[self._keys[counts.OVERFLOWED]] += count
            self._waiting -= kind.cut(0, count)

    def _kind(self, sample: StateSample) -> _Waiting:
        key = sample.topic, b"" if sample.present is None else sample.present.tobytes()
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= MOST_KINDS:
                self._kinds = {known: one for known, one in self._kinds.items() if one.stamps}
            kind = self._kinds[key] = _Waiting()
        return kind

    def _begin_anew(self, stamp_ns: int) -> None:
        """Forget what is of the time before the clock jumped back."""
        self._value_ns[self._value_ns > stamp_ns] = 0
        self._newest_ns, self._whole = int(self._value_ns.max()), None
        for kind in self._kinds.values():
            self._waiting -= kind.cut(bisect_left(kind.stamps, stamp_ns + BACKWARD_JUMP_NS), len(kind.stamps))

    def _take_waiting(self, stamp_ns: int) -> None:
        """Merge what waited until now: of each kind the newest message alone, since it has all that older ones have."""
        due = []
        for kind in self._kinds.values():
            if kind.stamps and kind.stamps[0] <= stamp_ns:
                count = bisect_right(kind.stamps, stamp_ns)
                due.append(kind.samples[count - 1])
                self._spent += kind.samples[:count]
                self._waiting -= kind.cut(0, count)
        for _, sample in sorted(due):  # of two messages of one topic and stamp the first counts
            self._merge(sample)

    def _merge(self, sample: StateSample) -> None:
        """Take over those values of a message that are newer than the known ones."""
        stamp_ns = sample.stamp_ns
        newer: NDArray[np.bool_] | slice = slice(None) if sample.present is None else sample.present
        if stamp_ns <= self._newest_ns:
            newer = self._value_ns < stamp_ns
            for index in np.flatnonzero(self._value_ns == stamp_ns).tolist():
                newer[index] = self._from[index].topic < sample.topic
            if sample.present is not None:
                newer &= sample.present
        self._whole = sample if isinstance(newer, slice) else None
        self._values[newer] = sample.values[newer]
        self._value_ns[newer] = stamp_ns
        self._from[newer] = sample
        self._newest_ns = max(self._newest_ns, stamp_ns)

    def _count(self, valid: NDArray[np.bool_], oldest_ns: int) -> None:
        lost = (self._seen & ~valid).any()
        self._seen |= valid
        named = valid.reshape(-1, self._columns).any(0)
        if named.all() and not lost:
            return
        cause = counts.PARTIAL if named.any() else counts.MISSING
        self._counters[self._keys[cause]] += 1
        if cause == counts.MISSING and ((self._value_ns > 0) & (self._value_ns < oldest_ns)).any():
            self._counters[self._keys[counts.STALE]] += 1

    def _sources(self, fresh: NDArray[np.bool_]) -> tuple[Source, ...]:
        found = {(sample.stamp_ns, sample.topic, id(sample)) for sample in set(self._from[fresh].tolist())}
        return tuple(Source(self._name, topic, stamp_ns) for stamp_ns, topic, _ in sorted(found))
