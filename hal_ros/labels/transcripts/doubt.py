"""How far an alignment is to be trusted, without any annotation: halves of the clips that do not know of each other.

Each restart divides the clips at random, learns the actions from either half alone, and lays all clips by both. Where
the halves put a boundary in different places, the evidence does not say where it is. What all of them get wrong alike
stays hidden; of that `labels.transcripts.separability` warns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hal_ros.datasets.clips import Clip
from hal_ros.labels.transcripts.conventions import boundaries_of
from hal_ros.labels.transcripts.first_labels import NO_PINS, LearnedActions, hard_labels, known_ticks, laid_clips, learn
from hal_ros.labels.transcripts.gaussians import fit_gaussians, log_likelihoods
from hal_ros.labels.transcripts.grids import ClipGrid, Grids, make_grids
from hal_ros.labels.transcripts.pins import Pins

GUESSED_SHARE = 0.25
"""An alignment guesses when half of its boundaries are spread over more than this share of a mean segment: training
episodes of three robots have 0 to 0.08, those of gesture phases 0.9 to 2.5."""


@dataclass(frozen=True)
class Doubt:
    """One aligned boundary, and how far apart the restarts put it."""

    clip: str
    tick: int  # the first of `after`, the restarts' median
    before: int
    after: int
    spread_s: float  # standard deviation over the restarts


@dataclass(frozen=True)
class Restarts:
    """Alignments of the same clips, learnt from different halves of them."""

    labels: Sequence[Mapping[str, NDArray[np.int64]]]  # of each half: by clip name (T,)
    held_out_nats: float  # how much likelier each action's Gaussian makes a step than one for all, of the other half


def restarts(clips: Sequence[Clip], actions: int, pins: Pins = NO_PINS, *, count: int = 2, seed: int = 0) -> Restarts:
    """Learn K actions from `count` times two halves of the clips, and lay all of them by each.

    Takes about `count` times as long as `first_labels`; a single clip has no halves, and no alignment comes back.
    Raises DatasetError as `first_labels` does.
    """
    known = known_ticks(clips, actions, pins)
    grids = make_grids(laid_clips(clips, known, actions), actions, known)
    total, random = len(grids.of_clips), np.random.default_rng(seed)
    labels, gains = [], []
    for _ in range(count if total > 1 else 0):
        order = random.permutation(total)
        for half in (order[: total // 2], order[total // 2 :]):
            part = replace(grids, of_clips=[grids.of_clips[index] for index in half])
            learned, _ = learn(part, actions)
            placed = {grid.clip.name: learned.lay(grid).soft for grid in grids.of_clips}
            labels.append({grid.clip.name: hard_labels(grid, placed[grid.clip.name]) for grid in grids.of_clips})
            others = [grids.of_clips[index] for index in sorted(set(order.tolist()) - set(half.tolist()))]
            gains += [_gain(learned, part, grid, placed[grid.clip.name]) for grid in others]
    return Restarts(labels, float(np.mean(np.concatenate(gains))) if gains else 0.0)


def doubts(found: Restarts, period_s: float) -> list[Doubt]:
    """Return every boundary of clips with `period_s` seconds a tick, the most doubtful first."""
    every = []
    for name in found.labels[0] if found.labels else ():
        versions = [labels[name] for labels in found.labels]
        at = np.array([boundaries_of(version) for version in versions])  # (R, B): all follow the same transcript
        ticks, spreads = np.median(at, axis=0), at.std(axis=0) * period_s
        for index, (tick, spread) in enumerate(zip(ticks, spreads, strict=True)):
            before, after = (int(versions[0][at[0, index] - back]) for back in (1, 0))
            every.append(Doubt(name, int(tick), before, after, float(spread)))
    return sorted(every, key=lambda one: -one.spread_s)


def spread_share(found: Sequence[Doubt], mean_segment_s: float) -> float:
    """Return the median spread of boundaries as a share of the mean segment; 1 where there is none to compare."""
    return float(np.median([one.spread_s for one in found])) / mean_segment_s if found else 1.0


def is_guessing(found: Restarts, every: Sequence[Doubt], mean_segment_s: float) -> bool:
    """Return whether the alignment itself knows that it is guessing.

    Its restarts disagree, or what they learnt of the actions does not hold for other clips: restarts that see nothing
    at all agree as well, on the lengths.
    """
    return spread_share(every, mean_segment_s) > GUESSED_SHARE or found.held_out_nats <= 0.0


def _gain(learned: LearnedActions, part: Grids, grid: ClipGrid, soft: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each step of a held-out clip the expected log-likelihood beyond that of one Gaussian for all."""
    features = [one.features for one in part.of_clips]
    everything = [np.ones((len(one), 1)) for one in features]
    common = fit_gaussians(features, everything, [one.share for one in part.of_clips])
    likelihoods = log_likelihoods(grid.features, learned.gaussians)
    return (soft * likelihoods).sum(1) - log_likelihoods(grid.features, common)[:, 0]
