"""What an alignment knows of its own errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hal_ros.core.answers import NO_ACTION
from hal_ros.labels.transcripts.conventions import Conventions, boundaries_of
from hal_ros.labels.transcripts.first_labels import first_labels
from hal_ros.labels.transcripts.restarts import RESTARTS, Restarts, restarts
from synthetic_clips import ACTIONS, make_clips

NOTHING_TO_SAY = Restarts({}, 1.0, 10.0)


def alignments(*lengths: tuple[int, int, int]) -> list[np.ndarray]:
    return [np.repeat([0, 2, 1], one) for one in lengths]


def test_clear_clips_are_no_guess_and_noise_is() -> None:
    for noise in (0.3, 1e3):
        clips = make_clips(8, noise=noise)
        found = restarts(clips, ACTIONS)
        assert found is not None and found.versions.keys() == {clip.name for clip in clips}
        assert all(len(versions) == 2 * RESTARTS for versions in found.versions.values())
        assert bool(found.guess()) == (noise > 1)


def test_an_alignment_guesses_where_half_of_its_boundaries_are_anywhere() -> None:
    found = Restarts({"a": alignments((4, 8, 8), (4, 6, 10), (4, 10, 6))}, 1.0, 20.0)
    assert found.spread_share == pytest.approx(np.median([0, np.std([12, 10, 14])]) / 20)
    assert not found.guess()
    assert "0.27 of a mean segment apart" in replace(found, mean_segment_ticks=3.0).guess()


def test_an_alignment_guesses_where_what_it_learnt_holds_for_no_other_clip() -> None:
    assert not NOTHING_TO_SAY.guess()
    assert "does not hold for the others (-3.0 nats a step)" in replace(NOTHING_TO_SAY, held_out_nats=-3.0).guess()


def test_annotations_are_not_looked_at() -> None:
    clips = make_clips(4)
    blind = [replace(clip, actions=np.full(clip.ticks, 3)) for clip in clips]
    found, again = restarts(clips, ACTIONS, seed=3), restarts(blind, ACTIONS, seed=3)
    assert found is not None and again is not None
    for name, versions in found.versions.items():
        assert all((one == other).all() for one, other in zip(versions, again.versions[name], strict=True))


def test_known_clips_teach_and_are_beyond_doubt() -> None:
    clips = make_clips(4, noise=30.0)
    marked = np.where(np.arange(clips[1].ticks) < 40, clips[1].actions, NO_ACTION)
    found = restarts(clips, ACTIONS, {clips[0].name: clips[0].actions, clips[1].name: marked})
    assert found is not None and clips[0].name not in found.versions
    known = boundaries_of(clips[1].actions[:40])
    for version in found.versions[clips[1].name]:
        assert abs(boundaries_of(version)[: len(known)] - known).max() <= 3  # less than a step


def test_conventions_move_them_as_they_move_the_labels() -> None:
    clips = make_clips(4)
    pairs = {(before, after): 2.0 for before in range(ACTIONS) for after in range(ACTIONS)}
    first = first_labels(clips, ACTIONS)
    found, moved = (
        restarts(clips, ACTIONS, judged=replace(first, conventions=conventions))
        for conventions in (Conventions(), Conventions(pairs))
    )
    assert found is not None and moved is not None
    for one, other in zip(found.versions[clips[0].name], moved.versions[clips[0].name], strict=True):
        assert (boundaries_of(other) - boundaries_of(one) == 2).all()


def test_nothing_confirms_a_single_clip() -> None:
    assert restarts(make_clips(1), ACTIONS) is None
