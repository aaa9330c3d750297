"""From an ordered transcript and frame-wise probabilities to one label a tick: hard and soft.

`align` puts each change of the transcript at the tick where the probabilities change that way (action-transition-aware
boundary alignment, Xu and Zheng, CVPR 2024, written from the mathematics). `posterior` weighs every segmentation in the
transcript's order instead of choosing one, and `most_correct` chooses after that. `align` needs no trust in single
ticks, only in changes; the other two use every tick and are the more exact the better the probabilities are.

Both take log-probabilities (T, K) and a transcript of M actions, and agree on what is out of the ordinary:

- an empty transcript, an action id outside [0, K), a clip without ticks and rows that are no probabilities are refused;
- actions that stand twice in a row can't be told apart by labels, so they share one segment;
- a transcript of one action covers the whole clip;
- of a transcript with more segments than ticks, evenly chosen ones get a tick each, in order; the others get none;
- an action that the probabilities never speak of still gets its place, at least one tick.

Each also takes what `labels.transcripts.pins` says of known ticks, `allowed` (T, K); then a transcript with more
segments than ticks, or one that no allowed segmentation follows, is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal_ros.core.errors import ConfigError, DatasetError
from hal_ros.labels.transcripts.align_scores import boundary_scores, candidates, equal_shares, transition_scores
from hal_ros.labels.transcripts.pins import Allowed, constrained, violations

TIE_WEIGHT = 1e-6
"""Of alignments that score the same, the one nearest to equal shares wins: far below any score that means something."""

LEAST_LOG_PROB = -30.0
"""Log-probabilities are held above this in `posterior`: one impossible tick must not make a segmentation impossible."""


@dataclass(frozen=True)
class AlignConfig:
    """How boundaries are found. The defaults are the published ones."""

    boundary_window: int = 7  # ticks, odd
    transition_window: int = 31  # ticks, odd
    candidates_per_transition: float = 4.0
    suppression: float = 0.3  # half-width of a peak's neighbourhood, as a share of the mean segment's length
    candidate_bonus: float = 0.0  # added to the boundary score of extra candidates

    def __post_init__(self) -> None:
        for name in ("boundary_window", "transition_window"):
            if (value := getattr(self, name)) < 3 or value % 2 == 0:
                raise ConfigError(f"{name} is {value}; expected an odd number of ticks, 3 or more")
        if self.candidates_per_transition < 1.0:
            raise ConfigError(f"candidates_per_transition is {self.candidates_per_transition}; expected 1 or more")
        if self.suppression < 0.0:
            raise ConfigError(f"suppression is {self.suppression}; expected 0 or more")


@dataclass(frozen=True)
class Alignment:
    """A transcript laid over a clip. S is the number of segments: the transcript without repeated neighbours."""

    labels: NDArray[np.int64]  # (T,) action ids
    boundaries: NDArray[np.int64]  # (S - 1,) rising ticks, the first of each segment but the first
    segment_of: NDArray[np.int64]  # (M,) which segment each entry of the transcript is in, -1 where it got no tick
    score: float  # sum over boundaries of boundary score and transition score; 0 without boundaries or a choice


def align(
    log_probs: NDArray[np.floating],
    transcript: Sequence[int],
    config: AlignConfig,
    extra_candidates: ArrayLike = (),
    allowed: Allowed | None = None,
) -> Alignment:
    """Lay the transcript (M actions) over log-probabilities (T, K), (T,) labels in its order.

    `extra_candidates` are ticks at which a boundary is likely for other reasons; they may be chosen wherever the
    probabilities have no peak, and their boundary score gains the configured bonus. Raises DatasetError for what the
    module's docstring calls refused.
    """
    probs = _probabilities(log_probs, transcript)
    ticks = len(probs)
    actions, segment_of = _fitting(transcript, ticks, allowed)
    transitions = len(actions) - 1
    if len(actions) == ticks or not transitions:  # no choice to make
        return _alignment(actions, np.arange(1, transitions + 1), segment_of, ticks, 0.0)
    scores = boundary_scores(probs, config.boundary_window)
    extra = np.unique(np.asarray(extra_candidates, np.int64))
    if allowed is not None:  # so that at least one choice of candidates is allowed
        even = constrained(np.ones(probs.shape), allowed, actions)
        extra = np.union1d(extra, most_correct(even, transcript, allowed).boundaries)
    scores[extra[(extra > 0) & (extra < ticks)]] += config.candidate_bonus
    at = candidates(scores, transitions, config.candidates_per_transition, config.suppression, extra)
    gain = transition_scores(probs, actions, at, config.transition_window) + scores[at]  # (S - 1, N)
    shares = equal_shares(len(actions), ticks)
    price = _price_of_boundaries(allowed, actions, 4.0 * len(actions))[:, at] if allowed is not None else 0.0
    chosen = drop_allowed_dp(gain - (TIE_WEIGHT / ticks) * np.abs(at - shares[:, None]) - price)
    return _alignment(actions, at[chosen], segment_of, ticks, float(gain[np.arange(transitions), chosen].sum()))


def drop_allowed_dp(gain: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for each of R rows the column (R,) it is matched with: rising, of the greatest sum of gain (R, N).

    Every row is matched once, a column at most once, and columns may be dropped at no cost. best[i, n] = gain[i, n] +
    max over n' < n of best[i - 1, n'], so a running maximum does all columns at once: O(R N), a Python loop over R.
    Raises DatasetError when there are fewer columns than rows or no matching has a finite gain.
    """
    rows, columns = gain.shape
    if columns < rows:
        raise DatasetError(f"{rows} transitions but {columns} candidates; expected at least as many candidates")
    best = np.full((rows, columns), -np.inf)
    best[0] = gain[0]
    for row in range(1, rows):
        best[row, 1:] = gain[row, 1:] + np.maximum.accumulate(best[row - 1, :-1])
    if not np.isfinite(best[-1].max()):
        raise DatasetError("no placement of the transitions has a finite score; expected finite gains")
    chosen, end = np.empty(rows, np.int64), columns
    for row in range(rows - 1, -1, -1):
        end = int(np.argmax(best[row, :end]))
        chosen[row] = end
    return chosen


def fit_into(transcript: Sequence[int], ticks: int) -> tuple[list[int], NDArray[np.int64]]:
    """Return the actions (S,) of the segments that fit into the clip, and (M,) which of them each entry is in.

    Repeated neighbours share a segment. If more segments are left than ticks, evenly chosen ones stay (and share a
    segment again where that makes equal actions neighbours); the entries of the others are in segment -1.
    """
    actions, segment_of = _merged(transcript)
    if len(actions) <= ticks:
        return actions, segment_of
    kept = np.arange(ticks) * len(actions) // ticks
    fewer, new_segment = _merged([actions[segment] for segment in kept])
    renumbered = np.full(len(actions), -1)
    renumbered[kept] = new_segment
    return fewer, renumbered[segment_of]


def _fitting(transcript: Sequence[int], ticks: int, allowed: Allowed | None) -> tuple[list[int], NDArray[np.int64]]:
    """Do what `fit_into` does, but refuse to squeeze where some ticks are known."""
    actions, segment_of = fit_into(transcript, ticks)
    if allowed is not None and (segments := len(_merged(transcript)[0])) > ticks:
        raise DatasetError(f"{segments} segments and known ticks in {ticks} ticks; expected a tick for each at least")
    return actions, segment_of


def _price_of_boundaries(allowed: Allowed, actions: Sequence[int], more_than: float) -> NDArray[np.float64]:
    """Return (S - 1, T) prices of each boundary at each tick: one known tick in a wrong segment costs `more_than`.

    All boundaries together pay for the ticks that are not allowed; up to a constant, which no choice changes.
    """
    wrong = violations(allowed, actions)[:-1].T
    return more_than * (wrong[:-1] - wrong[1:])


def _merged(transcript: Sequence[int]) -> tuple[list[int], NDArray[np.int64]]:
    ids = np.asarray(transcript, np.int64)
    begins = np.append(True, ids[1:] != ids[:-1])
    return ids[begins].tolist(), np.cumsum(begins) - 1


def _alignment(
    actions: Sequence[int], boundaries: NDArray[np.int64], segment_of: NDArray[np.int64], ticks: int, score: float
) -> Alignment:
    lengths = np.diff(boundaries, prepend=0, append=ticks)
    return Alignment(np.repeat(np.asarray(actions, np.int64), lengths), boundaries, segment_of, score)


def _probabilities(log_probs: NDArray[np.floating], transcript: Sequence[int]) -> NDArray[np.float64]:
    return _checked(np.exp(np.asarray(log_probs, np.float64)), transcript)


def _checked(probs: NDArray[np.float64], transcript: Sequence[int]) -> NDArray[np.float64]:
    """Return the same probabilities (T, K), or refuse what can't be aligned."""
    if probs.ndim != 2 or 0 in probs.shape:
        raise DatasetError(f"probabilities have shape {probs.shape}; expected (T, K), both 1 or more")
    if not len(transcript):
        raise DatasetError("the transcript is empty; expected at least one action")
    actions = probs.shape[1]
    if wrong := [action for action in transcript if not 0 <= action < actions]:
        raise DatasetError(f"the transcript holds action {wrong[0]}; expected ids from 0 to {actions - 1}")
    sums = probs.sum(axis=1)
    if not np.all(good := np.abs(sums - 1.0) < 1e-2):
        tick = int(np.argmin(good))
        raise DatasetError(f"probabilities at tick {tick} sum to {sums[tick]:g}; expected a sum of 1")
    return probs


def posterior(
    log_probs: NDArray[np.floating],
    transcript: Sequence[int],
    *,
    temper: float = 0.25,
    min_ticks: int = 1,
    mean_ticks: ArrayLike | None = None,
    allowed: Allowed | None = None,
) -> NDArray[np.float64]:
    """Return the probability of each action at each tick given the transcript, (T, K); rows sum to 1.

    The constrained forward-backward pass of a left-to-right model: a segmentation with segments [s_j, s_{j+1}) weighs
    prod_j prod_{t in segment j} p(action_j | t)^temper, over all segmentations with segments of at least `min_ticks`
    (less where the clip is too short for that). `temper` in (0, 1] because the noise of neighbouring ticks is
    correlated. `mean_ticks` (K,), if given, makes the rest of each segment's length geometric with that mean; without
    it all segmentations are equally likely beforehand. Columns outside the transcript are 0. With `allowed`, whose
    segments may be as short as a tick, segmentations that are not allowed weigh nothing.

    In terms of boundaries: F_j[t], the weight of segments before j ending at t, and B_j[t], that of segments from j on
    beginning at t, are cumulative log-sums in t, so the Python loop is over segments only; boundary j is at t with
    probability F_j[t] B_j[t] / Z, and segment j holds tick t where boundary j is at t or before and boundary j + 1 is
    after it. Time O(T M), memory O(T (K + sqrt M)): only every sqrt(M)-th F is kept, the others are computed again.
    """
    if not 0.0 < temper <= 1.0 or min_ticks < 1:
        raise ConfigError(f"temper {temper}, min_ticks {min_ticks}; expected temper in (0, 1] and min_ticks >= 1")
    ticks, width = _probabilities(log_probs, transcript).shape
    actions, _ = _fitting(transcript, ticks, allowed)
    least = 1 if allowed is not None else min(min_ticks, ticks // len(actions))
    price = None
    if allowed is not None:  # above all that evidence can say
        price = (ticks * (1.0 - LEAST_LOG_PROB) + 1e3) * violations(allowed, actions)
    stay = _log_stay(mean_ticks, least, width)

    def sums(segment: int) -> NDArray[np.float64]:
        """Return (T + 1,): a segment from tick s up to t weighs the difference of its values at t and s, in logs."""
        action = actions[segment]
        weights = temper * np.maximum(np.asarray(log_probs[:, action], np.float64), LEAST_LOG_PROB) + stay[action]
        summed = np.concatenate(([0.0], np.cumsum(weights)))
        return summed if price is None else summed - price[:, segment]

    found = np.zeros((ticks, width))
    started: NDArray[np.float64] = np.zeros(ticks)  # the probability that the segment after the present one has begun
    after = np.append(np.full(ticks, -np.inf), 0.0)  # B of the segment after
    for segment, before in _forward_backwards(sums, len(actions), ticks, least):
        after = _begin(after, sums(segment), least)
        at = np.exp(before + after - np.max(before + after))
        begun = np.cumsum(at / at.sum())[:ticks]
        found[:, actions[segment]] += np.maximum(begun - started, 0.0)
        started = begun
    found /= found.sum(axis=1, keepdims=True)
    return found if allowed is None else constrained(found, allowed, actions)


def most_correct(soft: NDArray[np.floating], transcript: Sequence[int], allowed: Allowed | None = None) -> Alignment:
    """Return the segmentation in the transcript's order that has the most ticks right, as `posterior` (T, K) expects.

    The tick-wise most probable actions of a posterior may leave out an action or break the order; this can't. `score`
    is the expected number of right ticks over T. Every tick may be a boundary, so memory is O(T M). Raises DatasetError
    for what the module's docstring calls refused.
    """
    probs = _checked(np.asarray(soft, np.float64), transcript)
    ticks = len(probs)
    actions, segment_of = _fitting(transcript, ticks, allowed)
    boundaries: NDArray[np.int64] = np.empty(0, np.int64)
    if len(actions) > 1:
        # Up to a constant, segments that end and begin at boundaries hold what those boundaries give up and take on.
        sums = np.cumsum(probs[:-1], axis=0)[:, actions].T
        gain = sums[:-1] - sums[1:]
        if allowed is not None:
            gain = gain - _price_of_boundaries(allowed, actions, 2.0 * ticks)[:, 1:]
        boundaries = 1 + drop_allowed_dp(gain)
    alignment = _alignment(actions, boundaries, segment_of, ticks, 0.0)
    return replace(alignment, score=float(np.mean(probs[np.arange(ticks), alignment.labels])))


def _forward_backwards(
    sums: Callable[[int], NDArray[np.float64]], segments: int, ticks: int, least: int
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield (segment, its F) from the last segment to the first, holding about 2 sqrt(segments) of them at a time."""
    stride = math.isqrt(segments - 1) + 1
    weights = np.append(0.0, np.full(ticks, -np.inf))
    kept = [weights]
    for segment in range(segments - 1):
        weights = _end(weights, sums(segment), least)
        if (segment + 1) % stride == 0:
            kept.append(weights)
    for first in range((len(kept) - 1) * stride, -1, -stride):
        group = [kept.pop()]
        for segment in range(first, min(first + stride, segments) - 1):
            group.append(_end(group[-1], sums(segment), least))
        while group:
            yield first + len(group) - 1, group.pop()


def _end(begins: NDArray[np.float64], sums: NDArray[np.float64], least: int) -> NDArray[np.float64]:
    """Return the weights (T + 1,) of a segment's end, `least` ticks or more after its beginning."""
    ends = np.full_like(begins, -np.inf)
    ends[least:] = np.logaddexp.accumulate(begins - sums)[:-least] + sums[least:]
    return ends


def _begin(ends: NDArray[np.float64], sums: NDArray[np.float64], least: int) -> NDArray[np.float64]:
    """Return the weights (T + 1,) of a segment's beginning, `least` ticks or more before its end."""
    begins = np.full_like(ends, -np.inf)
    begins[:-least] = np.logaddexp.accumulate((ends + sums)[::-1])[::-1][least:] - sums[:-least]
    return begins


def _log_stay(mean_ticks: ArrayLike | None, least: int, width: int) -> NDArray[np.float64]:
    """Return (K,) log-probabilities of one more tick, of geometric lengths beyond `least` with these means."""
    if mean_ticks is None:
        return np.zeros(width)
    means = np.asarray(mean_ticks, np.float64)
    if means.shape != (width,) or not np.all(np.isfinite(means) & (means > 0.0)):
        raise ConfigError(f"mean_ticks has shape {means.shape}, least {means.min():g}; expected {width} values above 0")
    beyond = np.maximum(means - least, 0.5)  # half a tick: an action that is hardly ever longer than `least`
    return np.log(beyond / (1.0 + beyond))
