"""Laws of the frame and segment metrics, and naive references of each."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.metrics import segmentation as metrics
from hal_ros.metrics.segmentation import Counts, Pair


def pair(truth: Any, predicted: Any) -> Pair:
    """Spell a pair as two words: a letter an action, '.' for NO_ACTION."""
    return Pair(
        *(np.array([NO_ACTION if c == "." else ord(c) - ord("A") for c in word]) for word in (truth, predicted))
    )


@st.composite
def pairs_strategy(draw: st.DrawFn, alphabet: str = "ABC.") -> list[Any]:
    """Make up to four videos of stretched labels, so that segments of several ticks are common."""

    def word(ticks: Any) -> Any:
        letters = draw(st.lists(st.sampled_from(alphabet), min_size=ticks, max_size=ticks))
        stretch = draw(st.integers(1, 4))
        return "".join(letter * stretch for letter in letters)[:ticks]

    ticks = draw(st.lists(st.integers(0, 16), min_size=1, max_size=4))
    return [pair(word(n), word(n)) for n in ticks]


SCORES: dict[str, Callable[..., float]] = {
    "MoF": metrics.mean_over_frames,
    "MoF-Bg": functools.partial(metrics.mean_over_frames, background={0}),
    "IoU per class": lambda pairs: metrics.overlap_per_class(pairs).iou,
    "IoD per class": lambda pairs: metrics.overlap_per_class(pairs).iod,
    "IoU per segment": lambda pairs: metrics.overlap_per_segment(pairs).iou,
    "IoD per segment": lambda pairs: metrics.overlap_per_segment(pairs, {1}).iod,
    "Edit": metrics.edit_score,
    "F1@10": functools.partial(metrics.f1_pooled, overlap_percent=10),
    "F1@50": functools.partial(metrics.f1_pooled, overlap_percent=50),
    "F1@50 per video": functools.partial(metrics.f1_per_video, overlap_percent=50),
}


@pytest.mark.parametrize("name", SCORES)
@given(pairs=pairs_strategy())
def test_every_score_is_a_percentage_or_nan(name: Any, pairs: Any) -> None:
    score = SCORES[name](pairs)
    assert math.isnan(score) or 0 <= score <= 100


@pytest.mark.parametrize("name", SCORES)
@given(pairs=pairs_strategy())
def test_perfect_is_best(name: Any, pairs: Any) -> None:
    score = SCORES[name]([Pair(pair.truth, pair.truth) for pair in pairs])
    assert math.isnan(score) or score == pytest.approx(100)


@pytest.mark.parametrize("name", SCORES)
@given(pairs=pairs_strategy())
def test_the_order_of_videos_is_irrelevant(name: Any, pairs: Any) -> None:
    assert SCORES[name](pairs[::-1]) == pytest.approx(SCORES[name](pairs), nan_ok=True)


@pytest.mark.parametrize("name", SCORES)
def test_wrong_is_worse_than_right(name: Any) -> None:
    assert SCORES[name]([pair("BBBBCCCC", "CCCCBBBB")]) < 50


@pytest.mark.parametrize("name", SCORES)
def test_what_is_not_annotated_is_not_scored(name: Any) -> None:
    scored = SCORES[name]([pair("BBBCC...", "BBCCCCCC")])
    assert scored == SCORES[name]([pair("BBBCC", "BBCCC")])
    assert scored != SCORES[name]([pair("BBBCCBBB", "BBCCCCCC")])


@pytest.mark.parametrize("name", SCORES)
def test_lengths_that_differ_are_refused(name: Any) -> None:
    with pytest.raises(DatasetError, match="shape"):
        SCORES[name]([Pair(np.zeros(3, int), np.zeros(2, int))])


@pytest.mark.parametrize("name", SCORES)
def test_no_video_is_nan(name: Any) -> None:
    assert math.isnan(SCORES[name]([]))


# --- frames -----------------------------------------------------------------------------------------------------------


def test_mof_is_pooled_over_videos_not_averaged() -> None:
    pairs = [pair("AAAAAAAA", "AAAAAAAA"), pair("AB", "BA")]
    assert metrics.mean_over_frames(pairs) == pytest.approx(80)


def test_mof_bg_looks_only_at_frames_that_truly_are_no_background() -> None:
    pairs = [pair("AABB", "BBBA")]
    assert metrics.mean_over_frames(pairs) == pytest.approx(25)
    assert metrics.mean_over_frames(pairs, background={0}) == pytest.approx(50)


def test_mof_bg_of_nothing_but_background_is_nan() -> None:
    assert math.isnan(metrics.mean_over_frames([pair("AAA", "ABB")], background={0}))


def test_no_answer_is_a_wrong_frame() -> None:
    assert metrics.mean_over_frames([pair("AAAA", "..AA")]) == pytest.approx(50)


@given(pairs_strategy())
def test_overlap_per_class_agrees_with_the_published_loop(pairs: Any) -> None:
    videos = []
    for truth, predicted in ((pair.truth, pair.predicted) for pair in pairs):
        scored = truth != NO_ACTION
        truth, predicted = truth[scored], predicted[scored]
        video = []
        for action in np.unique(truth):
            shared = np.logical_and(truth == action, predicted == action).sum()
            union = np.logical_or(truth == action, predicted == action).sum()
            video.append((shared / (union + 1e-9), shared / ((predicted == action).sum() + 1e-9)))
        if video:
            videos.append(np.mean(video, axis=0))
    expected = 100 * np.mean(videos, axis=0) if videos else (math.nan, math.nan)
    assert metrics.overlap_per_class(pairs) == pytest.approx(tuple(expected), nan_ok=True)


def naive_segments(labels: Any, background: tuple[Any, ...] = ()) -> Any:
    found, start = [], 0
    for action, group in itertools.groupby(labels.tolist()):
        length = len(list(group))
        if action != NO_ACTION and action not in background:
            found.append((action, start, start + length))
        start += length
    return found


@given(pairs_strategy(alphabet="ABC"))
def test_overlap_per_segment_agrees_with_the_published_loop(pairs: Any) -> None:
    videos = []
    for truth, predicted in ((pair.truth, pair.predicted) for pair in pairs):
        video = []
        for action, start, end in naive_segments(truth):
            iou = iod = 0.0
            for other, other_start, other_end in naive_segments(predicted):
                if action == other:
                    shared = min(end, other_end) - max(start, other_start)
                    iou = max(iou, shared / (max(end, other_end) - min(start, other_start)))
                    iod = max(iod, shared / (other_end - other_start))
            video.append((iou, iod))
        if video:
            videos.append(np.mean(video, axis=0))
    expected = 100 * np.mean(videos, axis=0) if videos else (math.nan, math.nan)
    assert metrics.overlap_per_segment(pairs) == pytest.approx(tuple(expected), nan_ok=True)


def test_the_two_published_overlaps_differ() -> None:
    pairs = [pair("AABBAABB", "AABBBBBB")]
    assert metrics.overlap_per_class(pairs).iou == pytest.approx(100 * (2 / 4 + 4 / 6) / 2)
    assert metrics.overlap_per_segment(pairs).iou == pytest.approx(100 * (1 + 2 / 6 + 0 + 2 / 6) / 4)


def test_a_class_that_is_never_predicted_scores_zero_and_one_only_predicted_is_not_looked_at() -> None:
    assert metrics.overlap_per_class([pair("AABB", "AACC")]) == pytest.approx((50, 50))


# --- segments ---------------------------------------------------------------------------------------------------------


def naive_levenshtein(first: Any, second: Any) -> Any:
    if not first or not second:
        return len(first) + len(second)
    return min(
        naive_levenshtein(first[1:], second) + 1,
        naive_levenshtein(first, second[1:]) + 1,
        naive_levenshtein(first[1:], second[1:]) + (first[0] != second[0]),
    )


@given(st.lists(st.integers(0, 2), max_size=5), st.lists(st.integers(0, 2), max_size=5))
def test_levenshtein_agrees_with_its_definition(first: list[int], second: list[int]) -> None:
    assert metrics.levenshtein(first, second) == naive_levenshtein(first, second)


def test_edit_counts_segments_not_frames() -> None:
    assert metrics.edit_score([pair("AAAAAAAB", "ABBBBBBB")]) == 100
    assert metrics.edit_score([pair("AAAABBBB", "ABABABAB")]) == pytest.approx(100 * (1 - 6 / 8))


def test_edit_strips_background_first_so_two_equal_segments_stay_two() -> None:
    assert metrics.edit_score([pair("BAB", "BBB")], background={0}) == pytest.approx(50)


def test_edit_of_two_empty_sequences_is_100_and_of_one_is_0() -> None:
    assert metrics.edit_score([pair("AA", "AA")], background={0}) == 100
    assert metrics.edit_score([pair("BB", "AA")], background={0}) == 0
    assert metrics.edit_score([pair("BB", "..")]) == 0


def naive_f1_counts(truth: Any, predicted: Any, overlap: Any) -> Counts:
    """Follow the published loop: argmax of IoU over same-action truth, no second choice."""
    true, said = naive_segments(truth), naive_segments(predicted)
    used, hits, false_alarms = [False] * len(true), 0, 0
    for action, start, end in said:
        ious = [
            (min(end, e) - max(start, s)) / (max(end, e) - min(start, s)) if action == a else 0.0 for a, s, e in true
        ]
        best = int(np.argmax(ious)) if ious else 0
        if ious and ious[best] >= overlap and not used[best]:
            hits += 1
            used[best] = True
        else:
            false_alarms += 1
    return Counts(hits, false_alarms, len(true) - sum(used))


@given(pairs_strategy(alphabet="ABC"), st.sampled_from([0.1, 0.25, 0.5, 1.0]))
def test_segment_counts_agree_with_the_published_loop(pairs: Any, overlap: float) -> None:
    for one in pairs:
        assert metrics.count_segments(one, overlap) == naive_f1_counts(one.truth, one.predicted, overlap)


def test_a_true_segment_is_claimed_once_and_there_is_no_second_choice() -> None:
    assert metrics.count_segments(pair("AAAAAAAABB", "AAABAAAABB"), 0.1) == Counts(2, 2, 0)


def test_pooled_f1_and_the_mean_over_videos_differ() -> None:
    pairs = [pair("ABCABC", "ABCABC"), pair("AA", "BB")]
    assert metrics.f1_pooled(pairs, 50) == pytest.approx(100 * 12 / 14)
    assert metrics.f1_per_video(pairs, 50) == pytest.approx(50)


def test_f1_of_empty_sides() -> None:
    assert metrics.f1_pooled([pair("AA", "BB")], 10, background={0}) == 0  # nothing true: all said are false alarms
    assert metrics.f1_pooled([pair("BB", "AA")], 10, background={0}) == 0
    assert metrics.f1_pooled([pair("AA", "AA")], 10, background={0}) == 100  # nothing to find, nothing said
    assert metrics.f1_pooled([pair("AAAA", "BBBB")], 10) == 0  # no hit is 0, not nan


def test_named_background_is_the_only_background() -> None:
    one = [pair("AABB", "ABBB")]
    assert metrics.f1_pooled(one, 90, background={0}) == 0
    assert metrics.f1_pooled(one, 10) == 100


def test_segment_ratio_is_pooled_and_nan_without_truth() -> None:
    pairs = [pair("AABB", "ABAB"), pair("AA", "AA")]
    assert metrics.segment_ratio(pairs) == pytest.approx(5 / 3)
    assert math.isnan(metrics.segment_ratio([pair("AA", "AB")], background={0}))
