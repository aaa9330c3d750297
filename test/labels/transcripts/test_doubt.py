"""What an alignment knows of its own errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hal_ros.labels.transcripts.doubt import Doubt, Restarts, doubts, is_guessing, restarts, spread_share
from synthetic_clips import ACTIONS, make_clips


def test_doubt_is_where_versions_differ_and_the_worst_comes_first() -> None:
    versions = [{"a": np.repeat([0, 2, 1], lengths)} for lengths in ([4, 8, 8], [4, 6, 10], [4, 10, 6])]
    first, second = doubts(Restarts(versions, 0.0), 0.5)
    assert (first.clip, first.tick, first.before, first.after) == ("a", 12, 2, 1)
    assert first.spread_s == pytest.approx(0.5 * np.std([12, 10, 14]))
    assert (second.tick, second.before, second.after, second.spread_s) == (4, 0, 2, 0.0)


def test_clear_clips_are_no_guess_and_noise_is() -> None:
    for noise in (0.3, 1e3):
        clips = make_clips(8, noise=noise)
        found = restarts(clips, ACTIONS, count=1)
        assert len(found.labels) == 2
        every = doubts(found, 0.1)
        assert len(every) == sum(len(clip.transcript) - 1 for clip in clips)
        assert is_guessing(found, every, 1.8) == (noise > 1)


def test_an_alignment_guesses_where_half_of_its_boundaries_are_anywhere() -> None:
    every = [Doubt("a", 5, 0, 1, spread_s) for spread_s in (0.0, 0.1, 0.9, 1.0, 2.0)]
    found = Restarts([], 1.0)
    assert spread_share(every, 2.0) == pytest.approx(0.45)
    assert is_guessing(found, every, 2.0) and not is_guessing(found, every, 8.0)


def test_the_same_seed_gives_the_same_and_annotations_are_not_looked_at() -> None:
    clips = make_clips(4)
    blind = [replace(clip, actions=np.full(clip.ticks, 3)) for clip in clips]
    found, again = restarts(clips, ACTIONS, count=1, seed=3), restarts(blind, ACTIONS, count=1, seed=3)
    for one, other in zip(found.labels, again.labels, strict=True):
        assert all((one[name] == other[name]).all() for name in one)


def test_known_boundaries_are_beyond_doubt() -> None:
    clips = make_clips(4, noise=30.0)
    every = doubts(restarts(clips, ACTIONS, {clips[0].name: clips[0].actions}, count=1), 0.1)
    spreads = [[one.spread_s for one in every if (one.clip == clips[0].name) is known] for known in (True, False)]
    assert max(spreads[0]) < 0.2 < np.median(spreads[1])  # less than a step


def test_nothing_confirms_a_single_clip() -> None:
    found = restarts(make_clips(1), ACTIONS)
    assert not found.labels and doubts(found, 0.1) == [] and is_guessing(found, [], 2.0)
