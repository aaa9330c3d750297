"""From a stream of message stamps and joint samples to the ticks that are due: the node, replay and ingest share it."""

from __future__ import annotations

from collections import Counter, deque
from typing import NamedTuple

from hal_ros.core.card import ModelCard
from hal_ros.core.observations import JointSample
from hal_ros.core.ticks import BACKWARD_JUMP_NS, Grid, newest_before, place

JOINT_BUFFER = 1024
"""Joint samples kept for alignment: two seconds at 500 Hz, far more than any max_age_s."""


class Due(NamedTuple):
    """A tick that is due: everything of an Observation but the pixels, which only the worker converts."""

    stamp_ns: int
    tick: int
    origin_ns: int
    joints: JointSample | None


class Intake:
    """One stream's tick grid and joint buffer, fed in receive order; every refusal is counted in `counters`.

    Counters: images, joint_samples (received); due, not_due, repeated, backwards, zero (what became of the stamps
    that drive the grid); restarts (fresh grids, the first one included); joints_missing (due without joints);
    joints_late (samples that came after a due tick that is not older than they are, so too late to be aligned with it;
    without any, the alignment is a function of the stamps alone, whatever the order of arrival).
    """

    def __init__(self, card: ModelCard) -> None:
        self.counters: Counter[str] = Counter()
        self._card = card
        self._grid: Grid | None = None
        self._samples: deque[JointSample] = deque(maxlen=JOINT_BUFFER)
        self._due_ns = 0  # the newest due stamp

    def reset(self) -> None:
        """Forget the grid, so that the next stamp starts a fresh one; joint samples stay."""
        self._grid = None

    def joints(self, sample: JointSample) -> Due | None:
        """Take one joint sample; it is a due tick only for a bundle without camera."""
        self.counters["joint_samples"] += 1
        self.counters["joints_late"] += 0 <= self._due_ns - sample.stamp_ns <= BACKWARD_JUMP_NS
        if self._samples and self._samples[-1].stamp_ns - sample.stamp_ns > BACKWARD_JUMP_NS:
            self._samples.clear()  # of another stream: a looped bag, a simulation that was reset
        self._samples.append(sample)
        return None if self._card.image is not None else self._place(sample.stamp_ns)

    def image(self, stamp_ns: int) -> Due | None:
        """Take one image's stamp; returns its tick when it is due."""
        self.counters["images"] += 1
        return self._place(stamp_ns) if self._card.image is not None else None

    def _place(self, stamp_ns: int) -> Due | None:
        placement = place(stamp_ns, self._grid, self._card.period_ns, self._card.max_held_ticks)
        self._grid = placement.grid
        self.counters[placement.verdict] += 1
        self.counters["restarts"] += placement.restarted
        if placement.verdict != "due" or placement.grid is None:
            return None
        return Due(stamp_ns, placement.grid.tick, placement.grid.origin_ns, self._align(stamp_ns))

    def _align(self, stamp_ns: int) -> JointSample | None:
        spec = self._card.joints
        if spec is None:
            return None
        sample = newest_before(self._samples, stamp_ns, round(spec.max_age_s * 1e9))
        self.counters["joints_missing"] += sample is None
        self._due_ns = stamp_ns
        return sample
