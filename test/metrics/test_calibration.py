"""Laws of ECE and NLL."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.metrics.calibration import expected_calibration_error, negative_log_likelihood


def random_case(seed: Any, ticks: int = 40) -> tuple[Any, ...]:
    random = np.random.default_rng(seed)
    return random.integers(0, 4, ticks), np.log(random.dirichlet(np.ones(4), ticks))


def naive_ece(truth: Any, log_probs: Any, bins: int = 15) -> float:
    total = 0.0
    for low in range(bins):
        members = [
            (p.max(), p.argmax() == t)
            for t, p in zip(truth, np.exp(log_probs), strict=True)
            if low / bins < p.max() <= (low + 1) / bins
        ]
        if members:
            confidence, correct = np.mean(members, axis=0)
            total += len(members) / len(truth) * abs(confidence - correct)
    return total


@given(st.integers(0, 10_000))
def test_ece_agrees_with_its_definition_and_is_a_fraction(seed: int) -> None:
    truth, log_probs = random_case(seed)
    error = expected_calibration_error(truth, log_probs)
    assert error == pytest.approx(naive_ece(truth, log_probs))
    assert 0 <= error <= 1


@given(st.integers(0, 10_000))
def test_nll_is_positive_and_the_order_of_ticks_is_irrelevant(seed: int) -> None:
    truth, log_probs = random_case(seed)
    assert negative_log_likelihood(truth, log_probs) >= 0
    assert negative_log_likelihood(truth[::-1], log_probs[::-1]) == pytest.approx(
        negative_log_likelihood(truth, log_probs)
    )


def test_certain_and_right_is_perfect_certain_and_wrong_is_worst() -> None:
    with np.errstate(divide="ignore"):
        certain = np.log(np.eye(3))
    assert expected_calibration_error(np.arange(3), certain) == 0
    assert negative_log_likelihood(np.arange(3), certain) == 0
    assert expected_calibration_error(np.array([1, 2, 0]), certain) == 1
    assert negative_log_likelihood(np.array([1, 2, 0]), certain) == math.inf


def test_half_right_at_half_confidence_is_calibrated() -> None:
    halves = np.log(np.full((2, 2), 0.5))
    assert expected_calibration_error(np.array([0, 1]), halves) == pytest.approx(0)


def test_what_is_not_annotated_is_left_out_and_nothing_left_is_nan() -> None:
    truth, log_probs = random_case(1)
    padded = np.append(truth, NO_ACTION), np.vstack([log_probs, log_probs[:1]])
    assert negative_log_likelihood(*padded) == negative_log_likelihood(truth, log_probs)
    assert math.isnan(expected_calibration_error(np.array([NO_ACTION]), log_probs[:1]))
    assert math.isnan(negative_log_likelihood(np.array([]), np.zeros((0, 4))))


def test_labels_that_do_not_fit_are_refused() -> None:
    _, log_probs = random_case(1)
    with pytest.raises(DatasetError, match="log-probabilities"):
        negative_log_likelihood(np.arange(3), log_probs)
    with pytest.raises(DatasetError, match="no column"):
        negative_log_likelihood(np.full(40, 4), log_probs)
