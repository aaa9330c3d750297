"""Labels by automatic tools (rules, a vision-language model): how far each source is right, learnt, and used as weight.

A tool claims actions of some ticks. Where a person's or aligned labels stand beside its claims, each stretch that it
claims is one trial: neighbouring ticks tell the same. With a uniform prior, Beta(1, 1), a source is right with
probability (right + 1) / (trials + 2); of one that was never compared nothing is known but that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal_ros.core import segments
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.arrays import FloatArray

Claims = Mapping[str, NDArray[np.int64]]
"""By source: (T,) claimed action ids, NO_ACTION where the source is silent."""


@dataclass(frozen=True)
class Reliability:
    """How a source fared."""

    source: str
    stretches: int  # of its claims that could be compared
    right: float  # of these, in expectation

    @property
    def accuracy(self) -> float:
        """The probability that a claim is right, within (0, 1)."""
        return (self.right + 1) / (self.stretches + 2)

    def line(self) -> str:
        """Say it."""
        compared = f"right in {100 * self.right / max(self.stretches, 1):.0f}% of {self.stretches} stretches"
        told = compared if self.stretches else "nothing to compare them with"
        return f"labels of {self.source}: {told}; each tick weighs {self.accuracy:.2f}"


def reliabilities(
    claims: Mapping[str, Claims], reference: Mapping[str, NDArray[np.floating]]
) -> dict[str, Reliability]:
    """Compare claims, by clip and source, with reference labels (T, K) by clip; rows that sum to 0 say nothing."""
    trials = {source: (0, 0.0) for of_clip in claims.values() for source in of_clip}
    for name, of_clip in claims.items():
        if name not in reference:
            continue
        soft = reference[name]
        for source, claimed in of_clip.items():
            for run in segments.without(segments.runs(claimed)):
                there = soft[run.start : run.end]
                if (weight := float(there.sum())) > 0:
                    count, right = trials[source]
                    trials[source] = (count + 1, right + float(there[:, run.action].sum()) / weight)
    return {source: Reliability(source, *found) for source, found in sorted(trials.items())}


def log_evidence(claims: Claims, known: Mapping[str, Reliability], actions: int) -> NDArray[np.float64]:
    """Return how claims speak for each of K actions, (T, K), 0 where all sources are silent.

    A source of accuracy a claims the right action with probability a, each other one with (1 - a) / (K - 1).
    """
    ticks = len(next(iter(claims.values())))
    found = np.zeros((ticks, actions))
    for source, claimed in claims.items():
        accuracy = known[source].accuracy
        at = np.flatnonzero(claimed != NO_ACTION)
        found[at] += np.log((1 - accuracy) / max(actions - 1, 1))
        found[at, claimed[at]] += np.log(accuracy) - np.log((1 - accuracy) / max(actions - 1, 1))
    return found


def likeliest(evidence: NDArray[np.float64]) -> tuple[NDArray[np.int64], FloatArray]:
    """Return what evidence (T, K) speaks for most, and its probability, (T,) each; NO_ACTION and 0 without any."""
    chances = np.exp(evidence - evidence.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    told = evidence.any(1)
    ids = np.where(told, chances.argmax(1), NO_ACTION).astype(np.int64)
    return ids, np.where(told, chances.max(1), 0).astype(np.float32)
