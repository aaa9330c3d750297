"""Conventions: where a person lets actions begin, which no transcript tells, learnt from a few known boundaries.

Where actions always follow each other, as a lift and what comes after it, all alignments find their boundary equally
well in one place or another, seconds apart: a transcript doesn't tell which is meant. The error is nearly the same at
all such boundaries, so that one or two known ones measure it: d_ab = u_a + v_b + w_ab, an end's part, a beginning's
part and what is left, each drawn to 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal_ros.core.answers import NO_ACTION

Pair = tuple[int, int]
"""The actions before and after a boundary."""
Array = NDArray[np.float64]
PRIOR_SPREAD = 0.05
"""Offsets vary by this share of the mean segment at least: one of them alone is not believed entirely."""
MOST_SPREAD = 0.25
"""Above this share of the mean segment (median deviation from their kind) offsets are noise, and nothing is moved."""
NORMAL = 1.48
"""Standard deviations in a median absolute one."""
SWEEPS = 20


@dataclass(frozen=True)
class Conventions:
    """By how many ticks boundaries lie behind where the alignment finds them; negative: before it."""

    pairs: Mapping[Pair, float] = field(default_factory=dict)
    ends: Mapping[int, float] = field(default_factory=dict)  # of the action before, for pairs that were not seen
    begins: Mapping[int, float] = field(default_factory=dict)  # of the action after

    def offset(self, before: int, after: int) -> float:
        """Return it for one pair, in ticks."""
        return self.pairs.get((before, after), self.ends.get(before, 0.0) + self.begins.get(after, 0.0))


@dataclass(frozen=True)
class KnownOffset:
    """One known boundary: how far it lies behind where the alignment would have found it."""

    pair: Pair
    ticks: float


def boundaries_of(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rising ticks at which labels (T,) change."""
    return np.flatnonzero(np.diff(labels)) + 1


def exact(known: NDArray[np.int64], boundaries: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which boundaries (B,) are known (T,) on either side."""
    return (known[boundaries] != NO_ACTION) & (known[boundaries - 1] != NO_ACTION)


def known_offsets(known: NDArray[np.int64], held: NDArray[np.int64], free: NDArray[np.int64]) -> Iterable[KnownOffset]:
    """Yield those of a clip: labels (T,) that hold at its known ticks, and those that would be without."""
    here, there = boundaries_of(held), boundaries_of(free)
    if len(here) != len(there):  # as of a transcript that is squeezed on a coarser grid
        return
    for index in np.flatnonzero(exact(known, here)):
        at = here[index]
        yield KnownOffset((int(held[at - 1]), int(held[at])), float(at - there[index]))


def learn_conventions(offsets: Sequence[KnownOffset], mean_segment: float) -> Conventions:
    """Return what known offsets show; nothing where they vary so much that the alignment itself is lost.

    `mean_segment` is in ticks. A pair's median m counts m^2 / (m^2 + s^2) of itself, s being its offsets' spread:
    moving by less than they scatter would do harm as often as good.
    """
    kinds: dict[Pair, list[float]] = {}
    for one in offsets:
        kinds.setdefault(one.pair, []).append(one.ticks)
    deviations = [np.abs(np.array(kind) - np.median(kind)) for kind in kinds.values() if len(kind) > 1]
    typical = float(np.median(np.concatenate(deviations))) if deviations else 0.0
    if not kinds or typical > MOST_SPREAD * mean_segment:
        return Conventions()
    common = NORMAL * typical + PRIOR_SPREAD * mean_segment
    pairs = {pair: _believed(np.array(kind), common) for pair, kind in kinds.items()}
    ends: dict[int, float] = {}
    begins: dict[int, float] = {}
    for _ in range(SWEEPS):
        ends = _means([(before, offset - begins.get(after, 0.0)) for (before, after), offset in pairs.items()])
        begins = _means([(after, offset - ends[before]) for (before, after), offset in pairs.items()])
    return Conventions(pairs, ends, begins)


def _believed(offsets: Array, common: float) -> float:
    median, count = float(np.median(offsets)), len(offsets)
    own = NORMAL * float(np.median(np.abs(offsets - median)))
    variance = (own**2 * (count - 1) + common**2) / count
    return median**3 / (median**2 + variance)


def _means(values: Iterable[tuple[int, float]]) -> dict[int, float]:
    """Return the mean of each action's values, drawn to 0 as if by one more."""
    found: dict[int, list[float]] = {}
    for action, value in values:
        found.setdefault(action, []).append(value)
    return {action: sum(group) / (len(group) + 1) for action, group in found.items()}


def moved_boundaries(
    labels: NDArray[np.int64], conventions: Conventions, fixed: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Return where the boundaries of labels (T,) belong by these conventions, rising; `fixed` (B,) ones stay.

    Each segment keeps a tick at least: boundaries that would pass each other meet halfway.
    """
    old = boundaries_of(labels)
    offsets = np.array([conventions.offset(int(labels[at - 1]), int(labels[at])) for at in old])
    if fixed is not None:
        offsets = np.where(fixed, 0.0, offsets)
    places = np.arange(len(old))
    wanted = np.round(old + offsets).astype(np.int64) - places
    upper, lower = np.maximum.accumulate(wanted), np.minimum.accumulate(wanted[::-1])[::-1]
    return np.clip((upper + lower) // 2, 1, len(labels) - len(old)) + places


def warped(rows: NDArray[np.floating], old: NDArray[np.int64], new: NDArray[np.int64]) -> NDArray[np.floating]:
    """Return rows (T, ...) as they are when boundaries move from old to new (B,) and all between them goes along."""
    ticks = len(rows)
    source = np.interp(np.arange(ticks) + 0.5, [0, *new, ticks], [0, *old, ticks])
    return rows[np.minimum(source.astype(np.int64), ticks - 1)]
