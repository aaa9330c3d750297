"""What the first labels are found on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from hal_ros.datasets.encoded_clips import EncodedClip
from hal_ros.experiments.graph import Job, Task
from hal_ros.experiments.jobs import targets
from hal_ros.labels.transcripts.first_inputs import first_input_clips
from hal_ros.train import chain
from hal_ros.train.config import config_from_mapping
from synthetic_episodes import ACTIONS, SETTINGS, make_encoded_clips
from synthetic_episodes import GRID as SYNTHETIC

GRID = (6, 5, 3)


def make_encoded_clip(name: str, joints_known: float) -> EncodedClip:
    random = np.random.default_rng(len(name))
    feature = random.normal(size=(9, 90)).astype(np.float16)
    valid = np.full((9, 6), joints_known, np.float32)
    lit = np.array([1, 1, 0, 1, 1, 1, 1, 1, 1], np.float32)[:, None]
    return EncodedClip(name, (feature,), lit, np.ones((9, 6), np.float32), valid, np.zeros(9, np.int64), (0,))


def test_joints_are_enough_and_unknown_ones_are_missing() -> None:
    clips = first_input_clips([make_encoded_clip("a", 1.0), make_encoded_clip("bb", 0.0)], GRID)
    assert clips[0].inputs.shape == (9, 6)
    assert (clips[0].inputs == 1).all()
    assert np.isnan(clips[1].inputs).all()
    assert clips[0].transcript == (0,)


@pytest.mark.parametrize(("known", "width"), [((1.0, 0.0), 6), ((0.0, 1.0), 4 * 4 * 3)])
def test_what_the_training_tracks_have_decides_for_all_splits(known: tuple[float, ...], width: int) -> None:
    training, validation = [make_encoded_clip("a", known[0])], [make_encoded_clip("bb", known[1])]
    for part in (training, validation):
        (clip,) = first_input_clips(part, GRID, training=training)
        assert clip.inputs.shape == (9, width)


class StopError(Exception):
    """What the test wanted to see was there."""


@pytest.mark.parametrize("blind", ["training", "validation"])
def test_both_callers_let_the_training_tracks_decide(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, blind: str
) -> None:
    def first_labels(clips: Any, *_: Any) -> None:
        widths.append([clip.inputs.shape[1] for clip in clips])
        raise StopError

    widths: list[list[int]] = []
    monkeypatch.setattr(chain.first, "first_labels", first_labels)  # type: ignore[attr-defined]
    monkeypatch.setattr(targets, "first_labels", first_labels)
    splits = {"train": make_encoded_clips(1, 0), "validation": make_encoded_clips(1, 1)}
    name = "train" if blind == "training" else blind
    splits["validation"] = [replace(encoded, name=f"held out {encoded.name}") for encoded in splits["validation"]]
    splits[name] = [replace(encoded, joints_valid=np.zeros_like(encoded.joints_valid)) for encoded in splits[name]]
    monkeypatch.setattr(targets, "load_splits", lambda *_: splits)
    for module in (chain, targets):
        monkeypatch.setattr(module, "grid_of", lambda _: SYNTHETIC)
    config = config_from_mapping({**SETTINGS, "supervision": "transcripts"})
    run = chain.RunSettings(config, tmp_path, lambda _: None)
    with pytest.raises(StopError):
        chain.train_on_encoded_clips(run, ACTIONS, splits["train"], splits["validation"])
    with pytest.raises(StopError):
        targets.first(Task(Job("first", "first", {"vocabulary": "abcd", "config": SETTINGS}), {}, tmp_path), {})
    assert widths == [[16, 16] if blind == "training" else [6, 6]] * 2


def test_without_joints_pictures_are_pooled() -> None:
    encoded_clips = [make_encoded_clip("a", 0.0), make_encoded_clip("bb", 0.0)]
    clips = first_input_clips(encoded_clips, GRID)
    assert clips[0].inputs.shape == (9, 4 * 4 * 3)
    assert np.isnan(clips[0].inputs[2]).all()
    whole = encoded_clips[0].features[0][0].astype(np.float32).reshape(6, 5, 3)
    np.testing.assert_allclose(clips[0].inputs[0][:3], whole[:1, :1].mean((0, 1)), atol=1e-6)
    np.testing.assert_allclose(clips[0].inputs[0][-3:], whole[4:, 3:].mean((0, 1)), atol=1e-6)


def test_pictures_of_all_cameras_are_pooled_side_by_side() -> None:
    one = make_encoded_clip("a", 0.0)
    both = replace(one, features=one.features * 2, image_valid=np.repeat(one.image_valid, 2, 1))
    both.image_valid[4, 1] = 0
    (clip,), (alone,) = first_input_clips([both], GRID), first_input_clips([one], GRID)
    np.testing.assert_array_equal(clip.inputs[:, :48], alone.inputs)
    assert np.isnan(clip.inputs[4, 48:]).all()
    np.testing.assert_array_equal(clip.inputs[5, 48:], alone.inputs[5])
