"""What the first labels are found on."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from hal_ros.train.first_look import first_look_clips
from hal_ros.train.tracks import Track

GRID = (6, 5, 3)


def make_track(name: str, joints_known: float) -> Track:
    random = np.random.default_rng(len(name))
    feature = random.normal(size=(9, 90)).astype(np.float16)
    valid = np.full((9, 6), joints_known, np.float32)
    lit = np.array([1, 1, 0, 1, 1, 1, 1, 1, 1], np.float32)
    return Track(name, feature, lit, np.ones((9, 6), np.float32), valid, np.zeros(9, np.int64), (0,))


def test_joints_are_enough_and_unknown_ones_are_missing():
    clips = first_look_clips([make_track("a", 1.0), make_track("bb", 0.0)], GRID)
    assert clips[0].inputs.shape == (9, 6)
    assert (clips[0].inputs == 1).all()
    assert np.isnan(clips[1].inputs).all()
    assert clips[0].transcript == (0,)


def test_without_joints_pictures_are_pooled_once(tmp_path):
    tracks = [make_track("a", 0.0), make_track("bb", 0.0)]
    clips = first_look_clips(tracks, GRID, tmp_path)
    assert clips[0].inputs.shape == (9, 4 * 4 * 3)
    assert np.isnan(clips[0].inputs[2]).all()
    whole = tracks[0].feature[0].astype(np.float32).reshape(6, 5, 3)
    np.testing.assert_allclose(clips[0].inputs[0][:3], whole[:1, :1].mean((0, 1)), atol=1e-6)
    np.testing.assert_allclose(clips[0].inputs[0][-3:], whole[4:, 3:].mean((0, 1)), atol=1e-6)
    (kept,) = tmp_path.iterdir()
    again = first_look_clips(tracks, GRID, tmp_path)
    np.testing.assert_array_equal(again[1].inputs, clips[1].inputs)
    changed = [tracks[0]._replace(feature=tracks[0].feature + 1), tracks[1]]
    first_look_clips(changed, GRID, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert kept.exists()
