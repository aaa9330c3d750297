"""Where an alignment doubts, and what a person's minute would be worth there.

Doubt is read off the aligned probabilities: how far each boundary may lie from where it was put, and how many ticks are
expected to be wrong. An alignment that is wrong without knowing has no doubt, so these numbers are a lower bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hal_ros.core import segments
from hal_ros.labels.targets import Targets

MARK_S = 10.0
"""Assumed: what it takes a person to find and mark one boundary, in seconds."""
ANNOTATING = 3.0
"""Assumed: an annotation takes so many times the episode's length, and then ..."""
OPENING_S = 30.0
"""... so many seconds to begin with."""


@dataclass(frozen=True)
class DoubtfulPlace:
    """A boundary that an alignment has put somewhere."""

    tick: int  # the first one of `after`
    before: int
    after: int
    spread_ticks: float  # standard deviation of where it may lie
    wrong_ticks: float  # expected, between the middles of the actions on either side


@dataclass(frozen=True)
class EpisodeDoubt:
    """One aligned clip."""

    name: str
    ticks: int
    wrong_ticks: float  # expected
    places: tuple[DoubtfulPlace, ...]  # the most expected wrong ticks first

    def gain_per_minute(self, period_s: float) -> float:
        """Return how many seconds of right labels a minute of annotating this clip is expected to give."""
        minutes = (OPENING_S + ANNOTATING * self.ticks * period_s) / 60
        return self.wrong_ticks * period_s / minutes


def doubts(labels: Targets, period_s: float) -> list[EpisodeDoubt]:
    """Return the training clips that were aligned, the greatest gain per minute first; ticks are period_s apart."""
    found = [_doubt(name, labels.training[name], soft) for name, soft in labels.soft.items()]
    return sorted(found, key=lambda one: -one.gain_per_minute(period_s))


def doubtful_share(found: Sequence[EpisodeDoubt]) -> float:
    """Return the share of all aligned ticks that are expected to be wrong, 0 without any."""
    return sum(one.wrong_ticks for one in found) / max(sum(one.ticks for one in found), 1)


def _doubt(name: str, hard: NDArray[np.int64], soft: NDArray[np.floating]) -> EpisodeDoubt:
    wrong = 1 - np.asarray(soft, np.float64)[np.arange(len(hard)), hard]
    order = segments.runs(hard)
    places = []
    for left, right in pairwise(order):
        first, stop = (left.start + left.end) // 2, (right.start + right.end + 1) // 2
        pair = np.asarray(soft[first:stop][:, [left.action, right.action]], np.float64)
        spread = _spread(pair[:, 1] / np.maximum(pair.sum(1), 1e-9))
        places.append(DoubtfulPlace(right.start, left.action, right.action, spread, float(wrong[first:stop].sum())))
    places.sort(key=lambda place: -place.wrong_ticks)
    return EpisodeDoubt(name, len(hard), float(wrong.sum()), tuple(places))


def _spread(begun: NDArray[np.float64]) -> float:
    """Return the standard deviation of a boundary in ticks, of the probability (W,) that it has been passed."""
    passed = np.concatenate([[0.0], np.maximum.accumulate(begun), [1.0]])
    chance = np.maximum(np.diff(passed), 0)
    at = np.arange(len(chance))
    mean = float(chance @ at)
    return float(np.sqrt(max(chance @ np.square(at - mean), 0.0)))
