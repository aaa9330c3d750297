"""Laws of the soft alignment, against a sum over all segmentations of small clips."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.core.errors import ConfigError, DatasetError
from hal_ros.labels.transcripts.align import AlignConfig, align, most_correct, posterior

SEEDS = st.integers(0, 2**32 - 1)
TRANSCRIPTS = st.lists(st.integers(0, 4), min_size=1, max_size=8)


def noise(seed: Any, ticks: Any, actions: int = 5) -> Any:
    """Return log-probabilities (T, K) that mean nothing."""
    logits = 2.0 * np.random.default_rng(seed).normal(size=(ticks, actions))
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def by_trying(log_probs: Any, actions: Any, temper: Any, least: int = 1, log_stay: Any = None) -> Any:
    """Return the posterior (T, K) by weighing every segmentation of `actions` (no repeats) by itself."""
    ticks, width = log_probs.shape
    stay = np.zeros(width) if log_stay is None else log_stay
    found = np.zeros((ticks, width))
    for cuts in itertools.combinations(range(1, ticks), len(actions) - 1):
        lengths = np.diff([0, *cuts, ticks])
        if lengths.min() < least:
            continue
        labels = np.repeat(actions, lengths)
        weight = (temper * log_probs[range(ticks), labels] + stay[labels]).sum()
        found[range(ticks), labels] += np.exp(weight)
    return found / found.sum(axis=1, keepdims=True)


@given(seed=SEEDS, ticks=st.integers(4, 9), temper=st.sampled_from([0.25, 1.0]), least=st.integers(1, 3))
def test_it_is_the_weighted_mean_of_all_segmentations(seed: int, ticks: int, temper: float, least: int) -> None:
    log_probs, transcript = noise(seed, ticks), [2, 0, 2]
    found = posterior(log_probs, transcript, temper=temper, min_ticks=least)
    least = min(least, ticks // 3)
    np.testing.assert_allclose(found, by_trying(log_probs, transcript, temper, least), atol=1e-9)


def test_the_comparison_notices_a_changed_tick() -> None:
    log_probs = noise(0, 8)
    expected = by_trying(log_probs, [2, 0, 2], 0.25)
    log_probs[4] = np.roll(log_probs[4], 1)
    assert np.abs(posterior(log_probs, [2, 0, 2]) - expected).max() > 1e-3


@given(seed=SEEDS)
def test_mean_lengths_weigh_segmentations_geometrically(seed: int) -> None:
    log_probs, means = noise(seed, 9), np.array([2.5, 1.0, 6.0, 3.0, 4.0])
    beyond = np.maximum(means - 2, 0.5)
    expected = by_trying(log_probs, [0, 2, 4], 0.5, 2, np.log(beyond / (1 + beyond)))
    np.testing.assert_allclose(
        posterior(log_probs, [0, 2, 4], temper=0.5, min_ticks=2, mean_ticks=means), expected, atol=1e-9
    )


@given(seed=SEEDS, ticks=st.integers(1, 60), transcript=TRANSCRIPTS, least=st.integers(1, 9))
def test_rows_are_probabilities_over_the_transcript(seed: int, ticks: int, transcript: list[int], least: int) -> None:
    found = posterior(noise(seed, ticks), transcript, min_ticks=least)
    assert found.shape == (ticks, 5)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)
    assert found.min() >= 0.0
    outside = [action for action in range(5) if action not in transcript]
    assert not found[:, outside].any()
    assert found[0, transcript[0]] == pytest.approx(1.0)
    if ticks >= len(transcript):
        assert found[-1, transcript[-1]] == pytest.approx(1.0)


@given(seed=SEEDS, order=st.permutations(range(5)), transcript=TRANSCRIPTS)
def test_renaming_actions_renames_columns(seed: int, order: Any, transcript: list[int]) -> None:
    log_probs = noise(seed, 30)
    renamed = np.empty_like(log_probs)
    renamed[:, order] = log_probs
    found, other = posterior(log_probs, transcript), posterior(renamed, [order[action] for action in transcript])
    np.testing.assert_allclose(other[:, order], found, atol=1e-9)


def test_on_clean_probabilities_hard_and_soft_agree() -> None:
    labels = np.repeat([3, 1, 3, 0], [40, 25, 60, 30])
    probs = np.full((155, 4), 0.02)
    probs[np.arange(155), labels] = 0.94
    hard = align(np.log(probs), [3, 1, 3, 0], AlignConfig())
    soft = posterior(np.log(probs), [3, 1, 3, 0])
    assert hard.labels.tolist() == labels.tolist()
    assert soft.argmax(axis=1).tolist() == labels.tolist()
    assert most_correct(soft, [3, 1, 3, 0]).labels.tolist() == labels.tolist()


def test_uncertainty_sits_at_the_boundary() -> None:
    labels = np.repeat([0, 1], [30, 30])
    probs = np.full((60, 3), 0.1)
    probs[np.arange(60), labels] = 0.8
    sharp, soft = (posterior(np.log(probs), [0, 1], temper=temper).max(axis=1) for temper in (1.0, 0.15))
    assert sharp.min() > soft.min()
    assert 28 <= int(np.argmin(soft)) <= 31
    assert soft[:20].min() > 0.9 and soft[40:].min() > 0.9


def test_a_long_clip_stays_exact() -> None:
    """Sums over 100,000 ticks, of which some say the impossible, lose nothing that shows at the boundaries."""
    ticks, transcript = 100_000, [0, 1, 2, 3, 4] * 4
    labels = np.repeat(transcript, ticks // 20)
    probs = np.full((ticks, 5), 0.05)
    probs[np.arange(ticks), labels] = 0.8
    log_probs = np.log(probs)
    log_probs[1000] = [-np.inf, 0.0, -np.inf, -np.inf, -np.inf]
    found = posterior(log_probs, transcript)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-9)
    assert np.flatnonzero(found.argmax(axis=1) != labels).size == 0
    around = slice(ticks // 20 - 50, ticks // 20 + 50)
    short = posterior(log_probs[around], [0, 1])
    np.testing.assert_allclose(found[around], short, atol=1e-5)


@pytest.mark.parametrize("length", range(1, 12))
def test_whatever_is_computed_again_does_not_show(length: int) -> None:
    transcript = [index % 3 for index in range(length)]
    log_probs = noise(length, length + 1)
    np.testing.assert_allclose(posterior(log_probs, transcript), by_trying(log_probs, transcript, 0.25), atol=1e-9)


def test_wrong_settings_and_inputs_are_refused() -> None:
    log_probs = noise(0, 9)
    wrongs: list[dict[str, Any]] = [
        {"temper": 0.0},
        {"temper": 1.5},
        {"min_ticks": 0},
        {"mean_ticks": [1.0]},
        {"mean_ticks": [0.0] * 5},
    ]
    for wrong in wrongs:
        with pytest.raises(ConfigError):
            posterior(log_probs, [0, 1], **wrong)
    for transcript in ([], [5]):
        with pytest.raises(DatasetError):
            posterior(log_probs, transcript)
    with pytest.raises(DatasetError, match="sum to"):
        most_correct(log_probs, [0, 1])
