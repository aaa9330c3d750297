"""The first labels: found from transcripts alone, better than equal shares, and defined where data are odd."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from hal_ros.core.errors import DatasetError
from hal_ros.datasets.clips import Clip
from hal_ros.labels.transcripts import first_labels as labelling
from hal_ros.labels.transcripts import learned_actions as module
from hal_ros.labels.transcripts.durations import place
from hal_ros.labels.transcripts.first_labels import first_labels
from hal_ros.labels.transcripts.grids import STEPS
from synthetic_clips import ACTIONS, FEATURES, accuracy, make_clips


def equal_shares(clips: Any) -> dict[Any, Any]:
    return {c.name: np.array(c.transcript)[np.arange(c.ticks) * len(c.transcript) // c.ticks] for c in clips}


def test_transcripts_alone_find_the_changes() -> None:
    clips = make_clips(30)
    found = first_labels(clips, ACTIONS)
    assert accuracy(found.hard, clips) > 0.92 > 0.88 > accuracy(equal_shares(clips), clips)
    assert found.durations.mean == pytest.approx(18, rel=0.15)
    for clip in clips:
        assert found.soft[clip.name].shape == (clip.ticks, ACTIONS)
        np.testing.assert_allclose(found.soft[clip.name].sum(1), 1, atol=1e-5)
        assert found.hard[clip.name][[0, -1]].tolist() == [clip.transcript[0], clip.transcript[-1]]


def test_annotations_are_not_looked_at() -> None:
    clips = make_clips(6)
    blind = [replace(clip, actions=np.full(clip.ticks, 3)) for clip in clips]
    found, again = first_labels(clips, ACTIONS), first_labels(blind, ACTIONS)
    for name, labels in found.hard.items():
        np.testing.assert_array_equal(labels, again.hard[name])


def test_odd_data_have_odd_labels_and_no_failure() -> None:
    clips = make_clips(4)
    broken = clips[0].inputs.copy()
    broken[:, 0], broken[:, 1], broken[5] = np.nan, 7.0, np.inf
    one = Clip("one frame", clips[0].inputs[:1], clips[0].actions[:1], (2,))
    crowded = Clip("more actions than ticks", clips[0].inputs[:3], clips[0].actions[:3], (0, 1, 2, 3, 0))
    repeated = replace(clips[1], name="repeated", transcript=tuple(np.repeat(clips[1].transcript, 2).tolist()))
    everything = [replace(clips[0], inputs=broken), *clips[1:], one, crowded, repeated]
    found = first_labels(everything, ACTIONS + 2)  # and two actions that never occur
    for clip in everything:
        assert np.isfinite(found.soft[clip.name]).all()
        assert len(found.hard[clip.name]) == clip.ticks
    assert found.hard["one frame"].tolist() == [2]
    for width in (FEATURES, 70):
        constant = [replace(clip, inputs=np.ones((clip.ticks, width))) for clip in clips]
        assert all(np.isfinite(soft).all() for soft in first_labels(constant, ACTIONS).soft.values())


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (Clip("a", np.zeros((5, 2)), np.zeros(5, np.int64), ()), "clip a has an empty transcript"),
        (Clip("a", np.zeros((5, 2)), np.zeros(5, np.int64), (0, 9)), "clip a: transcript holds action 9"),
        (Clip("a", np.zeros((0, 2)), np.zeros(0, np.int64), (0,)), "clip a has no ticks"),
    ],
)
def test_what_can_not_be_laid_is_refused_by_name(clip: Clip, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        first_labels([clip], ACTIONS)


def test_a_short_clip_beside_long_ones_keeps_all_its_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    (short,) = make_clips(1, segments=6)
    short = replace(short, inputs=short.inputs[::3], actions=short.actions[::3])  # about 40 ticks
    long = [
        replace(clip, inputs=np.repeat(clip.inputs, 37, 0), actions=np.repeat(clip.actions, 37))
        for clip in make_clips(6, seed=1, segments=6)  # about 4000 ticks each
    ]
    sizes = []

    def watched(scores: Any, *more: Any) -> Any:
        sizes.append(len(scores))
        return place(scores, *more)

    monkeypatch.setattr(module, "place", watched)
    found = first_labels([short, *long], ACTIONS)
    assert [action for action, _ in itertools.groupby(found.hard[short.name])] == list(short.transcript)
    assert accuracy({short.name: found.hard[short.name]}, [short]) > 0.8
    assert 2 * len(short.transcript) <= sizes[0] <= short.ticks
    assert max(sizes) < 2 * max(STEPS.values()) * len(short.transcript)  # it makes nobody else's grid finer


def test_ticks_of_a_finer_grid_count_as_much_as_others() -> None:
    """Durations come out in ticks whatever the grid of a clip: here one half of the clips has a finer one."""
    slow = make_clips(10)
    slow = [
        replace(
            clip, name=f"slow-{clip.name}", inputs=np.repeat(clip.inputs, 12, 0), actions=np.repeat(clip.actions, 12)
        )
        for clip in slow
    ]
    quick = make_clips(10, seed=1)
    found = first_labels([*slow, *quick], ACTIONS)
    lengths = [len(list(ticks)) for hard in found.hard.values() for _, ticks in itertools.groupby(hard)]
    assert found.durations.mean.mean() == pytest.approx(np.mean(lengths), rel=0.1)


@pytest.mark.parametrize("width", [FEATURES, 70])
def test_one_tick_alone_is_labelled(width: Any) -> None:
    one = Clip("one frame", np.ones((1, width)), np.zeros(1, np.int64), (2,))
    found = first_labels([one], ACTIONS)
    assert found.hard["one frame"].tolist() == [2]
    assert found.soft["one frame"].tolist() == [[0, 0, 1, 0]]
    assert np.isfinite(found.durations.mean).all() and np.isfinite(found.durations.variation).all()


def two_parts(count: int) -> list[Clip]:
    """Clips of actions whose halves look unlike: each second half of one look, each first half of another."""
    random, clips = np.random.default_rng(0), []
    for number in range(count):
        order = [*random.permutation(ACTIONS).tolist(), *random.permutation(ACTIONS).tolist()]
        order = [action for action, _ in itertools.groupby(order)]
        parts = [np.full(random.integers(8, 12) * (1 + 2 * (action == 2)), action) for action in order]
        looks = [2 * one + (np.arange(len(one)) > 0.5 * len(one)) for one in parts]
        actions, seen = np.concatenate(parts), np.eye(2 * ACTIONS)[np.concatenate(looks)]
        clips.append(Clip(f"clip {number}", seen + 0.1 * random.normal(size=seen.shape), actions, tuple(order)))
    return clips


def test_actions_of_two_parts_have_two_states_and_noise_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = two_parts(8)
    found = first_labels(clips, ACTIONS)
    assert found.states == 2 and found.durations.mean.shape == (ACTIONS,)
    assert accuracy(found.hard, clips) > 0.9
    random = np.random.default_rng(1)
    noise = [replace(clip, inputs=random.normal(size=clip.inputs.shape)) for clip in clips]
    assert first_labels(noise, ACTIONS).states == 1
    monkeypatch.setattr(labelling, "best_states", lambda *_: 1)
    assert accuracy(first_labels(clips, ACTIONS).hard, clips) < accuracy(found.hard, clips) - 0.02
