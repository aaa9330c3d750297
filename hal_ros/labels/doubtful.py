"""Where an alignment doubts, and what a person's minute would be worth there.

Doubt is how many of the alignment's restarts (`labels.transcripts.restarts`) say something else: it finds wrong ticks
better than the aligned probabilities do, which are sure of themselves (docs/log.md). What all get wrong alike has none,
so these numbers are a lower bound.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hal_ros.core import segments
from hal_ros.labels.targets import Targets
from hal_ros.labels.transcripts.conventions import boundaries_of
from hal_ros.labels.transcripts.restarts import Restarts

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
    spread_ticks: float  # root mean square of how far from it the restarts put it
    wrong_ticks: float  # expected, between the middles of the actions on either side
    unplaced: bool = False  # no transcript tells when these two change


@dataclass(frozen=True)
class EpisodeDoubt:
    """One aligned clip."""

    name: str
    ticks: int
    wrong_ticks: float  # expected
    places: tuple[DoubtfulPlace, ...]  # unplaced ones first, then the most expected wrong ticks

    @property
    def unplaced_kinds(self) -> int:
        """How many pairs of actions it has of which no transcript tells when they change."""
        return len({(place.before, place.after) for place in self.places if place.unplaced})

    def minutes(self, period_s: float) -> float:
        """Return how long annotating this clip takes a person."""
        return (OPENING_S + ANNOTATING * self.ticks * period_s) / 60

    def gain_per_minute(self, period_s: float) -> float:
        """Return how many seconds of its own labels a minute of annotating this clip is expected to put right."""
        return self.wrong_ticks * period_s / self.minutes(period_s)


def doubts(
    labels: Targets, found: Restarts, period_s: float, unplaced: Collection[tuple[int, int]] = ()
) -> list[EpisodeDoubt]:
    """Return the training clips that were aligned, those first that are best annotated next; ticks are period_s apart.

    Where there are `unplaced` kinds of boundaries (before, after), these are the clips that show most of them a minute:
    what one tells of a kind helps all clips. Else it is the gain per minute.
    """
    aligned = [name for name in labels.soft if found.versions.get(name)]
    every = [_doubt(name, labels.training[name], found.versions[name], unplaced) for name in aligned]
    return sorted(every, key=lambda one: (-one.unplaced_kinds / one.minutes(period_s), -one.gain_per_minute(period_s)))


def doubtful_share(found: Sequence[EpisodeDoubt]) -> float:
    """Return the share of all aligned ticks that are expected to be wrong, 0 without any."""
    return sum(one.wrong_ticks for one in found) / max(sum(one.ticks for one in found), 1)


def _doubt(
    name: str,
    labels: NDArray[np.int64],
    versions: Sequence[NDArray[np.int64]],
    unplaced: Collection[tuple[int, int]],
) -> EpisodeDoubt:
    wrong = np.mean([version != labels for version in versions], 0)
    at = [boundaries_of(version) for version in versions]
    places = []
    for index, (left, right) in enumerate(pairwise(segments.runs(labels))):
        first, stop = (left.start + left.end) // 2, (right.start + right.end + 1) // 2
        there = np.array([ticks[index] for ticks in at if index < len(ticks)])  # fewer where a segment had no room
        spread = float(np.sqrt(np.mean(np.square(there - right.start)))) if len(there) else 0.0
        pair, expected = (left.action, right.action), float(wrong[first:stop].sum())
        places.append(DoubtfulPlace(right.start, *pair, spread, expected, pair in unplaced))
    places.sort(key=lambda place: (not place.unplaced, -place.wrong_ticks))
    return EpisodeDoubt(name, len(labels), float(wrong.sum()), tuple(places))
