"""EM over all clips: what steps of each action look like, how long it lasts, and where it lies in each clip.

An action is one state, or two that follow each other: a handover first brings two hands together and then parts them,
and a single Gaussian cuts it where its halves differ most and leaves one of them to its neighbour. State q of action a
is a * states + q. How many states there are is told by what they teach about other clips.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hal_ros.datasets.clips import Clip
from hal_ros.labels.transcripts.align import most_correct
from hal_ros.labels.transcripts.durations import Durations, Placed, estimate, place, uninformed
from hal_ros.labels.transcripts.gaussians import Gaussians, fit_gaussians, log_likelihoods
from hal_ros.labels.transcripts.grids import ClipGrid, Grids, make_grids
from hal_ros.labels.transcripts.pins import Pins
from hal_ros.outside.progress import tracked

Array = NDArray[np.float64]
ROUNDS = 12
FIRST_TEMPER, TEMPER = 0.04, 0.12
"""Evidence is tempered, for neighbouring steps tell the same; less and less so while the Gaussians take shape."""
JUDGES = 64
"""So many clips at most tell how many states an action has."""
LEAST_GAIN_NATS = 0.75
"""A second state has to make steps of other clips likelier by this. One arm gains 2.0 and is laid out better by it, two
arms 1.1, the benchmark 0.4 and worse, gesture phases lose 15 to 41: it was set on them."""


@dataclass(frozen=True)
class LearnedActions:
    """What EM has found out of each action's states."""

    gaussians: Gaussians
    durations: Durations  # in common steps

    def lay(self, grid: ClipGrid, temper: float = TEMPER) -> Placed:
        """Lay a clip's transcript over it by these: (N, K * states), and lengths of states in common steps."""
        return _place(temper * log_likelihoods(grid.features, self.gaussians), grid, self.durations)


def learn(grids: Grids, actions: int) -> tuple[LearnedActions, list[Placed]]:
    """Return what EM finds out of K actions, from a flat start, and the clips' states as it lays them at last."""
    clips, count = grids.of_clips, actions * grids.states
    durations = uninformed(count, grids.segment / grids.states)
    placed = [_place(np.zeros((len(grid), count)), grid, durations) for grid in clips]
    features, shares = [grid.features for grid in clips], [grid.share for grid in clips]
    for number in tracked(range(ROUNDS), "what actions look like: round", ROUNDS):
        temper = min(TEMPER, FIRST_TEMPER + (TEMPER - FIRST_TEMPER) * number / (0.6 * ROUNDS))
        gaussians = fit_gaussians(features, [result.soft for result in placed], shares)
        learned = LearnedActions(gaussians, durations)
        placed = [learned.lay(grid, temper) for grid in clips]
        durations = estimate(count, placed)
    return replace(learned, durations=durations), placed


def learned_from(clips: Sequence[ClipGrid], placed: Sequence[Placed]) -> LearnedActions:
    """Return what clips show of the actions as they are laid."""
    soft = [result.soft for result in placed]
    gaussians = fit_gaussians([grid.features for grid in clips], soft, [grid.share for grid in clips])
    return LearnedActions(gaussians, estimate(soft[0].shape[1], placed))


def _place(scores: Array, grid: ClipGrid, durations: Durations) -> Placed:
    """Lay a transcript over steps; durations and lengths are in common steps."""
    placed = place(grid.share * scores, grid.order, durations.scaled(1 / grid.share), grid.allowed)
    return replace(placed, lengths=placed.lengths * grid.share)


def of_actions(placed: Placed, states: int) -> Placed:
    """Return a clip's actions from its states: probabilities and lengths are summed."""
    if states == 1:
        return placed
    owners = placed.actions // states
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    soft = placed.soft.reshape(len(placed.soft), -1, states).sum(2)
    return Placed(soft, owners[starts], np.add.reduceat(placed.lengths, starts))


def hard_labels(grid: ClipGrid, placed: Placed) -> NDArray[np.int64]:
    """Return the action ids (T,) of the segmentation with most steps right, as a clip's laid states expect."""
    soft = of_actions(placed, grid.states).soft
    return np.repeat(most_correct(soft, grid.clip.transcript).labels, grid.step)[: grid.clip.ticks]


# --- what holds for other clips ---------------------------------------------------------------------------------------


def halves(count: int, seed: int, times: int) -> Iterator[tuple[list[int], list[int]]]:
    """Yield each half of so many clips, and the rest of them; nothing of a single clip."""
    random = np.random.default_rng(seed)
    for _ in range(times if count > 1 else 0):
        order = random.permutation(count).tolist()
        first, second = order[: count // 2], order[count // 2 :]
        yield first, second
        yield second, first


def gain(learned: LearnedActions, part: Grids, grid: ClipGrid) -> Array:
    """Return for each step of a held-out clip the expected log-likelihood beyond that of one Gaussian for all."""
    features = [one.features for one in part.of_clips]
    everything = [np.ones((len(one), 1)) for one in features]
    common = fit_gaussians(features, everything, [one.share for one in part.of_clips])
    likelihoods = log_likelihoods(grid.features, learned.gaussians)
    return (learned.lay(grid).soft * likelihoods).sum(1) - log_likelihoods(grid.features, common)[:, 0]


def best_states(clips: Sequence[Clip], actions: int, pins: Pins) -> int:
    """Return how many states an action has: two where halves of the clips are clearly likelier by them, else one.

    Where few clips or much noise show no more than one state, two would fit noise.
    """
    some = clips[:: -(-len(clips) // JUDGES)]
    one, two = (_held_out(make_grids(some, actions, pins, states), actions) for states in (1, 2))
    return 2 if two > one + LEAST_GAIN_NATS else 1


def _held_out(grids: Grids, actions: int) -> float:
    """Return the mean gain of a step of clips that were not learned from; 0 of a single clip."""
    found: list[Array] = [np.zeros(0)]
    for half, others in halves(len(grids.of_clips), 0, 1):
        part = replace(grids, of_clips=[grids.of_clips[index] for index in half])
        learned = learn(part, actions)[0]
        found += [gain(learned, part, grids.of_clips[index]) for index in others]
    steps = np.concatenate(found)
    return float(steps.mean()) if len(steps) else 0.0
