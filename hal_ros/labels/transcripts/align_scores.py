"""Where a clip may change its action: a score for every tick, and a score for every expected change at a tick.

Both follow action-transition-aware boundary alignment (Xu and Zheng, CVPR 2024), written from the mathematics. Tick t
is a boundary when it is the first tick of a new segment, so tick 0 never is one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal_ros.core.errors import ConfigError, DatasetError

BLOCK_TICKS = 4096
"""Ticks scored at once: the temporaries stay small and in the cache, however long the clip."""

LEAST_PROB = 1e-300
"""Stands for a probability of 0, whose p log p is 0."""

SCORE_DECIMALS = 9
"""Boundary scores are rounded to this, so that the order of summation never decides which of equal ticks wins."""


def boundary_scores(probs: NDArray[np.floating], window: int) -> NDArray[np.float64]:
    """Return how much each tick looks like a change of whatever action, (T,) in [-1, 1], -inf at tick 0.

    `probs` (T, K) are rows of probabilities, `window` is odd. Pairs of ticks in the window are compared by their
    similarity 1 - 2 JS / ln 2, where JS is the Jensen-Shannon divergence: 1 for equal rows, -1 for disjoint ones. The
    score is the mean of similarity times template over the window squared; the template is 1 for pairs on the same side
    of the tick (the tick itself lies on the right), -1 for pairs across it, 0 at the centre.

    Beyond its ends the clip continues with copies of its first and last row. The published code pads with zeros, which
    gives the ends of a clip a score even where nothing changes; here such a clip scores 0 everywhere.
    """
    half = _half(window)
    above_0 = np.maximum(np.asarray(probs, np.float64), LEAST_PROB)
    padded = np.pad(above_0, ((half, half), (0, 0)), mode="edge")
    starts = range(0, len(probs), BLOCK_TICKS)
    scores = np.concatenate([_block_scores(padded[start : start + BLOCK_TICKS + 2 * half], half) for start in starts])
    scores = np.round(scores, SCORE_DECIMALS)
    scores[0] = -np.inf
    return scores


def candidates(
    scores: NDArray[np.float64], transitions: int, per_transition: float, suppression: float, extra: ArrayLike = ()
) -> NDArray[np.int64]:
    """Return the ticks (N,), rising, at which boundaries may be put; N is at least `transitions`.

    Greedily takes the best-scored tick and suppresses its neighbourhood of int(suppression * T / M) ticks on either
    side, M = transitions + 1, until int(per_transition * transitions) ticks are taken. `extra` ticks, from elsewhere,
    join them unsuppressed; tick 0 can't be a boundary and is left out of them. Where all that is fewer ticks than
    transitions, the boundaries of M equal shares join too.

    Raises DatasetError for an extra tick outside the clip, and when T is smaller than M.
    """
    ticks, segments = len(scores), transitions + 1
    if ticks < segments:
        raise DatasetError(f"{segments} segments don't fit into {ticks} ticks; expected a tick for each at least")
    extra = np.asarray(extra, np.int64).reshape(-1)
    if np.any((extra < 0) | (extra >= ticks)):
        raise DatasetError(f"candidate ticks {extra.min()} to {extra.max()} leave the clip; expected 0 to {ticks - 1}")
    picked = _greedy_peaks(scores, int(per_transition * transitions), int(suppression * ticks / segments))
    found = np.union1d(picked, extra[extra > 0])
    if len(found) < transitions:
        found = np.union1d(found, equal_shares(segments, ticks))
    return found.astype(np.int64)


def equal_shares(segments: int, ticks: int) -> NDArray[np.int64]:
    """Return the (segments - 1,) boundaries that divide the ticks as evenly as possible; distinct if ticks suffice."""
    return np.arange(1, segments, dtype=np.int64) * ticks // segments


def transition_scores(
    probs: NDArray[np.floating], actions: Sequence[int], ticks: NDArray[np.int64], window: int
) -> NDArray[np.float64]:
    """Return how well each tick fits each change of the transcript, (M - 1, N) in [-0.5, 0.5].

    Entry [i, n] is the mean over `window` ticks (odd) and the two actions of template times probability, around tick
    ticks[n]: before it, actions[i] counts 1 and actions[i + 1] counts -1; after it the reverse; the tick itself 0.
    Ticks beyond the ends of the clip count 0. Running sums make it O(T M + M N), whatever the window.
    """
    half = _half(window)
    used, columns = np.unique(np.asarray(actions, np.int64), return_inverse=True)
    sums = np.zeros((len(probs) + 1, len(used)))
    np.cumsum(probs[:, used], axis=0, dtype=np.float64, out=sums[1:])
    before = sums[ticks] - sums[np.maximum(ticks - half, 0)]
    after = sums[np.minimum(ticks + half + 1, len(probs))] - sums[ticks + 1]
    lost = ((before - after) / (2 * window)).T  # (U, N): what each action loses at each tick
    return lost[columns[:-1]] - lost[columns[1:]]


def _greedy_peaks(scores: NDArray[np.float64], count: int, half_width: int) -> list[int]:
    left, picked = scores.copy(), list[int]()
    while len(picked) < count:
        tick = int(np.argmax(left))
        if left[tick] == -np.inf:
            break
        picked.append(tick)
        left[max(tick - half_width, 0) : tick + half_width + 1] = -np.inf
    return picked


def _block_scores(padded: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    """Return the scores (B,) of the inner ticks of B + 2 half rows; sums over pairs with one gap are running sums."""
    count, window = len(padded) - 2 * half, 2 * half + 1
    entropy = _entropy(padded)
    total = np.full(count, 2.0 * half)  # a tick with itself: similarity 1, and 0 at the template's centre
    for gap in range(1, window):
        mean_entropy = 0.5 * (entropy[:-gap] + entropy[gap:])
        divergence = _entropy(0.5 * (padded[:-gap] + padded[gap:])) - mean_entropy
        sums = np.concatenate(([0.0], np.cumsum(1.0 - (2.0 / np.log(2.0)) * divergence)))
        # Pairs (s, s + gap) with s counted from the window's first tick; they lie across when s is left, s + gap right.
        first, end = max(0, half - gap), min(half, window - gap)
        across = sums[end : end + count] - sums[first : first + count]
        everything = sums[window - gap : window - gap + count] - sums[:count]
        total += 2.0 * (everything - 2.0 * across)
    return total / window**2


def _entropy(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy of each row in nats."""
    return -np.einsum("tk,tk->t", probs, np.log(probs))


def _half(window: int) -> int:
    if window < 3 or window % 2 == 0:
        raise ConfigError(f"a window of {window} ticks has no centre; expected an odd number, 3 or more")
    return window // 2
