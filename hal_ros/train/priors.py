"""What a task is like before it is watched, counted on training clips: durations of actions, and their order.

Few examples are shrunk towards what all actions have in common, and no order is made impossible: a wrong grammar is
worse than none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.card import Priors
from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import Labels, runs

DURATION_WEIGHT = 4.0
"""The pooled duration counts like so many segments of each action."""
ORDER_WEIGHT = 1.0
"""The uniform order counts like so many times that each action ended."""
ORDER_FLOOR = 0.02
"""At least this share of every row goes to all actions alike."""
SKIPPED = 0.1
"""An action that follows after one step between counts so much: steps get skipped or missed."""
SHAPES = (1.0, 30.0)
"""From no memory at all to a spread of 18 %: labels are never surer of a duration than that."""
MOST_AGE_TICKS = 160
LEAST_AGE_TICKS = 8
DIGITS = 6
"""Significant digits kept: a person reads the card."""


def fit_priors(
    labels: Sequence[Labels],
    transcripts: Sequence[Sequence[int]],
    actions: int,
    order_floor: float = ORDER_FLOOR,
    max_age_ticks: int = MOST_AGE_TICKS,
) -> Priors:
    """Return the priors of `actions` actions: durations from `labels` (T,) of each clip, order from the transcripts.

    An empty transcript is replaced by the order of that clip's labels. Actions without a segment get the pooled
    duration. Raises DatasetError when the labels hold no segment at all, or an id outside the vocabulary.
    """
    found = [[run for run in runs(np.asarray(clip)) if run.action != NO_ACTION] for clip in labels]
    durations: list[list[int]] = [[] for _ in range(actions)]
    for run in (run for clip in found for run in clip):
        _check_id(run.action, actions)
        durations[run.action].append(run.end - run.start)
    if not any(durations):
        raise DatasetError(f"{len(labels)} clips hold no labelled tick; expected at least one segment to learn from")
    orders = [
        list(transcript) or [run.action for run in clip] for transcript, clip in zip(transcripts, found, strict=True)
    ]
    initial, transitions = fit_order(orders, actions, order_floor)
    mean, shape = fit_durations(durations)
    longest = max(max(lengths, default=0) for lengths in durations)
    return Priors(
        initial=_rounded(initial),
        transitions=tuple(_rounded(row) for row in transitions),
        duration_mean_ticks=_rounded(mean),
        duration_shape=_rounded(shape),
        max_age_ticks=int(np.clip(round(1.5 * longest), LEAST_AGE_TICKS, max_age_ticks)),
    )


def fit_durations(durations: Sequence[Sequence[int]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and gamma shape (K,) of each action's durations in ticks, each shrunk to all actions' together.

    The shape is one over the squared coefficient of variation, which is what is pooled: actions differ in length more
    than in regularity.
    """
    counts = np.array([len(lengths) for lengths in durations], np.float64)
    pooled_mean = np.mean([length for lengths in durations for length in lengths])
    own_mean = np.array([np.mean(lengths) if lengths else pooled_mean for lengths in durations])
    mean = (counts * own_mean + DURATION_WEIGHT * pooled_mean) / (counts + DURATION_WEIGHT)
    squares = np.array(
        [
            np.square(np.asarray(lengths) / own - 1).sum() if len(lengths) > 1 else 0.0
            for lengths, own in zip(durations, own_mean, strict=True)
        ]
    )
    freedom = np.maximum(counts - 1, 0)  # of each action's spread about its own mean
    pooled = squares.sum() / freedom.sum() if freedom.sum() else 1.0
    spread = (squares + DURATION_WEIGHT * pooled) / (freedom + DURATION_WEIGHT)
    return mean, np.clip(1 / np.maximum(spread, 1e-9), *SHAPES)


def fit_order(
    transcripts: Iterable[Sequence[int]], actions: int, floor: float = ORDER_FLOOR
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return P(first action) (K,) and P(next | ended) (K, K) of the transcripts; repeated neighbours count once."""
    first, follows = np.zeros(actions), np.zeros((actions, actions))
    for transcript in transcripts:
        steps = [_check_id(action, actions) for action, _ in groupby(transcript)]
        for weight, action in zip((1.0, SKIPPED), steps, strict=False):
            first[action] += weight
        for before, after in pairwise(steps):
            follows[before, after] += 1
        for before, after in zip(steps, steps[2:], strict=False):
            follows[before, after] += SKIPPED
    others = 1 - np.eye(actions)
    rows = [_smoothed(row * other, other, floor) for row, other in zip(follows, others, strict=True)]
    return _smoothed(first, np.ones(actions), floor), np.stack(rows)


def _smoothed(counts: NDArray[np.float64], allowed: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    uniform = allowed / allowed.sum()
    learned = counts + ORDER_WEIGHT * uniform
    return np.asarray((1 - floor) * learned / learned.sum() + floor * uniform)


def _check_id(action: int, actions: int) -> int:
    if not 0 <= action < actions:
        raise DatasetError(f"action id {action} is outside the vocabulary; expected 0 to {actions - 1}")
    return int(action)


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{value:.{DIGITS}g}") for value in values)
