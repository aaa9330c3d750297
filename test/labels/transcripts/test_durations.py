"""Placing a transcript by explicit durations, against all segmentations counted one by one."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from hal_ros.core.errors import DatasetError
from hal_ros.labels.transcripts.align import posterior
from hal_ros.labels.transcripts.durations import LEAST_VARIATION, LONGEST, Durations, estimate, place, uninformed

KNOWN = Durations(np.array([2.0, 3.0, 4.0, 1.5]), np.array([0.3, 0.5, 0.6, 0.4]))


def by_counting(scores: Any, actions: Any, durations: Any) -> Any:
    ticks, segments = len(scores), len(actions)
    longest = min(ticks, int(np.ceil(LONGEST * ticks / segments)))
    total, soft = 0.0, np.zeros_like(scores)
    for cuts in itertools.combinations(range(1, ticks), segments - 1):
        ends = [0, *cuts, ticks]
        weight = 0.0
        for action, start, end in zip(actions, ends, ends[1:], strict=False):
            weight += durations.log_lengths(action, longest)[end - start - 1] + scores[start:end, action].sum()
        total += np.exp(weight)
        for action, start, end in zip(actions, ends, ends[1:], strict=False):
            soft[start:end, action] += np.exp(weight)
    return soft / total


def test_it_equals_the_sum_over_all_segmentations() -> None:
    scores = np.random.default_rng(0).normal(size=(9, 4))
    found = place(scores, [0, 2, 2, 0, 3], KNOWN)
    np.testing.assert_allclose(found.soft, by_counting(scores, [0, 2, 0, 3], KNOWN), atol=1e-12)
    assert found.actions.tolist() == [0, 2, 0, 3]  # repeated neighbours share a segment
    assert found.lengths.sum() == pytest.approx(9)
    other = by_counting(scores, [0, 2, 0, 3], uninformed(4, 2.0))
    assert np.abs(found.soft - other).max() > 0.01  # the durations matter


def test_lengths_decide_where_nothing_is_seen() -> None:
    lengths = Durations(np.array([30.0, 10.0]), np.array([0.15, 0.15]))
    found = place(np.zeros((40, 2)), [0, 1], lengths)
    assert found.lengths == pytest.approx([30, 10], abs=0.5)
    geometric = posterior(np.full((40, 2), -np.log(2)), [0, 1], mean_ticks=lengths.mean)
    assert found.soft[20, 0] > 0.98 > geometric[20, 0]  # a geometric length knows no typical one


def test_one_action_covers_the_clip_and_short_clips_are_filled() -> None:
    assert place(np.zeros((7, 4)), [2], KNOWN).soft[:, 2].tolist() == [1.0] * 7
    crowded = place(np.zeros((3, 4)), [0, 1, 2, 3, 0, 1], KNOWN)
    assert crowded.soft.shape == (3, 4)
    np.testing.assert_allclose(crowded.soft.sum(1), 1)
    with pytest.raises(DatasetError):
        place(np.zeros((7, 4)), [], KNOWN)


def test_an_impossible_tick_and_a_strange_length_break_nothing() -> None:
    scores = np.zeros((400, 4))
    scores[100] = -1e6
    scores[200, 1] = -1e9
    found = place(scores, [0, 1, 2], Durations(np.full(4, 3.0), np.full(4, LEAST_VARIATION)))
    assert np.isfinite(found.soft).all()
    np.testing.assert_allclose(found.soft.sum(1), 1)


def test_lengths_are_probabilities_with_the_mean_they_claim() -> None:
    log = KNOWN.scaled(5).log_lengths(1, 400)
    assert np.exp(log).sum() == pytest.approx(1)
    assert np.exp(log) @ np.arange(1, 401) == pytest.approx(15, rel=0.05)


def test_durations_are_found_again_and_an_unseen_action_gets_the_common_one() -> None:
    truth = Durations(np.array([12.0, 30.0, 20.0]), np.full(3, 0.2))
    random = np.random.default_rng(1)
    found = []
    for _ in range(60):
        lengths = random.normal(truth.mean[:2], truth.mean[:2] * 0.2).round().astype(int)
        labels = np.repeat([0, 1], lengths)
        found.append(place(20.0 * np.eye(3)[labels], [0, 1], uninformed(3, 20.0)))
    estimated = estimate(3, found)
    assert estimated.mean[:2] == pytest.approx(truth.mean[:2], rel=0.07)
    assert estimated.mean[2] == pytest.approx(estimated.mean[:2].mean(), rel=0.1)
    assert estimated.variation[2] > estimated.variation[0]
