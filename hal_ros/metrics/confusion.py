"""Which action is taken for which: ticks counted by what was true and what was said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.metrics.segmentation import Pair, annotated

WORST = 5


class ConfusedPair(NamedTuple):
    """Ticks of one action that were answered with another one."""

    true: int
    said: int  # NO_ACTION where nothing was answered
    ticks: int
    percent: float  # of the true action's ticks


def count_confusions(pairs: Sequence[Pair], actions: int) -> NDArray[np.int64]:
    """Return ticks (K, K + 1), pooled over all videos: true actions down, what was said across, last nothing at all.

    Ticks that are not annotated are left out. Raises DatasetError where truth and prediction differ in length, or hold
    an id beyond K - 1.
    """
    counts: NDArray[np.int64] = np.zeros((actions, actions + 1), np.int64)
    for pair in map(annotated, pairs):
        known = pair.truth != NO_ACTION
        truth, said = pair.truth[known], pair.predicted[known]
        highest = max(truth.max(initial=0), said.max(initial=0, where=said != NO_ACTION))
        if highest >= actions:
            raise DatasetError(f"action id {highest} has no row; expected 0 to {actions - 1}")
        np.add.at(counts, (truth, np.where(said == NO_ACTION, actions, said)), 1)
    return counts


def worst_pairs(counts: NDArray[np.int64], most: int = WORST) -> list[ConfusedPair]:
    """Return the pairs with the most wrong ticks, the most first; of equals the lower ids. `counts` is (K, K + 1)."""
    actions = len(counts)
    wrong = counts.copy()
    wrong[np.arange(actions), np.arange(actions)] = 0
    found = []
    for place in np.argsort(-wrong, axis=None, kind="stable")[:most].tolist():
        true, said = divmod(place, actions + 1)
        if ticks := int(wrong[true, said]):
            share = 100 * ticks / int(counts[true].sum())
            found.append(ConfusedPair(true, NO_ACTION if said == actions else said, ticks, share))
    return found
