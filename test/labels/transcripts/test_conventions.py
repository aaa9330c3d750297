"""Boundaries that all alignments misplace alike are moved by what a few known ones show; noise moves none."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.core.answers import NO_ACTION
from hal_ros.labels.transcripts.conventions import (
    Conventions,
    KnownOffset,
    boundaries_of,
    known_offsets,
    learn_conventions,
    moved_boundaries,
    warped,
)
from hal_ros.labels.transcripts.first_labels import first_labels
from synthetic_clips import ACTIONS, accuracy, make_clips


def offsets_of(pair: tuple[int, int], *ticks: float) -> list[KnownOffset]:
    return [KnownOffset(pair, one) for one in ticks]


def test_a_constant_offset_is_believed_and_more_so_the_oftener_it_is_seen() -> None:
    once, often = (learn_conventions(offsets_of((0, 1), *[10.0] * count), 30.0) for count in (1, 8))
    assert 9.0 < once.offset(0, 1) < often.offset(0, 1) <= 10.0
    assert learn_conventions(offsets_of((0, 1), 1.0), 100.0).offset(0, 1) < 0.1  # less than what all boundaries vary


def test_pairs_that_were_not_seen_share_their_actions_parts() -> None:
    seen = [*offsets_of((0, 1), 10, 10, 10), *offsets_of((0, 2), 10, 10, 10), *offsets_of((3, 4), 0, 0, 0)]
    found = learn_conventions(seen, 30.0)
    assert 2.0 < found.offset(0, 4) < 10.0  # what ends with action 0 ends late
    assert found.offset(5, 6) == 0.0


def test_scattered_offsets_move_nothing() -> None:
    random = np.random.default_rng(0)
    noise = [KnownOffset((0, 1), 10.0 + 40.0 * random.normal()) for _ in range(50)]
    assert learn_conventions(noise, 30.0) == Conventions() == learn_conventions([], 30.0)


def test_only_boundaries_known_on_both_sides_are_measured() -> None:
    held = np.repeat([0, 1, 2], [5, 5, 5])
    known = np.full(15, NO_ACTION)
    known[[4, 5, 10]] = [0, 1, 2]
    free = np.repeat([0, 1, 2], [3, 7, 5])
    assert list(known_offsets(known, held, free)) == [KnownOffset((0, 1), 2.0)]
    assert not list(known_offsets(held, held, np.repeat([0, 1], [7, 8])))


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    ends=st.lists(st.floats(-30, 30), min_size=8, max_size=8),
)
def test_moved_boundaries_rise_and_leave_each_segment_a_tick(lengths: list[int], ends: list[float]) -> None:
    labels = np.repeat(np.arange(len(lengths)), lengths)
    moved = moved_boundaries(labels, Conventions(ends=dict(enumerate(ends))))
    assert np.diff(moved, prepend=0, append=len(labels)).min() >= 1
    assert moved_boundaries(labels, Conventions()).tolist() == boundaries_of(labels).tolist()


def test_fixed_boundaries_stay_and_others_move() -> None:
    labels = np.repeat([0, 1, 2], [10, 10, 10])
    late = Conventions(pairs={(0, 1): 3.0, (1, 2): -2.0})
    assert moved_boundaries(labels, late).tolist() == [13, 18]
    assert moved_boundaries(labels, late, [True, False]).tolist() == [10, 18]


def test_what_lies_between_boundaries_goes_along() -> None:
    rows = np.repeat([0.0, 1.0, 2.0], [10, 10, 10])
    np.testing.assert_array_equal(
        warped(rows, np.array([10, 20]), np.array([4, 25])), np.repeat([0.0, 1.0, 2.0], [4, 21, 5])
    )
    np.testing.assert_array_equal(warped(rows, np.array([10, 20]), np.array([10, 20])), rows)


def with_another_convention(clips: Any, ticks: int) -> list[Any]:
    """Return the clips as one annotates them who lets every action begin `ticks` later than its looks do."""
    return [
        replace(clip, actions=np.concatenate([np.repeat(clip.actions[:1], ticks), clip.actions[:-ticks]]))
        for clip in clips
    ]


def test_one_annotated_clip_teaches_the_convention_to_all_others() -> None:
    clips = with_another_convention(make_clips(12, segments=8), 5)
    plain = first_labels(clips, ACTIONS)
    found = first_labels(clips, ACTIONS, {clips[0].name: clips[0].actions})
    assert accuracy(plain.hard, clips[1:]) < 0.8
    assert accuracy(found.hard, clips[1:]) > 0.85
    for clip in clips:
        assert [action for action, _ in itertools.groupby(found.hard[clip.name].tolist())] == list(clip.transcript)
        np.testing.assert_allclose(found.soft[clip.name].sum(1), 1, atol=1e-5)
    assert np.mean(list(found.conventions.pairs.values())) == pytest.approx(4, abs=1.5)  # 5, drawn to 0
    assert not plain.conventions.pairs


def test_a_pinned_boundary_is_not_moved() -> None:
    clips = with_another_convention(make_clips(8), 5)
    known = np.full(clips[1].ticks, NO_ACTION)
    at = int(boundaries_of(clips[1].actions)[1])
    known[[at - 1, at]] = clips[1].actions[[at - 1, at]]
    found = first_labels(clips, ACTIONS, {clips[0].name: clips[0].actions, clips[1].name: known})
    assert found.conventions.pairs
    assert at in boundaries_of(found.hard[clips[1].name])
