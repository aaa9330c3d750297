"""Episodes become tracks: one for each fresh grid, with or without annotation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.datasets import features
from hal_ros.datasets.encoded_clips import load_encoded_clips, measure, measure_values
from hal_ros.datasets.episodes import Episode, save
from synthetic_episodes import make_encoded_clips

TICKS = 8
EPISODE = Episode(
    name="demo",
    stamp_ns=np.arange(TICKS),
    fresh=np.eye(1, TICKS, dtype=bool)[0],
    held=np.zeros(TICKS, bool),
    image_valid=np.ones((TICKS, 1), np.float32),
    images={"camera": np.zeros((TICKS, 2, 2, 3), np.uint8)},
    joints=np.zeros((TICKS, 6), np.float32),
    joints_valid=np.ones((TICKS, 6), np.float32),
    actions=np.zeros(TICKS, np.int64),
    transcript=("reach", "grasp", "reach"),
    counters={},
)
WORDS = ("grasp", "reach")


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Save an episode and load its tracks, with features that count the ticks."""
    monkeypatch.setattr(features, "cached", lambda folder, _, cameras: (folder,) * len(cameras))
    monkeypatch.setattr(features, "load", lambda _: np.arange(TICKS, dtype=np.float16)[:, None])

    def saved_and_loaded(episode: Episode, vocabulary: tuple[str, ...] = WORDS) -> Any:
        save(episode, tmp_path)
        return load_encoded_clips(tmp_path, tmp_path / "encoder.onnx", vocabulary)

    return saved_and_loaded


def test_an_episode_is_one_track_with_its_transcript(load: Any) -> None:
    (encoded,) = load(EPISODE)
    assert (encoded.name, encoded.ticks, encoded.transcript) == ("demo", TICKS, (1, 0, 1))
    np.testing.assert_array_equal(encoded.actions, EPISODE.actions)


def test_without_annotation_no_action_is_known(load: Any) -> None:
    (encoded,) = load(replace(EPISODE, actions=None))
    assert (encoded.actions == NO_ACTION).all()
    assert encoded.transcript == (1, 0, 1)


def test_each_fresh_grid_is_a_track_and_nobody_knows_its_part_of_the_transcript(load: Any) -> None:
    fresh = EPISODE.fresh.copy()
    fresh[5] = True
    first, second = load(replace(EPISODE, fresh=fresh))
    assert (first.name, second.name) == ("demo#1", "demo#2")
    assert (first.features[0][:, 0].tolist(), second.features[0][:, 0].tolist()) == ([0, 1, 2, 3, 4], [5, 6, 7])
    assert first.transcript == second.transcript == ()


def test_a_transcript_with_an_unknown_action_is_refused(load: Any) -> None:
    with pytest.raises(DatasetError, match="names reach; expected grasp"):
        load(EPISODE, ("grasp",))
    assert load(EPISODE, ())[0].transcript == ()  # nobody asked


def test_means_and_spreads_are_those_of_valid_values() -> None:
    values = np.array([[1.0, 5, 7], [3, 99, 7], [99, 5, 7]])
    valid = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0]])
    mean, std = measure_values(values, valid)
    np.testing.assert_allclose(mean, [2, 5, 0])
    np.testing.assert_allclose(std, [1, 1e-3, 1])
    np.testing.assert_allclose(measure_values(values, np.array([[1], [1], [0]]))[0], [2, 52, 7])


def test_channels_are_measured_over_pictures_alone() -> None:
    encoded_clips = make_encoded_clips(3, seed=0)
    expected = measure(encoded_clips, 4)
    dark = replace(
        encoded_clips[0],
        features=(np.full_like(encoded_clips[0].features[0], 9),),
        image_valid=np.zeros_like(encoded_clips[0].image_valid),
    )
    np.testing.assert_allclose(measure([*encoded_clips, dark], 4).channel_mean, expected.channel_mean)


def test_each_camera_is_measured_by_its_own_pictures() -> None:
    one = make_encoded_clips(1, seed=0)[0]
    brighter = (one.features[0] + np.float16(5)).astype(np.float16)
    both = replace(one, features=(one.features[0], brighter), image_valid=np.ones((one.ticks, 2), np.float32))
    found, alone = measure([both], 4), measure([one], 4)
    assert found.channel_mean.shape == found.channel_std.shape == (2, 4)
    np.testing.assert_array_equal(found.channel_mean[0], alone.channel_mean[0])
    np.testing.assert_allclose(found.channel_mean[1], alone.channel_mean[0] + 5, atol=1e-2)


def test_without_cameras_or_without_states_there_is_nothing_to_measure() -> None:
    one = make_encoded_clips(1, seed=0)[0]
    blind = replace(one, features=(), image_valid=np.zeros((one.ticks, 0), np.float32))
    assert measure([blind], 0).channel_mean.shape == (0, 0)
    nothing = np.zeros((one.ticks, 0), np.float32)
    assert measure([replace(one, joints=nothing, joints_valid=nothing)], 4).joint_mean.shape == (0,)


def test_an_episode_without_cameras_needs_no_encoder(tmp_path: Path) -> None:
    save(replace(EPISODE, images={}, image_valid=np.zeros((TICKS, 0), np.float32)), tmp_path)
    (encoded,) = load_encoded_clips(tmp_path, None, WORDS)
    assert (encoded.features, encoded.image_valid.shape) == ((), (TICKS, 0))
