"""From the messages of all streams to the ticks that are due: the node, replay and ingest share it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hal_ros.core.arrays import FloatArray
from hal_ros.core.streams import counts
from hal_ros.core.streams.merge import Source, StateMerger, StateSample
from hal_ros.core.streams.pictures import PictureQueue, TimedPicture
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.core.ticks import Grid, place


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


class Intake:
    """One run's tick grid and streams, fed in receive order; every refusal is counted in `counters`.

    Counters of the grid: due, not_due, repeated, backwards, zero (what became of the clock's stamps); restarts (fresh
    grids, the first one included). Those of the streams: see `core.streams.counts`.
    """

    def __init__(self, spec: StreamSpec) -> None:
        self.counters: Counter[str] = Counter()
        self._spec = spec
        self._grid: Grid | None = None
        self._states = {name: StateMerger(name, state, self.counters) for name, state in spec.states.items()}
        self._queues = {
            name: PictureQueue(name, camera, self.counters)
            for name, camera in spec.cameras.items()
            if name != spec.clock
        }

    def reset(self) -> None:
        """Forget the grid, so that the next stamp of the clock starts a fresh one; the streams stay."""
        self._grid = None

    def state(self, name: str, sample: StateSample) -> Due | None:
        """Take what one message says of a state; it is a due tick only if that state is the clock."""
        if not self._states[name].add(sample):
            return None
        return self._place(sample.stamp_ns, None) if name == self._spec.clock else None

    def picture(self, name: str, picture: TimedPicture) -> Due | None:
        """Take one picture; it is a due tick only if its camera is the clock."""
        if name != self._spec.clock:
            self._queues[name].add(picture)
            return None
        self.counters[counts.key(name, counts.RECEIVED)] += 1
        return self._place(picture.stamp_ns, picture)

    def refuse(self, name: str, cause: str) -> None:
        """Count a message of a stream that was refused before it came here."""
        self.counters[counts.key(name, cause)] += 1

    def _place(self, stamp_ns: int, picture: TimedPicture | None) -> Due | None:
        placement = place(stamp_ns, self._grid, self._spec.period_ns, self._spec.max_held_ticks)
        self._grid = placement.grid
        self.counters[placement.verdict] += 1
        self.counters["restarts"] += placement.restarted
        if placement.verdict != "due" or placement.grid is None:
            return None
        return self._due(placement.grid, picture)

    def _due(self, grid: Grid, picture: TimedPicture | None) -> Due:
        stamp_ns, clock = grid.stamp_ns, self._spec.clock
        pictures = {name: picture if name == clock else self._queues[name].at(stamp_ns) for name in self._spec.cameras}
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
        )
