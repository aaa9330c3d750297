"""Explicit-duration forward filter: which action runs, and for how long already, given all ticks so far.

A hidden semi-Markov model (Yu, Artificial Intelligence 174, 2010) in its residence-time form. The hidden state is
(action i, age d): at each tick the action goes on and grows older, or ends with the hazard of its duration,
h_i(d) = P(D = d | D >= d), and another one begins at age 1:

    on(i, d+1)  = belief(i, d) (1 - h_i(d))
    new(j, 1)   = r_t sum_i P(j | i) sum_d belief(i, d) h_i(d)
    belief_t    ~ (on + new) * p(j | x_t)^temper

r_t is how many times more probable the boundary head's value is at a change than elsewhere, so the head scales all
hazards of its tick. Ages from A on are one cell, which keeps the hazard of age A. K actions, A ages; one tick costs
O(K A + K^2), whatever was seen before.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal_ros.core.arrays import FloatArray
from hal_ros.core.card import DecoderSpec, Priors

Belief = NDArray[np.float64]
"""(K, A), sums to 1: probability of each action at each age; column d - 1 is age d."""

LEAST_HAZARD, MOST_HAZARD = 1e-5, 0.95
"""No age is certain to end or to go on: a duration never seen in training must stay possible."""
LEAST_LOG_PROB = -30.0
TINY = 1e-60
"""Cells below are lifted to it: denormal numbers would cost fifty times as much, and 0 could never recover."""
MOST_LOG_RATIO = math.log(50.0)
"""One boundary value alone neither makes nor forbids a change."""
FINE = 8  # parts of a tick on which a duration's density is summed
MEAN_TICKS, SHAPES = (0.1, 20_000.0), (0.01, 10_000.0)
"""What can be tabulated: an action's mean duration, and the gamma shape, whose density must not overflow."""
MOST_AGES = 10_000


class DurationFilter:
    """The tables of one spec, made once; the belief goes in and comes out."""

    def __init__(self, spec: DecoderSpec, priors: Priors) -> None:
        ends = hazards(priors)
        self._initial = np.asarray(priors.initial, np.float64)
        self._transitions = np.asarray(priors.transitions, np.float64)
        self._ends = ends
        self._goes_on = 1.0 - ends
        self._temper = spec.temper
        self._gain, self._offset = spec.boundary_gain, spec.boundary_offset

    def step(self, log_probs: FloatArray, boundary: float, belief: Belief | None) -> Belief:
        """Return the belief after one tick: log_probs (K,), boundary in [0, 1]; None is the belief before the first.

        A tick whose log-probabilities hold a NaN is no evidence of any action, a NaN boundary none of a change: the
        belief then moves on by durations and order alone.
        """
        moved = self.predict(belief, boundary)
        moved *= emission(log_probs, self._temper)[:, None]
        moved /= moved.sum()
        return np.maximum(moved, TINY, out=moved)

    def predict(self, belief: Belief | None, boundary: float) -> Belief:
        """Return what is expected of a tick before its log-probabilities are seen."""
        moved = np.zeros_like(self._ends)
        if belief is None:
            moved[:, 0] = self._initial
            return moved
        ratio = self._change_ratio(boundary)
        np.multiply(belief[:, :-1], self._goes_on[:, :-1], out=moved[:, 1:])
        moved[:, -1] += belief[:, -1] * self._goes_on[:, -1]
        ended = np.einsum("ka,ka->k", belief, self._ends)
        moved[:, 0] = ratio * (ended @ self._transitions)
        return moved

    def _change_ratio(self, boundary: float) -> float:
        """Return r_t, from the logistic model of a change given the boundary head's log-odds."""
        if self._gain == 0.0 or math.isnan(boundary):
            return 1.0
        value = self._gain * log_odds(boundary) + self._offset
        return math.exp(min(max(value, -MOST_LOG_RATIO), MOST_LOG_RATIO))


def emission(log_probs: FloatArray, temper: float) -> NDArray[np.float64]:
    """Return p(k | x)^temper up to a factor, (K,) in (0, 1]; 1 everywhere when there is a NaN."""
    best = float(log_probs.max())
    if not math.isfinite(best):
        return np.ones(len(log_probs))
    return np.exp(temper * np.maximum(log_probs.astype(np.float64) - best, LEAST_LOG_PROB))


def log_odds(probability: float) -> float:
    """Return log p / (1 - p), finite at 0 and 1 too: p is kept one thousandth away from them."""
    kept = min(max(probability, 1e-3), 1 - 1e-3)
    return math.log(kept / (1 - kept))


def marginals(belief: Belief) -> NDArray[np.float64]:
    """Return the probability of each action, (K,)."""
    return np.asarray(belief.sum(1))


# --- durations --------------------------------------------------------------------------------------------------------


def hazards(priors: Priors) -> NDArray[np.float64]:
    """Return h_i(d) = P(D = d | D >= d), (K, A) for ages d = 1..A."""
    ages = priors.max_age_ticks
    table = np.stack(
        [
            _hazard(duration_probabilities(mean, shape, ages), ages)
            for mean, shape in zip(priors.duration_mean_ticks, priors.duration_shape, strict=True)
        ]
    )
    table[:, : priors.min_age_ticks - 1] = LEAST_HAZARD
    return table


def duration_probabilities(mean_ticks: float, shape: float, least_ticks: int) -> NDArray[np.float64]:
    """Return P(D = d) of a gamma distribution over d = 1..N ticks, (N,); N is at least least_ticks and 8 means.

    d collects the mass of (d - 1/2, d + 1/2], d = 1 all below; what lies past N is left out.
    """
    count = max(least_ticks + 1, math.ceil(8 * mean_ticks))
    x = (np.arange(count * FINE) + 0.5) / FINE  # middles of the fine cells, in ticks
    log_density = (shape - 1) * np.log(x) - x * (shape / mean_ticks)
    fine = np.exp(log_density - log_density.max())
    ticks = np.clip(np.rint(x), 1, count).astype(int) - 1
    mass = np.bincount(ticks, fine, count)
    return np.asarray(mass / mass.sum())


def _hazard(probabilities: NDArray[np.float64], ages: int) -> NDArray[np.float64]:
    survival = np.cumsum(probabilities[::-1])[::-1]
    hazard = probabilities[:ages] / np.maximum(survival[:ages], 1e-300)
    # Rounding ends the tail: past it the hazard of a gamma distribution stays where it was.
    trusted = survival[:ages] > 1e-12
    hazard = np.where(trusted, hazard, hazard[max(int(trusted.sum()) - 1, 0)])
    return np.asarray(np.clip(hazard, LEAST_HAZARD, MOST_HAZARD))


def remaining_ticks(hazard: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many more ticks an action of each age is expected to last, (..., A) from hazards (..., A)."""
    goes_on = 1 - hazard
    remaining = np.empty_like(hazard)
    remaining[..., -1] = goes_on[..., -1] / hazard[..., -1]  # the last cell keeps its hazard: a geometric end
    for age in range(hazard.shape[-1] - 2, -1, -1):
        remaining[..., age] = goes_on[..., age] * (1 + remaining[..., age + 1])
    return remaining


def priors_fault(priors: Priors, actions: int) -> str:
    """Return what is wrong with priors for K = `actions`, in words; '' when they can be used."""
    columns: dict[str, tuple[ArrayLike, tuple[float, float]]] = {
        "initial": (priors.initial, (0.0, math.inf)),
        "duration_mean_ticks": (priors.duration_mean_ticks, MEAN_TICKS),
        "duration_shape": (priors.duration_shape, SHAPES),
    }
    for name, (values, (least, most)) in columns.items():
        column = np.asarray(values, np.float64)
        if column.shape != (actions,) or not np.isfinite(column).all() or (column <= 0).any():
            return f"{name} {_short(values)}: expected {actions} finite values above 0"
        if (column < least).any() or (column > most).any():
            return f"{name} {_short(values)}: expected values from {least:g} to {most:g}"
    if fault := _order_fault(priors, actions):
        return fault
    least_age, most_age = priors.min_age_ticks, priors.max_age_ticks
    if not 1 <= least_age < most_age <= MOST_AGES:
        return f"ages from {least_age} to {most_age}: expected 1 <= min_age_ticks < max_age_ticks <= {MOST_AGES}"
    return ""


def _order_fault(priors: Priors, actions: int) -> str:
    rows = [np.asarray(row, np.float64) for row in priors.transitions]
    if len(rows) != actions or any(row.shape != (actions,) for row in rows):
        return f"transitions has rows of {sorted({len(row) for row in rows})}: expected {actions} rows of {actions}"
    table = np.stack(rows)
    if not (np.isfinite(table).all() and (table >= 0).all() and np.allclose(table.sum(1), 1, atol=1e-3)):
        return "transitions: expected finite values of 0 or more, each row with the sum 1"
    if np.diag(table).any():
        return "transitions: expected 0 on the diagonal, since an action never follows itself"
    if abs(sum(priors.initial) - 1) > 1e-3:
        return f"initial {_short(priors.initial)}: expected the sum 1"
    return ""


def _short(values: ArrayLike) -> str:
    text = str(values)
    return text if len(text) <= 60 else text[:57] + "..."
