"""The probe's arithmetic, and that a trial takes away what it says."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

pytest.importorskip("torch")

from synthetic_tracks import ACTIONS, COLUMNS, GRID, SETTINGS, make_tracks

from hal_ros.train import probe
from hal_ros.train.config import TrainConfig, config_from_mapping
from hal_ros.train.probe import Score, Trial
from hal_ros.train.tracks import restrict


def scores(both: float) -> list[Score]:
    """Two seeds a point above and below their means; joints alone are right on 70 %."""
    means = {"joints": 70.0, "camera": 50.0, "both": both}
    return [
        Score(modality, seed, split, mean + offset, mean + offset + 1)
        for modality, mean in means.items()
        for split in probe.SPLITS
        for seed, offset in ((0, -1.0), (1, 1.0))
    ]


def test_rows_hold_mean_and_sample_deviation():
    rows = {(row.modality, row.split): row for row in probe.summarise(scores(85.0))}
    assert len(rows) == 6
    assert rows["both", "unseen"].mean == pytest.approx(85)
    assert rows["both", "unseen"].spread == pytest.approx(2**0.5)
    assert rows["joints", "test"].lagged_mean == pytest.approx(71)


@pytest.mark.parametrize(
    ("both", "matters", "never_hurts"),
    [(80.0, True, True), (79.9, False, True), (69.0, False, True), (68.9, False, False)],
)
def test_the_two_targets_are_judged_on_the_worst_split(tmp_path, both, matters, never_hurts):
    path = tmp_path / "results" / "probe.json"
    better_elsewhere = [
        s._replace(provisional=95.0) if (s.modality, s.split) == ("both", "test") else s for s in scores(both)
    ]
    probe.write_result(path, better_elsewhere, {"seeds": [0, 1]})
    result = json.loads(path.read_text())
    assert (result["vision_matters"], result["camera_never_hurts"]) == (matters, never_hurts)
    assert result["lead_of_both_over_joints_points"]["unseen"] == pytest.approx(both - 70, abs=0.01)
    assert result["seeds"] == [0, 1]


def test_a_trial_sees_its_modality_and_no_dropout_takes_the_rest_of_it():
    config = probe.trial_config(TrainConfig(), Trial("joints", 3), epochs=2)
    assert (config.name, config.seed, config.optimiser.epochs) == ("probe-joints-3", 3, 2)
    assert config.batches.numb == 0
    assert probe.trial_config(TrainConfig(), Trial("camera", 0), 2).batches.blind == 0
    both = probe.trial_config(TrainConfig(), Trial("both", 0), 2)
    assert (both.batches.blind, both.batches.numb) == (TrainConfig().batches.blind, TrainConfig().batches.numb)


@pytest.mark.parametrize("modality", probe.MODALITIES)
def test_a_trial_sees_only_its_modality(modality, monkeypatch, tmp_path):
    config = config_from_mapping(SETTINGS)
    config = replace(config, eye=replace(config.eye, epochs=1), optimiser=replace(config.optimiser, epochs=1))
    monkeypatch.setattr(probe.stages, "grid_of", lambda _: GRID)
    tracks = {name: restrict(make_tracks(2, seed), modality) for seed, name in enumerate(("train", "validation"))}
    model, clips = probe._train(config, ACTIONS, tracks, tmp_path)
    rows = [COLUMNS.split(clip.inputs) for material in clips.values() for clip in material.clips]
    assert all(bool(row.image_valid.any()) == (modality != "joints") for row in rows)
    assert all(bool(row.joints_valid.any()) == (modality != "camera") for row in rows)
    assert model.config.seen == config.eye.width
