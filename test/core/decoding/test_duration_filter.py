"""Laws of the explicit-duration filter: it is the Bayes filter of its model, and never loses its footing."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import groupby, pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.core.card import DecoderSpec, Priors
from hal_ros.core.decoding import decode
from hal_ros.core.decoding.decode import Decoder
from hal_ros.core.decoding.duration_filter import (
    DurationFilter,
    duration_probabilities,
    hazards,
    log_odds,
    marginals,
    priors_fault,
)

ACTIONS = 3
PRIORS = Priors(
    initial=(0.6, 0.3, 0.1),
    transitions=((0.0, 0.9, 0.1), (0.2, 0.0, 0.8), (0.5, 0.5, 0.0)),
    duration_mean_ticks=(4.0, 9.0, 6.0),
    duration_shape=(2.0, 5.0, 9.0),
    max_age_ticks=30,
)
SPEC = DecoderSpec("duration", temper=0.5, boundary_gain=0.8, boundary_offset=0.3, priors=PRIORS)

evidence = st.integers(0, 2**32 - 1).map(
    lambda seed: random_evidence(np.random.default_rng(seed), 12)  # few enough ticks for the enumeration below
)


def random_evidence(random: np.random.Generator, ticks: int) -> tuple[np.ndarray, np.ndarray]:
    logits = 3 * random.normal(size=(ticks, ACTIONS)).cumsum(0) / 2
    log_probs = logits - np.logaddexp.reduce(logits, 1, keepdims=True)
    return log_probs.astype(np.float32), random.uniform(0.05, 0.95, ticks).astype(np.float32)


def beliefs(spec: DecoderSpec, log_probs: np.ndarray, boundary: np.ndarray) -> list[np.ndarray]:
    assert spec.priors is not None
    filter_, belief, found = DurationFilter(spec, spec.priors), None, []
    for row, value in zip(log_probs, boundary, strict=True):
        belief = filter_.step(row, float(value), belief)
        found.append(belief)
    return found


def by_enumeration(spec: DecoderSpec, log_probs: np.ndarray, boundary: np.ndarray) -> np.ndarray:
    """P(action at the last tick | everything), summed over every sequence of actions with its change points."""
    assert spec.priors is not None
    ends, order, ticks = hazards(spec.priors), np.array(spec.priors.transitions), len(log_probs)
    weights = np.zeros(ACTIONS)
    for sequence in product(range(ACTIONS), repeat=ticks):
        weight = spec.priors.initial[sequence[0]] * np.exp(spec.temper * log_probs[0, sequence[0]])
        age = 1
        for tick, (before, now) in enumerate(pairwise(sequence), 1):
            hazard = ends[before, min(age, ends.shape[1]) - 1]
            if now == before:
                weight, age = weight * (1 - hazard), age + 1
            else:
                ratio = np.exp(spec.boundary_gain * log_odds(float(boundary[tick])) + spec.boundary_offset)
                weight, age = weight * hazard * order[before, now] * ratio, 1
            weight *= np.exp(spec.temper * log_probs[tick, now])
        weights[sequence[-1]] += weight
    return weights / weights.sum()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("max_age_ticks", [3, 30])
def test_the_filter_is_the_sum_over_all_segmentations(seed: int, max_age_ticks: int) -> None:
    spec = replace(SPEC, priors=replace(PRIORS, max_age_ticks=max_age_ticks))
    log_probs, boundary = random_evidence(np.random.default_rng(seed), 7)
    exact = by_enumeration(spec, log_probs, boundary)
    np.testing.assert_allclose(marginals(beliefs(spec, log_probs, boundary)[-1]), exact, atol=1e-6)
    deaf = replace(spec, boundary_gain=0.0)  # negative control: the boundary head does matter
    assert np.abs(marginals(beliefs(deaf, log_probs, boundary)[-1]) - exact).max() > 1e-3


@given(evidence)
def test_a_belief_is_a_distribution_and_the_future_does_not_change_it(given_: tuple[np.ndarray, np.ndarray]) -> None:
    log_probs, boundary = given_
    whole = beliefs(SPEC, log_probs, boundary)
    for belief in whole:
        assert belief.shape == (ACTIONS, PRIORS.max_age_ticks)
        assert (belief > 0).all() and belief.sum() == pytest.approx(1)
    for one, other in zip(beliefs(SPEC, log_probs[:5], boundary[:5]), whole, strict=False):
        np.testing.assert_array_equal(one, other)


@given(evidence)
def test_actions_may_be_renumbered(given_: tuple[np.ndarray, np.ndarray]) -> None:
    log_probs, boundary = given_
    order = [2, 0, 1]
    renumbered = Priors(
        tuple(PRIORS.initial[i] for i in order),
        tuple(tuple(PRIORS.transitions[i][j] for j in order) for i in order),
        tuple(PRIORS.duration_mean_ticks[i] for i in order),
        tuple(PRIORS.duration_shape[i] for i in order),
        PRIORS.max_age_ticks,
    )
    ours = marginals(beliefs(SPEC, log_probs, boundary)[-1])
    theirs = marginals(beliefs(replace(SPEC, priors=renumbered), log_probs[:, order], boundary)[-1])
    np.testing.assert_allclose(theirs, ours[order], atol=1e-12)


def test_hostile_evidence_leaves_a_belief() -> None:
    certain = np.array([0.0, -np.inf, -np.inf], np.float32)
    other = np.array([-np.inf, -np.inf, 0.0], np.float32)
    rows = [certain] * 500 + [other] * 3 + [np.full(3, np.nan, np.float32)] * 5 + [np.full(3, -np.inf, np.float32)]
    found = beliefs(SPEC, np.stack(rows), np.full(len(rows), np.nan))
    assert all(np.isfinite(belief).all() and belief.sum() == pytest.approx(1) for belief in found)
    assert marginals(found[499]).argmax() == 0
    assert marginals(found[502]).argmax() == 2  # it comes back after any length of certainty


def test_a_tick_without_evidence_moves_on_by_durations_alone() -> None:
    sure = np.log(np.array([0.98, 0.01, 0.01], np.float32))
    silent = np.full((12, 3), np.nan, np.float32)
    found = beliefs(SPEC, np.stack([sure, sure, *silent]), np.full(14, np.nan))
    assert marginals(found[1]).argmax() == 0
    assert marginals(found[-1]).argmax() == 1  # 0 lasts four ticks, and then 1 follows


def test_the_boundary_head_moves_the_change() -> None:
    undecided = np.log(np.full((6, 3), 1 / 3, np.float32))
    rows = np.concatenate([np.log(np.array([[0.9, 0.05, 0.05]] * 3, np.float32)), undecided])
    quiet, loud = np.full(9, 0.05), np.full(9, 0.05)
    loud[4] = 0.95
    assert (
        marginals(beliefs(SPEC, rows, loud)[4])[0]
        < marginals(beliefs(SPEC, rows, np.full(9, np.nan))[4])[0]
        < marginals(beliefs(SPEC, rows, quiet)[4])[0]
    )


# --- durations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "shape"), [(4.0, 2.0), (30.0, 8.0), (12.0, 0.7), (500.0, 3.0)])
def test_hazards_give_the_duration_back(mean: float, shape: float) -> None:
    priors = Priors((0.5, 0.5), ((0.0, 1.0), (1.0, 0.0)), (mean, mean), (shape, shape), max_age_ticks=4000)
    hazard = hazards(priors)[0]
    survival = np.concatenate([[1.0], np.cumprod(1 - hazard[:-1])])
    expected = float(survival.sum())  # E[D] = sum over d >= 1 of P(D >= d)
    assert expected == pytest.approx(max(mean, 1), rel=0.08, abs=0.3)
    probabilities = duration_probabilities(mean, shape, 10)
    ages = np.arange(1, len(probabilities) + 1)
    spread = np.sqrt((probabilities * ages**2).sum() - (probabilities * ages).sum() ** 2)
    assert spread == pytest.approx(mean / np.sqrt(shape), rel=0.1)


def test_a_regular_action_ends_late_and_a_young_one_hardly() -> None:
    hazard = hazards(replace(PRIORS, duration_mean_ticks=(20.0,) * 3, duration_shape=(10.0,) * 3))[0]
    assert hazard[3] < 1e-3 < hazard[19] < hazard[29]
    floored = hazards(replace(PRIORS, min_age_ticks=4))
    assert (floored[:, :3] <= 1e-5).all() and (floored[0, 3:] > 1e-2).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, ""),
        ({"initial": (0.5, 0.5)}, "initial .*expected 3"),
        ({"initial": (0.5, 0.2, 0.1)}, "initial .*sum 1"),
        ({"duration_mean_ticks": (1.0, -2.0, 3.0)}, "duration_mean_ticks .*above 0"),
        ({"duration_shape": (1.0, float("nan"), 3.0)}, "duration_shape .*finite"),
        ({"transitions": ((0.0, 1.0), (1.0, 0.0))}, "transitions .*3 rows of 3"),
        ({"transitions": ((0.0, 0.5, 0.1),) * 3}, "sum 1"),
        ({"transitions": ((0.5, 0.5, 0.0),) * 3}, "follows itself"),
        ({"min_age_ticks": 30}, "min_age_ticks < max_age_ticks"),
    ],
)
def test_priors_that_can_not_be_are_named(change: dict[str, object], says: str) -> None:
    fault = priors_fault(replace(PRIORS, **change), 3)  # type: ignore[arg-type]
    assert bool(fault) == bool(says)
    assert re.search(says, fault)


# --- as a decoder -----------------------------------------------------------------------------------------------------


def flickering(changes: int, ticks: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Actions 0, 1, 2 in turn, and log-probabilities whose noise lasts several ticks."""
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(changes) % ACTIONS, ticks)
    noise = np.zeros((len(truth), ACTIONS))
    for tick in range(1, len(truth)):
        noise[tick] = 0.8 * noise[tick - 1] + 1.2 * random.normal(size=ACTIONS)
    logits = 2.0 * np.eye(ACTIONS)[truth] + noise
    return truth, (logits - np.logaddexp.reduce(logits, 1, keepdims=True)).astype(np.float32)


def changes_in(labels: np.ndarray) -> int:
    return len(list(groupby(labels.tolist()))) - 1


def test_durations_remove_flicker() -> None:
    truth, log_probs = flickering(changes=12, ticks=25)
    lasting = replace(PRIORS, duration_mean_ticks=(25.0,) * 3, duration_shape=(10.0,) * 3, max_age_ticks=100)
    spec = DecoderSpec("duration", temper=0.25, commit_probability=0.6, priors=lasting)
    bare = decode.decode(Decoder(DecoderSpec("argmax")), log_probs)
    steady = decode.decode(Decoder(spec), log_probs)
    assert changes_in(bare) > 4 * changes_in(truth)
    assert changes_in(steady) <= 1.5 * changes_in(truth)
    assert (steady == truth).mean() > (bare == truth).mean()


def test_a_higher_threshold_never_changes_its_mind_more_often() -> None:
    _, log_probs = flickering(changes=12, ticks=15, seed=1)
    counts = [
        changes_in(decode.decode(Decoder(replace(SPEC, commit_probability=threshold)), log_probs))
        for threshold in (0.0, 0.5, 0.7, 0.9, 1.0)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]
