"""How right aligned labels are, against annotations that the alignment has not seen: ticks, boundaries, conventions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.datasets.clips import Clip
from hal_ros.labels.transcripts.conventions import Pair, boundaries_of
from hal_ros.labels.transcripts.pins import filled_ends

NEAR_S = 0.25


@dataclass(frozen=True)
class PairBias:
    """All boundaries between two actions: a constant part, the convention, and what is left."""

    pair: Pair
    count: int
    bias_s: float  # median of aligned minus annotated time: above 0 where the alignment comes late
    spread_s: float  # median deviation from that


@dataclass(frozen=True)
class AlignmentQuality:
    """Of some clips together."""

    right: float  # share of annotated ticks, 0..1
    errors_s: NDArray[np.float64]  # (B,) aligned minus annotated
    pairs: Sequence[Pair]  # (B,)
    other_order: int  # clips whose annotation has another order than their transcript; no boundary of theirs counts

    def biases(self) -> list[PairBias]:
        """Return one for each pair of actions, the costliest first."""
        kinds: dict[Pair, list[float]] = {}
        for pair, error in zip(self.pairs, self.errors_s, strict=True):
            kinds.setdefault(pair, []).append(float(error))
        found = []
        for pair, errors in kinds.items():
            bias = float(np.median(errors))
            found.append(PairBias(pair, len(errors), bias, float(np.median(np.abs(np.array(errors) - bias)))))
        return sorted(found, key=lambda one: -abs(one.bias_s) * one.count)

    def unbiased_s(self) -> NDArray[np.float64]:
        """Return the errors (B,) without their pair's bias."""
        bias = {one.pair: one.bias_s for one in self.biases()}
        return self.errors_s - np.array([bias[pair] for pair in self.pairs])

    def row(self) -> dict[str, float]:
        """Return the figures of a table: right ticks and near boundaries in percent, absolute errors in seconds."""
        errors, rest = (np.abs(one) if len(one) else np.full(1, np.nan) for one in (self.errors_s, self.unbiased_s()))
        return {
            "right": 100 * self.right,
            "median": float(np.median(errors)),
            "p90": float(np.quantile(errors, 0.9)),
            "near": 100 * float(np.mean(errors <= NEAR_S)),
            "unbiased median": float(np.median(rest)),
            "unbiased p90": float(np.quantile(rest, 0.9)),
        }


def alignment_quality(
    labels: Mapping[str, NDArray[np.int64]], clips: Sequence[Clip], period_s: float
) -> AlignmentQuality:
    """Compare labels (T,) with the clips' annotations; ticks without an annotation are neither right nor wrong."""
    right, pairs, other_order = [], list[Pair](), 0
    errors: list[NDArray[np.float64]] = [np.empty(0)]
    for clip in clips:
        found = labels[clip.name]
        right.append((clip.actions == found)[clip.actions != NO_ACTION])
        truth = filled_ends(clip.actions)
        true_at, found_at = boundaries_of(truth), boundaries_of(found)
        order = [labels[np.append(0, at)].tolist() for labels, at in ((truth, true_at), (found, found_at))]
        if order[0] != order[1]:
            other_order += 1
            continue
        errors.append(np.asarray((found_at - true_at) * period_s, np.float64))
        pairs += [(int(truth[at - 1]), int(truth[at])) for at in true_at]
    return AlignmentQuality(float(np.mean(np.concatenate(right))), np.concatenate(errors), pairs, other_order)
