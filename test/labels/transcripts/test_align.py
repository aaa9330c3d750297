"""Laws of the hard alignment, against brute force on small clips."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.bench import alignment_by_cells as bench_offline
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import ConfigError, DatasetError
from hal_ros.labels.transcripts.align import AlignConfig, align, drop_allowed_dp, fit_into, most_correct
from hal_ros.labels.transcripts.align_scores import boundary_scores, candidates, equal_shares, transition_scores

CONFIG = AlignConfig()
SEEDS = st.integers(0, 2**32 - 1)
TRANSCRIPTS = st.lists(st.integers(0, 4), min_size=1, max_size=8)


def noise(seed: Any, ticks: Any, actions: int = 5) -> Any:
    """Return log-probabilities (T, K) that mean nothing."""
    logits = 2.0 * np.random.default_rng(seed).normal(size=(ticks, actions))
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def sure_of(labels: Any, actions: int, probability: float = 0.9) -> Any:
    """Return log-probabilities (T, K) that speak of these labels."""
    probs = np.full((len(labels), actions), (1.0 - probability) / (actions - 1))
    probs[np.arange(len(labels)), labels] = probability
    return np.log(probs)


def best_by_trying(gain: Any) -> Any:
    """Return the greatest sum of gain over all rising choices of columns, one a row."""
    rows, columns = gain.shape
    return max(sum(gain[range(rows), chosen]) for chosen in itertools.combinations(range(columns), rows))


def lay(boundaries: Any, actions: Any, ticks: Any) -> Any:
    return np.repeat(actions, np.diff([0, *boundaries, ticks]))


@given(seed=SEEDS, ticks=st.integers(8, 60), transcript=TRANSCRIPTS, soft=st.booleans())
def test_labels_follow_the_transcript_and_every_transition_is_used_once(
    seed: int, ticks: int, transcript: list[int], soft: bool
) -> None:
    log_probs = noise(seed, ticks)
    found = most_correct(np.exp(log_probs), transcript) if soft else align(log_probs, transcript, CONFIG)
    merged = [action for action, _ in itertools.groupby(transcript)]
    assert found.labels.shape == (ticks,)
    assert found.labels.dtype == np.int64
    assert [action for action, _ in itertools.groupby(found.labels.tolist())] == merged
    assert found.boundaries.tolist() == (np.flatnonzero(np.diff(found.labels)) + 1).tolist()
    assert [merged[segment] for segment in found.segment_of] == transcript
    assert np.all(np.diff(found.segment_of, prepend=0, append=len(merged) - 1) >= 0)


@given(seed=SEEDS, rows=st.integers(1, 4), extra=st.integers(0, 5))
def test_the_programme_finds_the_best_placement(seed: int, rows: int, extra: int) -> None:
    gain = np.random.default_rng(seed).normal(size=(rows, rows + extra))
    chosen = drop_allowed_dp(gain)
    assert np.all(np.diff(chosen) > 0)
    assert gain[range(rows), chosen].sum() == pytest.approx(best_by_trying(gain))
    assert bench_offline.match_by_cells(gain) == chosen.tolist()


def test_the_comparison_with_brute_force_notices_a_changed_gain() -> None:
    gain = np.random.default_rng(0).normal(size=(3, 6))
    chosen = drop_allowed_dp(gain)
    gain[1, chosen[1]] -= 10.0
    assert gain[range(3), chosen].sum() < best_by_trying(gain) - 1.0
    assert drop_allowed_dp(gain).tolist() != chosen.tolist()


def test_too_few_or_impossible_columns_are_refused() -> None:
    with pytest.raises(DatasetError, match="3 transitions but 2 candidates"):
        drop_allowed_dp(np.zeros((3, 2)))
    with pytest.raises(DatasetError, match="finite"):
        drop_allowed_dp(np.full((2, 3), -np.inf))


@given(seed=SEEDS, ticks=st.integers(6, 9))
def test_with_every_tick_a_candidate_the_alignment_is_the_best_of_all(seed: int, ticks: int) -> None:
    transcript = [0, 2, 1]
    config = AlignConfig(boundary_window=3, transition_window=5, candidates_per_transition=9.0, suppression=0.0)
    log_probs = noise(seed, ticks)
    found = align(log_probs, transcript, config)
    at = np.arange(1, ticks)
    scores = boundary_scores(np.exp(log_probs), 3)
    gain = transition_scores(np.exp(log_probs), transcript, at, 5) + scores[at]
    assert found.score == pytest.approx(best_by_trying(gain), abs=1e-5)  # ties may cost TIE_WEIGHT


@given(seed=SEEDS, ticks=st.integers(3, 40), window=st.sampled_from([3, 5, 7, 9]))
def test_boundary_scores_are_what_the_definition_says(seed: int, ticks: int, window: int) -> None:
    probs = np.exp(noise(seed, ticks))
    expected = bench_offline.boundary_scores_by_cells(probs, window)
    np.testing.assert_allclose(boundary_scores(probs, window), expected, atol=1e-8)


def test_boundary_scores_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    probs = np.exp(noise(3, 50))
    whole = boundary_scores(probs, 7)
    monkeypatch.setattr("hal_ros.labels.transcripts.align_scores.BLOCK_TICKS", 11)
    np.testing.assert_allclose(boundary_scores(probs, 7), whole, atol=1e-8)


def test_boundary_scores_know_change_from_none_even_at_the_ends() -> None:
    same = np.exp(sure_of(np.zeros(20, int), 3))
    np.testing.assert_allclose(boundary_scores(same, 7)[1:], 0.0, atol=1e-9)
    changed = boundary_scores(np.exp(sure_of(lay([9], [0, 2], 20), 3, 1.0 - 1e-9)), 7)
    assert int(np.argmax(changed)) == 9
    assert changed[9] == pytest.approx(48 / 49, abs=1e-6)  # all pairs but the centre agree with the template
    assert changed[0] == -np.inf


@given(seed=SEEDS, ticks=st.integers(3, 30), window=st.sampled_from([3, 7, 31]))
def test_transition_scores_are_what_the_definition_says(seed: int, ticks: int, window: int) -> None:
    probs = np.exp(noise(seed, ticks))
    transcript, at = [3, 0, 3, 1], np.arange(1, ticks)
    found = transition_scores(probs, transcript, at, window)
    for row, column in itertools.product(range(3), range(len(at))):
        pair = probs[:, transcript[row : row + 2]]
        expected = bench_offline.transition_score_by_cells(pair, int(at[column]), window)
        assert found[row, column] == pytest.approx(expected, abs=1e-12)


def test_peaks_suppress_their_neighbours_and_extra_ticks_do_not_suffer() -> None:
    scores = np.zeros(40)
    scores[[10, 12, 30]] = [3.0, 2.0, 1.0]
    assert candidates(scores, 1, 2.0, 0.2).tolist() == [10, 30]
    assert candidates(scores, 1, 2.0, 0.2, [0, 11, 30]).tolist() == [10, 11, 30]
    with pytest.raises(DatasetError, match="expected 0 to 39"):
        candidates(scores, 1, 2.0, 0.2, [40])
    with pytest.raises(DatasetError, match="don't fit"):
        candidates(scores, 40, 2.0, 0.2)


def test_too_few_peaks_are_filled_up_with_equal_shares() -> None:
    scores = np.zeros(40)
    scores[0] = -np.inf
    found = candidates(scores, 7, 4.0, 3.0)  # one peak's neighbourhood is 15 ticks on either side
    assert set(equal_shares(8, 40)) <= set(found)
    assert np.all(np.diff(found) > 0) and found[0] > 0
    aligned = align(noise(0, 40), [0, 1, 2, 3, 0, 1, 2, 3], AlignConfig(suppression=3.0))
    assert len(aligned.boundaries) == 7


@given(seed=SEEDS, ticks=st.integers(1, 60), segments=st.integers(1, 8))
def test_equal_shares_are_even(seed: int, ticks: int, segments: int) -> None:
    lengths = np.diff(equal_shares(segments, ticks), prepend=0, append=ticks)
    assert lengths.max() - lengths.min() <= 1


@given(seed=SEEDS, order=st.permutations(range(5)), transcript=TRANSCRIPTS)
def test_renaming_actions_renames_labels(seed: int, order: Any, transcript: list[int]) -> None:
    log_probs = noise(seed, 50)
    renamed = np.empty_like(log_probs)
    renamed[:, order] = log_probs
    found, other = (
        align(log_probs, transcript, CONFIG),
        align(renamed, [order[action] for action in transcript], CONFIG),
    )
    assert other.labels.tolist() == [order[action] for action in found.labels]
    assert other.score == pytest.approx(found.score)


@given(cuts=st.lists(st.integers(15, 60), min_size=2, max_size=6), probability=st.floats(0.6, 0.999))
def test_clean_probabilities_are_followed_exactly(cuts: list[int], probability: float) -> None:
    lengths = np.array(cuts)
    actions = [index % 3 for index in range(len(cuts))]
    labels = np.repeat(actions, lengths)
    # Short segments beside long ones lie inside a peak's suppression by design; here every change may have its peak.
    found = align(sure_of(labels, 4, probability), actions, AlignConfig(suppression=0.1))
    assert found.labels.tolist() == labels.tolist()
    assert most_correct(np.exp(sure_of(labels, 4, probability)), actions).labels.tolist() == labels.tolist()


def test_without_evidence_the_clip_is_shared_evenly() -> None:
    flat = np.full((80, 4), np.log(0.25))
    found = align(flat, [0, 1, 2, 3], AlignConfig(suppression=0.0, candidates_per_transition=99.0))
    assert found.boundaries.tolist() == [20, 40, 60]
    roughly = align(flat, [0, 1, 2, 3], CONFIG)
    assert np.all(np.abs(roughly.boundaries - [20, 40, 60]) <= 4)


def test_an_action_that_is_never_seen_still_gets_its_place() -> None:
    labels = lay([20, 40], [0, 1, 2], 60)
    log_probs = sure_of(np.where(labels == 1, 0, labels), 4)
    log_probs[:, 1] = -np.inf
    log_probs -= np.log(np.exp(log_probs).sum(axis=1, keepdims=True))
    found = align(log_probs, [0, 1, 2], CONFIG)
    assert set(found.labels) == {0, 1, 2}
    assert 40 in found.boundaries


def test_repeated_neighbours_share_a_segment() -> None:
    found = align(sure_of(lay([20], [1, 0], 40), 3), [1, 1, 0, 0, 0], CONFIG)
    assert found.boundaries.tolist() == [20]
    assert found.segment_of.tolist() == [0, 0, 1, 1, 1]


def test_one_action_covers_the_clip() -> None:
    found = align(noise(0, 7), [3, 3], CONFIG)
    assert found.labels.tolist() == [3] * 7
    assert found.boundaries.shape == (0,)
    assert found.score == 0.0


@pytest.mark.parametrize("ticks", [1, 2, 3])
def test_of_a_transcript_longer_than_the_clip_evenly_chosen_actions_stay(ticks: int) -> None:
    transcript = [0, 1, 2, 3, 4]
    found = align(noise(0, ticks), transcript, CONFIG)
    assert found.labels.tolist() == [[0], [0, 2], [0, 1, 3]][ticks - 1]
    kept = [action for action, segment in zip(transcript, found.segment_of, strict=True) if segment >= 0]
    assert kept == found.labels.tolist()
    assert len(found.boundaries) == ticks - 1


@given(transcript=TRANSCRIPTS, ticks=st.integers(1, 12))
def test_whatever_the_lengths_segments_fit(transcript: list[int], ticks: int) -> None:
    actions, segment_of = fit_into(transcript, ticks)
    assert len(actions) <= ticks
    assert all(a != b for a, b in itertools.pairwise(actions))
    assert [actions[s] for s in segment_of if s >= 0] == [
        a for a, s in zip(transcript, segment_of, strict=True) if s >= 0
    ]
    assert align(noise(1, ticks), transcript, CONFIG).labels.shape == (ticks,)


def test_extra_candidates_can_win_by_their_bonus() -> None:
    log_probs = sure_of(lay([20], [0, 1], 40), 3)
    without = align(log_probs, [0, 1], AlignConfig(), [24])
    with_bonus = align(log_probs, [0, 1], AlignConfig(candidate_bonus=5.0), [0, 24])
    assert without.boundaries.tolist() == [20]
    assert with_bonus.boundaries.tolist() == [24]


@pytest.mark.parametrize(
    ("log_probs", "transcript", "words"),
    [
        (noise(0, 9), [], "empty"),
        (noise(0, 9), [0, 5], "action 5; expected ids from 0 to 4"),
        (noise(0, 9), [0, -1], "action -1"),
        (noise(0, 9), [0, NO_ACTION], "action 65535"),
        (noise(0, 0), [0], r"shape \(0, 5\)"),
        (noise(0, 9)[0], [0], r"shape \(5,\)"),
        (noise(0, 9) + 1.0, [0, 1], "tick 0 sum to 2.7"),
        (np.where(np.arange(9)[:, None] == 4, np.nan, noise(0, 9)), [0, 1], "tick 4 sum to nan"),
        (np.where(np.arange(9)[:, None] == 4, -np.inf, noise(0, 9)), [0, 1], "tick 4 sum to 0"),
    ],
)
def test_what_cannot_be_aligned_is_refused(log_probs: Any, transcript: list[Any], words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        align(log_probs, transcript, CONFIG)


@pytest.mark.parametrize(
    "wrong",
    [
        {"boundary_window": 6},
        {"transition_window": 1},
        {"candidates_per_transition": 0.5},
        {"suppression": -0.1},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        AlignConfig(**wrong)
    with pytest.raises(ConfigError, match="odd"):
        boundary_scores(np.exp(noise(0, 9)), 4)


@given(seed=SEEDS, ticks=st.integers(3, 9))
def test_the_most_correct_segmentation_is_the_best_of_all(seed: int, ticks: int) -> None:
    soft, transcript = np.exp(noise(seed, ticks)), [1, 0, 1]
    best = max(
        np.mean(soft[range(ticks), lay(cuts, transcript, ticks)]) for cuts in itertools.combinations(range(1, ticks), 2)
    )
    assert most_correct(soft, transcript).score == pytest.approx(best)
    assert most_correct(soft, transcript[::-1][:1]).score == pytest.approx(soft[:, 1].mean())


@pytest.mark.parametrize(("ticks", "actions"), [(60, 4), (200, 12)])
def test_the_form_written_cell_by_cell_finds_the_same(ticks: int, actions: int) -> None:
    for seed in range(5):
        log_probs, transcript = bench_offline.made_clip(ticks, actions, seed)
        found = align(log_probs, transcript, CONFIG)
        boundaries, score = bench_offline.align_by_cells(log_probs, transcript, CONFIG)
        assert found.boundaries.tolist() == boundaries.tolist()
        assert found.score == pytest.approx(score)
