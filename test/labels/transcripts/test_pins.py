"""Known ticks: every aligner passes through them, exactly, and says what can't be."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.clips import Clip
from hal_ros.labels.teacher.alignment import place_coarsely
from hal_ros.labels.transcripts.align import AlignConfig, align, most_correct, posterior
from hal_ros.labels.transcripts.durations import Durations, place
from hal_ros.labels.transcripts.first_labels import first_labels
from hal_ros.labels.transcripts.pins import allowed_actions, constrained, on_steps, order_of, reachable
from synthetic_clips import ACTIONS, accuracy, make_clips

SEEDS = st.integers(0, 2**32 - 1)
LENGTHS = Durations(np.array([2.0, 3.0, 4.0, 1.5]), np.array([0.3, 0.5, 0.6, 0.4]))


def pinned_case(seed: int, ticks: int, most: int = 6) -> Any:
    """Return a transcript of 4 actions, a path of it over the ticks, and some of its ticks as pins."""
    random = np.random.default_rng(seed)
    transcript = [0]
    while len(transcript) < min(most, ticks):
        transcript.append(int((transcript[-1] + random.integers(1, 4)) % 4))
    cuts = np.sort(random.choice(np.arange(1, ticks), len(transcript) - 1, replace=False))
    path = np.repeat(transcript, np.diff([0, *cuts, ticks]))
    return transcript, path, np.where(random.random(ticks) < random.random(), path, NO_ACTION)


def log_noise(seed: int, ticks: int) -> Any:
    logits = 3.0 * np.random.default_rng(seed).normal(size=(ticks, 4))
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def by_counting(weigh: Any, transcript: Any, known: Any) -> Any:
    """Return the mean (T, K) of all segmentations through the pins, each weighed by weigh(labels, lengths)."""
    ticks, soft = len(known), np.zeros((len(known), 4))
    for cuts in itertools.combinations(range(1, ticks), len(transcript) - 1):
        lengths = np.diff([0, *cuts, ticks])
        labels = np.repeat(transcript, lengths)
        if ((known == NO_ACTION) | (known == labels)).all():
            soft[range(ticks), labels] += np.exp(weigh(labels, lengths))
    return soft / soft.sum(1, keepdims=True)


@settings(max_examples=25)
@given(seed=SEEDS, ticks=st.integers(4, 10))
def test_soft_alignments_are_the_weighted_mean_of_the_segmentations_through_the_pins(seed: int, ticks: int) -> None:
    transcript, _, known = pinned_case(seed, ticks, most=4)
    log_probs, allowed = log_noise(seed, ticks), allowed_actions(known, 4)

    def evidence(labels: Any, _: Any) -> Any:
        return 0.5 * log_probs[range(ticks), labels].sum()

    def with_lengths(labels: Any, lengths: Any) -> Any:
        terms = (LENGTHS.log_lengths(action, ticks)[n - 1] for action, n in zip(transcript, lengths, strict=True))
        return log_probs[range(ticks), labels].sum() + sum(terms)

    found = posterior(log_probs, transcript, temper=0.5, allowed=allowed)
    np.testing.assert_allclose(found, by_counting(evidence, transcript, known), atol=1e-9)
    placed = place(log_probs, transcript, LENGTHS, allowed)
    np.testing.assert_allclose(placed.soft, by_counting(with_lengths, transcript, known), atol=1e-6)


@settings(max_examples=40)
@given(seed=SEEDS, ticks=st.integers(6, 300))
def test_pinned_ticks_are_right_and_the_order_is_kept_whatever_is_seen(seed: int, ticks: int) -> None:
    transcript, _, known = pinned_case(seed, ticks)
    log_probs, allowed = log_noise(seed, ticks), allowed_actions(known, 4)
    pinned = known != NO_ACTION
    hard = [
        align(log_probs, transcript, AlignConfig(), (), allowed).labels,
        most_correct(np.exp(log_probs), transcript, allowed).labels,
    ]
    for labels in hard:
        assert labels[pinned].tolist() == known[pinned].tolist()
        assert [action for action, _ in itertools.groupby(labels.tolist())] == transcript
    for soft in (
        posterior(log_probs, transcript, min_ticks=5, allowed=allowed),
        place_coarsely(log_probs, transcript, LENGTHS, allowed).soft,
    ):
        np.testing.assert_array_equal(soft[pinned], np.eye(4)[known[pinned]])
        np.testing.assert_allclose(soft.sum(1), 1)


def test_the_best_of_the_allowed_segmentations_is_chosen() -> None:
    for seed in range(20):
        transcript, _, known = pinned_case(seed, 9, most=4)
        probs, pinned = np.exp(log_noise(seed, 9)), known != NO_ACTION
        best = max(
            probs[range(9), labels].mean()
            for cuts in itertools.combinations(range(1, 9), 3)
            if (labels := np.repeat(transcript, np.diff([0, *cuts, 9])))[pinned].tolist() == known[pinned].tolist()
        )
        assert most_correct(probs, transcript, allowed_actions(known, 4)).score == pytest.approx(best)


def test_where_nothing_is_known_nothing_changes() -> None:
    log_probs, free = log_noise(3, 50), np.ones((50, 4), np.bool_)
    assert align(log_probs, [0, 2, 0], AlignConfig(), (), free).labels.tolist() == (
        align(log_probs, [0, 2, 0], AlignConfig()).labels.tolist()
    )
    np.testing.assert_allclose(
        place(log_probs, [0, 2, 0], LENGTHS, free).soft, place(log_probs, [0, 2, 0], LENGTHS).soft, atol=1e-12
    )
    clips = make_clips(4)
    nothing = {clip.name: np.full(clip.ticks, NO_ACTION) for clip in clips}
    plain, pinned = first_labels(clips, ACTIONS), first_labels(clips, ACTIONS, nothing)
    for clip in clips:
        np.testing.assert_array_equal(plain.soft[clip.name], pinned.soft[clip.name])
        np.testing.assert_array_equal(plain.hard[clip.name], pinned.hard[clip.name])


def test_a_long_known_segment_may_be_longer_than_lengths_expect() -> None:
    transcript = [0, 1, 2, 3] * 5
    known = np.full(200, NO_ACTION)
    known[2:180] = 2
    placed = place(np.zeros((200, 4)), transcript, LENGTHS, allowed_actions(known, 4))
    assert (placed.soft[2:180, 2] == 1).all()
    assert len(placed.lengths) == 20 and placed.lengths.sum() == pytest.approx(200)


@settings(max_examples=40)
@given(seed=SEEDS, ticks=st.integers(8, 60), step=st.integers(2, 9))
def test_a_coarse_grid_always_has_room_for_the_order(seed: int, ticks: int, step: int) -> None:
    transcript, _, known = pinned_case(seed, ticks, most=-(-ticks // step))
    coarse = on_steps(allowed_actions(known, 4), transcript, step)
    assert reachable(coarse, transcript)[0].tolist() == [True] + [False] * (len(transcript) - 1)


def test_what_is_impossible_has_no_probability() -> None:
    known = np.array([NO_ACTION, 0, NO_ACTION, NO_ACTION, 2, NO_ACTION])
    soft = constrained(np.full((6, 4), 0.25), allowed_actions(known, 4), [0, 1, 2])
    expected = np.array([[1, 0, 0], [1, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0, 1], [0, 0, 1]])
    np.testing.assert_allclose(soft[:, :3], expected)
    assert not soft[:, 3].any()


# --- first labels -----------------------------------------------------------------------------------------------------


def pins_of(clips: list[Clip], share: float) -> dict[str, Any]:
    random = np.random.default_rng(5)
    return {clip.name: np.where(random.random(clip.ticks) < share, clip.actions, NO_ACTION) for clip in clips}


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_first_labels_pass_through_every_pin_and_are_better_for_it(share: float) -> None:
    clips = make_clips(8, noise=3.0)
    pins = pins_of(clips[:6], share)
    plain, found = first_labels(clips, ACTIONS), first_labels(clips, ACTIONS, pins)
    for clip in clips[:6]:
        known = pins[clip.name] != NO_ACTION
        np.testing.assert_array_equal(found.hard[clip.name][known], clip.actions[known])
        np.testing.assert_array_equal(found.soft[clip.name][known], np.eye(ACTIONS)[clip.actions[known]])
        merged = [action for action, _ in itertools.groupby(found.hard[clip.name].tolist())]
        assert merged == [action for action, _ in itertools.groupby(clip.transcript)]
    assert accuracy(found.hard, clips) > accuracy(plain.hard, clips)


def test_a_clip_known_throughout_returns_its_pins_with_a_transcript_or_without() -> None:
    clips = make_clips(4)
    quick = replace(clips[1], inputs=clips[1].inputs[::6], actions=clips[1].actions[::6], transcript=())
    quick = replace(quick, name="quick", transcript=())
    everything = [clips[0], replace(clips[1], transcript=()), *clips[2:], quick]
    pins = {clip.name: clip.actions for clip in (everything[0], everything[1], quick)}
    found = first_labels(everything, ACTIONS, pins)
    for name, actions in pins.items():
        np.testing.assert_array_equal(found.hard[name], actions)
        np.testing.assert_array_equal(found.soft[name], np.eye(ACTIONS)[actions])


def test_both_ticks_of_a_boundary_fix_it() -> None:
    clips = make_clips(4)
    known = np.full(clips[0].ticks, NO_ACTION)
    at = int(np.flatnonzero(np.diff(clips[0].actions))[1]) + 5  # not where it really is
    known[[at - 1, at]] = clips[0].transcript[1:3]
    hard = first_labels(clips, ACTIONS, {clips[0].name: known}).hard[clips[0].name]
    assert at in np.flatnonzero(np.diff(hard)) + 1


def test_nothing_is_said_of_unknown_ticks_without_an_order() -> None:
    clips = [*make_clips(4), replace(make_clips(1, seed=7)[0], transcript=())]
    known = np.where(np.arange(clips[4].ticks) < 20, clips[4].actions, NO_ACTION)
    found = first_labels(clips, ACTIONS, {clips[4].name: known})
    np.testing.assert_array_equal(found.hard[clips[4].name], known)
    assert found.soft[clips[4].name].sum(1).tolist() == [1.0] * 20 + [0.0] * (clips[4].ticks - 20)
    almost = np.where(np.arange(len(known)) < len(known) - 2, clips[4].actions, NO_ACTION)
    assert order_of(almost) == order_of(clips[4].actions)
    assert order_of(known) == () and order_of(clips[4].actions) == tuple(
        action for action, _ in itertools.groupby(clips[4].actions.tolist())
    )


def clip_with(ticks: int, transcript: tuple[int, ...]) -> Clip:
    return Clip("a", np.zeros((ticks, 2)), np.zeros(ticks, np.int64), transcript)


@pytest.mark.parametrize(
    ("clip", "known", "message"),
    [
        (clip_with(5, (0, 1)), [1, NO_ACTION, NO_ACTION, NO_ACTION, 0], "contradict the transcript at known tick 0"),
        (clip_with(5, (0, 1)), [0, NO_ACTION, 1, NO_ACTION, 0], "contradict the transcript at known tick 4"),
        (clip_with(5, (0, 1, 2)), [0, 0, 0, 0, 0], "contradict the transcript after the last known tick"),
        (clip_with(5, (0, 1)), [0, 3, NO_ACTION, NO_ACTION, 1], "tick 1 is known as action 3, which its transcript"),
        (clip_with(5, (0, 1)), [0, 9, NO_ACTION, NO_ACTION, 1], "tick 1 is known as action 9; expected ids below 4"),
        (clip_with(5, (0, 1)), [0, 0, 0], r"known ticks have shape \(3,\)"),
        (clip_with(3, (0, 1, 0, 1)), [0, NO_ACTION, 1], "a transcript of 4 actions, known ticks, and 3 ticks"),
        (clip_with(5, ()), [NO_ACTION] * 5, "there is no clip to learn from"),
    ],
)
def test_pins_that_can_not_be_kept_are_refused_by_name(clip: Clip, known: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as refused:
        first_labels([clip], ACTIONS, {"a": np.array(known)})
    assert "\n" not in str(refused.value)


def test_pins_of_a_clip_that_is_not_there_are_refused() -> None:
    with pytest.raises(DatasetError, match="known ticks of stranger, which is none of 2 clips"):
        first_labels(make_clips(2), ACTIONS, {"stranger": np.zeros(3, np.int64)})


def test_squeezing_is_refused_beside_known_ticks() -> None:
    with pytest.raises(DatasetError, match="4 segments and known ticks in 3 ticks"):
        most_correct(np.full((3, 4), 0.25), [0, 1, 2, 3], np.ones((3, 4), np.bool_))
