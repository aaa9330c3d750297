"""Laws of boundaries, latency and churn."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import Run
from hal_ros.metrics.segmentation import Counts, Pair
from hal_ros.metrics.timing import (
    Boundaries,
    Delays,
    TimedAnswers,
    boundary_scores,
    detection_delays,
    find_boundaries,
    label_churn,
    match_boundaries,
    summarise_delays,
    true_segments,
)


def labels(word: Any) -> Any:
    """Spell labels as a word: a letter an action, '.' for NO_ACTION."""
    return np.array([NO_ACTION if c == "." else ord(c) - ord("A") for c in word], np.int64)


words = st.text(alphabet="ABC.", max_size=14)

boundaries_strategy = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), max_size=5).map(
    lambda items: Boundaries(
        np.array(sorted(time for time, _ in items), np.int64), np.array([action for _, action in items], np.int64)
    )
)


# --- boundaries -------------------------------------------------------------------------------------------------------


def test_the_first_segment_has_no_boundary_and_silence_is_looked_past() -> None:
    found = find_boundaries(labels("..AA.AB..CC"), np.arange(11) * 10)
    assert found.times.tolist() == [60, 90]
    assert found.actions.tolist() == [1, 2]


def test_a_boundary_that_begins_background_is_left_out() -> None:
    found = find_boundaries(labels("AACABBCCB"), background=(2,))
    assert (found.times.tolist(), found.actions.tolist()) == ([3, 4, 8], [0, 1, 1])
    said = Pair(labels("AACABBCCB"), labels("AACABBCBB"))  # background ends a tick too early
    assert boundary_scores([said], 0).f1 == pytest.approx(80)
    assert boundary_scores([said], 0, background=(2,)).f1 == pytest.approx(200 / 3)
    assert boundary_scores([Pair(labels("ACB"), labels("AAB"))], 0, background=(2,)) == (100, 100, 100)


@given(words)
def test_perfect_boundaries_score_100_at_any_tolerance(word: str) -> None:
    assert boundary_scores([Pair(labels(word), labels(word))], 0, class_aware=True) == (100, 100, 100)


def naive_matching(truth: Any, predicted: Any, tolerance: Any, class_aware: Any) -> Any:
    """Try every order-preserving one-to-one assignment, largest first."""
    for size in range(min(len(truth.times), len(predicted.times)), 0, -1):
        for left in itertools.combinations(range(len(truth.times)), size):
            for right in itertools.combinations(range(len(predicted.times)), size):
                if all(
                    abs(truth.times[i] - predicted.times[j]) <= tolerance
                    and (not class_aware or truth.actions[i] == predicted.actions[j])
                    for i, j in zip(left, right, strict=True)
                ):
                    return size
    return 0


@given(boundaries_strategy, boundaries_strategy, st.integers(0, 4), st.booleans())
def test_the_matching_is_the_largest_there_is(truth: Any, predicted: Any, tolerance: int, class_aware: bool) -> None:
    hits = naive_matching(truth, predicted, tolerance, class_aware)
    expected = Counts(hits, len(predicted.times) - hits, len(truth.times) - hits)
    assert match_boundaries(truth, predicted, tolerance, class_aware) == expected


@given(boundaries_strategy, boundaries_strategy, st.integers(0, 4))
def test_more_tolerance_never_hurts_and_class_awareness_never_helps(truth: Any, predicted: Any, tolerance: int) -> None:
    hits = match_boundaries(truth, predicted, tolerance).hits
    assert match_boundaries(truth, predicted, tolerance + 1).hits >= hits
    assert match_boundaries(truth, predicted, tolerance, class_aware=True).hits <= hits


def test_two_predictions_cannot_share_one_truth() -> None:
    scores = boundary_scores([Pair(labels("AAAABBBB"), labels("AAABABBB"))], tolerance_ticks=1)
    assert scores.recall == 100
    assert scores.precision == pytest.approx(100 / 3)


def test_the_tolerance_is_inclusive() -> None:
    pairs = [Pair(labels("AAAABBBB"), labels("AABBBBBB"))]
    assert boundary_scores(pairs, 2).f1 == 100
    assert boundary_scores(pairs, 1.99).f1 == 0


def test_class_aware_wants_the_same_new_action() -> None:
    pairs = [Pair(labels("AAABBB"), labels("AAACCC"))]
    assert boundary_scores(pairs, 0).f1 == 100
    assert boundary_scores(pairs, 0, class_aware=True).f1 == 0


def test_boundary_edge_cases() -> None:
    assert boundary_scores([Pair(labels("AAA"), labels("BBB"))], 1) == (100, 100, 100)
    assert boundary_scores([Pair(labels("AAA"), labels("ABA"))], 1) == (0, 0, 0)
    assert boundary_scores([Pair(labels("ABA"), labels("AAA"))], 1) == (0, 0, 0)
    assert math.isnan(boundary_scores([], 1).f1)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=3))
def test_boundary_scores_are_percentages_and_ignore_the_order_of_videos(texts: list[tuple[str, str]]) -> None:
    pairs = [Pair(labels(a.ljust(14, ".")), labels(b.ljust(14, "."))) for a, b in texts]
    scores = boundary_scores(pairs, 2)
    assert all(0 <= score <= 100 for score in scores)
    assert boundary_scores(pairs[::-1], 2) == scores


# --- latency ----------------------------------------------------------------------------------------------------------


def delays(truth: Any, said: Any, lag: int = 0, stable: int = 1, period: int = 10) -> Any:
    """Answer at every tick, 10 apart; what is said of a tick comes out `lag` ticks later."""
    times = np.arange(len(truth)) * period
    segments = true_segments(labels(truth), times, len(truth) * period)
    return detection_delays(segments, TimedAnswers(times, times + lag * period, labels(said)), stable)


def test_a_perfect_stream_is_as_late_as_its_lag() -> None:
    assert delays("AAABBBCC", "AAABBBCC") == Delays((0, 0), 0, 0)
    assert delays("AAABBBCC", "AAABBBCC", lag=4) == Delays((40, 40), 0, 0)


def test_a_late_answer_is_late_and_a_missing_one_is_no_number() -> None:
    assert delays("AAABBBBCC", "AAAAABBBB") == Delays((20,), 1, 0)


def test_the_first_segment_has_no_onset() -> None:
    assert delays("AAAA", "BBBB") == Delays((), 0, 0)


def test_an_early_answer_is_clipped_and_counted() -> None:
    assert delays("AAAABBBB", "AABBBBBB") == Delays((0,), 0, 1)


def test_an_early_answer_with_a_lag_is_less_late() -> None:
    assert delays("AAAABBBB", "AABBBBBB", lag=3) == Delays((10,), 0, 0)


def test_a_flash_of_the_right_label_before_the_segment_is_no_detection() -> None:
    assert delays("AAAABBBB", "ABAAAABB") == Delays((20,), 0, 0)


def test_stable_latency_passes_over_short_runs() -> None:
    assert delays("AAABBBBBB", "AAABABBBB") == Delays((0,), 0, 0)
    assert delays("AAABBBBBB", "AAABABBBB", stable=3) == Delays((20,), 0, 0)
    assert delays("AAABBBBBB", "AAABABABA", stable=3) == Delays((), 1, 0)


def test_a_segment_shorter_than_the_stable_run_can_still_be_found() -> None:
    assert delays("AAABBAAA", "AAABBAAA", stable=4).missed == 0


def test_a_segment_without_any_answer_is_missed() -> None:
    answers = TimedAnswers(np.array([0, 100]), np.array([0, 100]), np.array([1, 1]))
    assert detection_delays([Run(0, 0, 40), Run(1, 40, 60), Run(0, 60, 90)], answers) == Delays((), 2, 0)


@given(words, words, st.integers(0, 4))
def test_stable_is_never_sooner_and_more_lag_never_earlier(truth: str, said: str, lag: int) -> None:
    said = said.ljust(len(truth), ".")[: len(truth)]
    first, stable, lagged = delays(truth, said), delays(truth, said, stable=3), delays(truth, said, lag=lag)
    assert stable.missed >= first.missed
    assert len(first.delays) == len(lagged.delays)
    assert all(a <= b for a, b in zip(first.delays, lagged.delays, strict=True))


def test_misses_never_enter_the_median() -> None:
    summary = summarise_delays([Delays((10, 20, 30), 1, 1), Delays((), 4, 0)])
    assert summary.median == 20
    assert summary.p90 == pytest.approx(28)
    assert summary.miss_percent == pytest.approx(62.5)
    assert summary.early_percent == pytest.approx(12.5)
    assert summary.segments == 8


def test_no_segment_found_has_no_median_and_no_segment_no_share() -> None:
    found_none = summarise_delays([Delays((), 2, 0)])
    assert math.isnan(found_none.median)
    assert found_none.miss_percent == 100
    assert math.isnan(summarise_delays([]).miss_percent)


def test_answers_must_be_as_many() -> None:
    with pytest.raises(DatasetError):
        detection_delays([], TimedAnswers(np.arange(3), np.arange(2), np.arange(3)))


# --- revisions --------------------------------------------------------------------------------------------------------


def test_churn_counts_changed_answers_among_those_given_twice() -> None:
    assert label_churn(labels("AAB.C"), labels("ABB..")) == pytest.approx(100 / 3)
    assert label_churn(labels("AB"), labels("AB")) == 0
    assert math.isnan(label_churn(labels(".."), labels("AB")))
    with pytest.raises(DatasetError):
        label_churn(labels("A"), labels("AB"))
