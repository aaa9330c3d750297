"""How long each action lasts, and the alignment that knows it: an explicit-duration (semi-Markov) forward-backward.

`align.posterior` lets a segment's length be geometric, so that a short one is always the likeliest. Here lengths are
gamma-distributed with a mean and a spread for each action, both estimated from alignments alone. This places a
transcript's changes where frame-wise evidence is still poor, as it is before any model has been trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.errors import DatasetError
from hal_ros.labels.transcripts.align import fit_into
from hal_ros.labels.transcripts.pins import Allowed, constrained, violations

Array = NDArray[np.float64]
LONGEST = 6.0
"""A segment lasts at most this many times its clip's mean segment (or the whole clip)."""
PRIOR_SEGMENTS = 3.0
"""Every action's estimate is drawn to the mean of all as if by this many segments of that length."""
PRIOR_SPREAD = 0.5
LEAST_VARIATION = 0.15
"""Expected lengths vary less than lengths do: a smaller spread is a fault of the estimate."""
LEAST_SCORE = -15.0
"""A tick's evidence against an action, relative to the best one in the transcript, goes no lower: outliers exist."""
NOTHING = -1e30


@dataclass(frozen=True)
class Durations:
    """Gamma-distributed lengths of each action's segments, in steps of whatever grid they are used on."""

    mean: Array  # (K,)
    variation: Array  # (K,) standard deviation over mean

    def scaled(self, factor: float) -> Durations:
        """Return the same lengths on a grid with `factor` times as many steps."""
        return Durations(self.mean * factor, self.variation)

    def log_lengths(self, action: int, longest: int) -> Array:
        """Return log p(length) of an action for lengths 1 to `longest`, (longest,)."""
        shape = self.variation[action] ** -2
        lengths = np.arange(1, longest + 1)
        log = (shape - 1) * np.log(lengths) - lengths * shape / self.mean[action]
        return log - _log_sum(log)


def uninformed(actions: int, mean: float) -> Durations:
    """Return what is known beforehand: every one of K actions lasts about as long as the mean segment."""
    return Durations(np.full(actions, mean), np.full(actions, PRIOR_SPREAD))


def estimate(actions: int, found: Sequence[Placed]) -> Durations:
    """Return the durations that alignments show, drawn towards their common mean."""
    ids = np.concatenate([placed.actions for placed in found])
    lengths = np.concatenate([placed.lengths for placed in found])
    common = float(lengths.mean())
    counts = np.bincount(ids, minlength=actions)
    mean = (np.bincount(ids, lengths, actions) + PRIOR_SEGMENTS * common) / (counts + PRIOR_SEGMENTS)
    scatter = np.bincount(ids, np.square(lengths - mean[ids]), actions) + PRIOR_SEGMENTS * np.square(
        PRIOR_SPREAD * mean
    )
    variation = np.sqrt(scatter / (counts + PRIOR_SEGMENTS)) / mean
    return Durations(mean, np.maximum(variation, LEAST_VARIATION))


@dataclass(frozen=True)
class Placed:
    """A transcript laid softly over a clip; S segments, repeated neighbours merged."""

    soft: Array  # (T, K) probability of each action at each tick; rows sum to 1
    actions: NDArray[np.int64]  # (S,)
    lengths: Array  # (S,) expected ticks


def place(scores: Array, transcript: Sequence[int], durations: Durations, allowed: Allowed | None = None) -> Placed:
    """Weigh every segmentation in the transcript's order by evidence and lengths.

    scores (T, K) are log-evidences, tempered by the caller; only differences at one tick count. Segment j covers
    [s, t) with weight p(t - s | action_j) prod exp(scores[s:t, action_j]). F_j[t], the weight of the first j segments
    ending at t, and B_j[t], that of the others beginning there, give P(boundary j at t) = F_j[t] B_j[t] / Z, and a
    segment holds the ticks between its boundaries. Time O(T S D) and memory O(T (S + D)) for lengths up to D, so long
    clips are to be made coarser first. With `allowed` (T, K) segmentations that are not allowed weigh nothing, and D
    grows where known ticks ask for longer segments. Raises DatasetError for an empty transcript, and where nothing is
    allowed.
    """
    ticks, width = scores.shape
    if not len(transcript):
        raise DatasetError("the transcript is empty; expected at least one action")
    actions = np.asarray(fit_into(transcript, ticks)[0], np.int64)
    segments = len(actions)
    chosen = scores[:, actions] - scores[:, actions].max(1, keepdims=True)
    sums = np.concatenate([np.zeros((1, segments)), np.cumsum(np.maximum(chosen, LEAST_SCORE), 0)])  # (T + 1, S)
    longest = min(ticks, int(np.ceil(LONGEST * ticks / segments)))
    price = 1e5 + 1e3 * ticks  # of one tick that is not allowed: above all that evidence and lengths can say
    if allowed is not None:
        sums -= price * violations(allowed, actions)
    ends, begins = _passes(sums, actions, durations, longest)
    while ends[segments, ticks] < -price / 2 and longest < ticks:  # known ticks ask for longer segments
        longest = min(ticks, 2 * longest)
        ends, begins = _passes(sums, actions, durations, longest)
    at = np.exp(np.minimum(ends + begins - ends[segments, ticks], 0.0))  # (S + 1, T + 1) of each boundary
    begun = np.cumsum(at / at.sum(1, keepdims=True), 1)[:, :ticks]
    held = np.maximum(begun[:-1] - begun[1:], 0.0)  # (S, T)
    soft: Array = np.zeros((ticks, width))
    np.add.at(soft.T, actions, held)
    soft /= soft.sum(1, keepdims=True)
    if allowed is not None:
        soft = constrained(soft, allowed, actions)
    return Placed(soft, actions, held.sum(1))


def _passes(sums: Array, actions: NDArray[np.int64], durations: Durations, longest: int) -> tuple[Array, Array]:
    """Return F and B, (S + 1, T + 1) each, for lengths up to `longest`.

    B is F of the reversed clip, so that both go through their segments together: row 0 forwards, row 1 backwards.
    """
    ticks, segments = len(sums) - 1, len(actions)
    known = {int(action): durations.log_lengths(int(action), longest)[::-1] for action in np.unique(actions)}
    lengths = np.stack([known[int(action)] for action in actions])  # (S, D), the longest first
    both = np.stack([sums.T, -sums.T[::-1, ::-1]])  # (2, S, T + 1)
    orders = np.stack([lengths, lengths[::-1]])[:, :, None]  # (2, S, 1, D)
    found = np.full((2, segments + 1, ticks + 1), NOTHING)
    found[:, 0, 0] = 0.0
    padded = np.full((2, longest + ticks + 1), NOTHING)
    before = np.lib.stride_tricks.sliding_window_view(padded, longest, 1)[:, :-1]  # row t: starts[t - longest : t]
    for j in range(segments):
        padded[:, longest:] = found[:, j] - both[:, j]
        found[:, j + 1] = np.maximum(_log_sum(before + orders[:, j]), NOTHING) + both[:, j]
    return found[0], found[1, ::-1, ::-1]


def _log_sum(logs: Array) -> Array:
    """Return the log of the sum of exponentials over the last axis."""
    best = logs.max(-1, keepdims=True)
    return np.log(np.exp(logs - best).sum(-1)) + best[..., 0]
