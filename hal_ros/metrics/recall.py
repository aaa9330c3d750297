"""How much of one action is found: for actions so rare that no score over all of them tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hal_ros.core.segments import runs
from hal_ros.metrics.segmentation import Pair, annotated


class ActionRecall(NamedTuple):
    """The share of an action's ticks that are answered with it, in percent, and on how much that stands."""

    percent: float  # nan where the action never happens
    segments: int  # true ones
    ticks: int  # likewise


def action_recall(pairs: Sequence[Pair], action: int) -> ActionRecall:
    """Return one action's recall, pooled over all ticks of all videos.

    Raises DatasetError where truth and prediction differ in length.
    """
    hits = ticks = segments = 0
    for pair in map(annotated, pairs):
        happens = pair.truth == action
        hits += int((happens & (pair.predicted == action)).sum())
        ticks += int(happens.sum())
        segments += sum(run.action == action for run in runs(pair.truth))
    return ActionRecall(100 * hits / ticks if ticks else float("nan"), segments, ticks)
