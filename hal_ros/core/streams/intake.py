"""From the messages of all streams to the ticks that are due: the node, replay and ingest share it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from hal_ros.core.arrays import FloatArray
from hal_ros.core.streams import counts
from hal_ros.core.streams.merge import Source, StateMerger, StateSample
from hal_ros.core.streams.pictures import PictureQueue, TimedPicture
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.core.ticks import NO_STAMP_NS, Grid, Placement, place


@dataclass(frozen=True)
class Due:
    """A tick that is due: everything of an Observation but the pixels, which only the worker converts."""

    stamp_ns: int
    tick: int
    origin_ns: int
    pictures: Mapping[str, TimedPicture | None]  # by camera
    values: FloatArray  # (V,) of all states, 0 where not valid
    valid: FloatArray  # (V,) 0 or 1
    sources: tuple[Source, ...]  # every message that went in: cameras first, then states, as in the spec
    frame_id: str = ""  # of the clock's message
    before: Due | None = None  # the tick that had to wait for this one's stamp, see `ticks.place`

    @property
    def in_order(self) -> tuple[Due, ...]:
        """The tick behind the one that had to wait for it, if there is one."""
        return (self,) if self.before is None else (self.before, replace(self, before=None))


class _ClockMessage(NamedTuple):
    """What a message of the clock brings beside its stamp."""

    picture: TimedPicture | None  # None where the clock is a state
    frame_id: str


NOTHING = _ClockMessage(None, "")


class Intake:
    """One run's tick grid and streams, fed in receive order; every refusal is counted in `counters`.

    See `core.streams.counts` for what is counted. A stamp of the clock is counted when it is known what became of it:
    one that waits for the next has no verdict yet.
    """

    def __init__(self, spec: StreamSpec) -> None:
        self.counters: Counter[str] = Counter()
        self._spec = spec
        self._grid: Grid | None = None
        self._waiting: _ClockMessage = NOTHING  # whose stamp waits for the next one
        self._states = {name: StateMerger(name, state, self.counters) for name, state in spec.states.items()}
        self._queues = {
            name: PictureQueue(name, camera, self.counters)
            for name, camera in spec.cameras.items()
            if name != spec.clock
        }

    @property
    def waiting_ns(self) -> int:
        """The stamp of the clock that waits for the next one; NO_STAMP_NS while none does."""
        return NO_STAMP_NS if self._grid is None else self._grid.waiting_ns

    def reset(self) -> None:
        """Forget the grid, so that the next stamp of the clock starts a fresh one; the streams stay."""
        if self.waiting_ns != NO_STAMP_NS:
            self.counters[counts.OUTLIER] += 1
        self._grid, self._waiting = None, NOTHING

    def state(self, name: str, sample: StateSample, frame_id: str = "") -> Due | None:
        """Take what one message says of a state; it is a due tick only if that state is the clock."""
        if not self._states[name].add(sample):
            return None
        return self._place(sample.stamp_ns, _ClockMessage(None, frame_id)) if name == self._spec.clock else None

    def picture(self, name: str, picture: TimedPicture, frame_id: str = "") -> Due | None:
        """Take one picture; it is a due tick only if its camera is the clock."""
        if name != self._spec.clock:
            self._queues[name].add(picture)
            return None
        self.counters[counts.key(name, counts.RECEIVED)] += 1
        return self._place(picture.stamp_ns, _ClockMessage(picture, frame_id))

    def refuse(self, name: str, cause: str) -> None:
        """Count a message of a stream that was refused before it came here."""
        self.counters[counts.key(name, cause)] += 1

    def _place(self, stamp_ns: int, message: _ClockMessage) -> Due | None:
        """Return the tick that a stamp of the clock makes, or else the one that waited for it; None without either."""
        placement = place(stamp_ns, self._grid, self._spec.period_ns, self._spec.max_held_ticks)
        before = None if placement.waited is None else self._settle(placement.waited, self._waiting)
        due = self._settle(placement, message)
        self._grid = placement.grid
        if placement.verdict == "waits":
            self._waiting = message
        elif self.waiting_ns == NO_STAMP_NS:
            self._waiting = NOTHING
        return before if due is None else replace(due, before=before) if before is not None else due

    def _settle(self, placement: Placement, message: _ClockMessage) -> Due | None:
        """Count what became of a stamp; return its tick if it is due."""
        if placement.verdict == "waits":
            return None
        self.counters[placement.verdict] += 1
        self.counters[counts.RESTARTS] += placement.restarted
        if placement.verdict != "due" or placement.grid is None:
            return None
        return self._due(placement.grid, message)

    def _due(self, grid: Grid, message: _ClockMessage) -> Due:
        stamp_ns, clock = grid.stamp_ns, self._spec.clock
        pictures = {
            name: message.picture if name == clock else self._queues[name].at(stamp_ns) for name in self._spec.cameras
        }
        states = [state.at(stamp_ns) for state in self._states.values()]
        seen = [Source(name, one.topic, one.stamp_ns) for name, one in pictures.items() if one is not None]
        return Due(
            stamp_ns,
            grid.tick,
            grid.origin_ns,
            pictures,
            np.concatenate([state.values for state in states]) if states else np.zeros(0, np.float32),
            np.concatenate([state.valid for state in states]) if states else np.zeros(0, np.float32),
            (*seen, *(source for state in states for source in state.sources)),
            message.frame_id,
        )
