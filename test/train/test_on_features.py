"""Training on a folder of feature vectors and transcripts: from the files to labels, predictions and scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("torch")

from feature_folder import SMALL, VOCABULARY, WIDTH, write_folder, write_settings
from hal_ros.core.errors import ConfigError, DatasetError, HalError
from hal_ros.datasets.formats.layout_files import write_clip_files, write_dataset_files
from hal_ros.metrics.segmentation import Pair, edit_score
from hal_ros.outside.outputs import alone_in
from hal_ros.train.config import load_config
from hal_ros.train.on_features import (
    FeaturePredictions,
    load_feature_model,
    read_features,
    train_folds,
    train_on,
    train_on_features,
)

pytestmark = pytest.mark.torch

ACTIONS = ("reach", "grasp", "lift")
MEANS = np.random.default_rng(5).normal(size=(3, 4)) * 3
RATE_HZ, STRIDE = 20, 2
SETTINGS = {
    "name": "mine",
    "supervision": "transcripts",
    "teacher": {"width": 16, "heads": 2, "feed_forward": 16, "visual_width": 8, "action_width": 8, "start_epochs": 3},
    "model": {"width": 16, "heads": 2, "lookback": [3, 5], "feed_forward": 32},
    "batches": {"streams": 3, "chunk_ticks": 16},
    "optimiser": {"epochs": 6, "learning_rate": 0.01},
}


def write_clip(folder: Path, name: str, random: np.random.Generator, annotated: bool = True) -> None:
    """Write features (D, T) of the three actions in random order, and what is known of it."""
    order = random.permutation(3)
    labels = np.repeat(order, random.integers(30, 50, 3))
    features = (MEANS[labels] + random.normal(size=(len(labels), 4)) * 0.5).astype(np.float32)
    names = [ACTIONS[action] for action in labels] if annotated else None
    write_clip_files(folder, name, features.T, names, [ACTIONS[action] for action in order])


def write_dataset(folder: Path, training: int = 8) -> None:
    """Write a dataset whose training clips have transcripts alone; the two test clips have ground truth."""
    random = np.random.default_rng(0)
    names = {"train": [f"a{index}" for index in range(training)], "test": ["z0", "z1"]}
    for subset, listed in names.items():
        for name in listed:
            write_clip(folder, name, random, annotated=subset == "test")
    write_dataset_files(folder, ACTIONS, names, "1")


def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[FeaturePredictions | None, Path]:
    """Train in tmp_path; returns what was said of the test clips and the only run's folder."""
    monkeypatch.chdir(tmp_path)
    own = {"layout": "atba", "folder": "data", "rate_hz": RATE_HZ / STRIDE, "stride": STRIDE, "lag_ticks": 2}
    Path("mine.yaml").write_text(yaml.safe_dump({**SETTINGS, "data": own}))
    decoded = train_on_features(load_config(Path("mine.yaml")))
    return decoded, next(iter(Path("runs").glob("mine-*")), Path("none"))


def test_features_and_transcripts_become_labels_and_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(tmp_path / "data")
    decoded, folder = train(tmp_path, monkeypatch)
    assert "7 training, 1 held-out clips, 4 values" in capsys.readouterr().out
    assert decoded is not None
    assert {row.metric for row in decoded.rows} >= {"MoF", "Edit", "F1@50"}
    assert len(list((folder / "aligned").glob("*.txt"))) == 8
    assert not (folder / "predictions").exists()
    decoded.write_labels()
    right = []
    for name in ("z0", "z1"):
        lines = (folder / "predictions" / f"{name}.txt").read_text().splitlines()
        truth = (tmp_path / "data" / "groundTruth" / f"{name}.txt").read_text().splitlines()
        assert len(lines) == len(truth), "one label a frame, whatever the stride"
        right += [one == other for one, other in zip(lines, truth, strict=True)]
    assert np.mean(right) > 0.8


def test_aligned_labels_keep_to_the_transcript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(tmp_path / "data")
    _, folder = train(tmp_path, monkeypatch)
    for path in (folder / "aligned").glob("*.txt"):
        lines = path.read_text().splitlines()
        order = [line for line, before in zip(lines, [None, *lines], strict=False) if line != before]
        assert order == (tmp_path / "data" / "transcripts" / path.name).read_text().split()


def test_a_lone_training_clip_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(tmp_path / "data", training=1)
    with pytest.raises(DatasetError, match="1 training clips can be used; expected two or more"):
        train(tmp_path, monkeypatch)


# --- background, groups, seldom actions -------------------------------------------------------------------------------


def test_background_is_left_out_of_segments_and_a_group_is_never_on_two_sides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"optimiser": {"epochs": 2}, "supervision": "transcripts"}
    settings |= {"teacher": {**SMALL["teacher"], "stride_ticks": 2}}
    data = {"split": "leave-out:carl", "groups": "groups.csv"}
    path = write_settings(tmp_path / "mine.yaml", write_folder(tmp_path / "data"), settings, **data)
    place, (predictions,) = train_folds(load_config(path), tmp_path / "run")
    assert place == tmp_path / "run"
    assert {clip.name for clip in predictions.said.clips} == {"carl-0", "carl-1"}
    assert predictions.said.fold == "without carl"
    assert predictions.model.unscored == ((3,), (3,))
    rows = {(row.output, row.metric): row.mean for row in predictions.rows}
    assert rows["confirmed", "MoF-Bg"] is not None
    pairs = [
        Pair(clip.truth, said["confirmed"].labels)
        for clip, said in zip(predictions.said.clips, predictions.said.outputs, strict=True)
    ]
    assert rows["confirmed", "Edit"] == pytest.approx(edit_score(pairs, (3,))) != edit_score(pairs)
    printed = capsys.readouterr().out
    assert "held out to choose by: all 2 clips of dora" in printed
    assert "rate: 10 ticks a second, one in 3 frames" in printed
    assert "left out of Edit and F1 as published: background" in printed


def test_a_finished_run_answers_as_it_did_when_it_was_trained(tmp_path: Path) -> None:
    path = write_settings(tmp_path / "mine.yaml", write_folder(tmp_path / "data"), {"optimiser": {"epochs": 1}})
    predictions = train_on_features(load_config(path), tmp_path / "run")
    assert predictions is not None
    found = load_feature_model(tmp_path / "run")
    assert (found.width, found.orientation, found.vocabulary) == (WIDTH, "DT", VOCABULARY)
    assert found.learned == (0, 1, 2, 3)
    assert (found.decoder, found.temperatures) == (predictions.model.decoder, predictions.model.temperatures)
    clip, before = predictions.run.fold.test[0], predictions.said.clips[0]
    np.testing.assert_array_equal(found.answer(clip).lagged_log_probs, before.lagged_log_probs)
    with pytest.raises(DatasetError, match=r"features.json: .*No such file.*; expected a finished run"):
        load_feature_model(tmp_path)


def test_an_action_in_test_alone_is_told_and_scored_as_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "data", (*VOCABULARY, "serve"))
    for name in ("anna-0", "anna-1"):
        truth = folder / "groundTruth" / f"{name}.txt"
        truth.write_text("serve\n" * len(truth.read_text().split()))
    path = write_settings(tmp_path / "mine.yaml", folder, {"optimiser": {"epochs": 1}})
    predictions = train_on_features(load_config(path), tmp_path / "run")
    assert "test: 1 actions never occur in training (serve): 2 segments" in capsys.readouterr().out
    assert predictions is not None
    assert {row.mean for row in predictions.rows if row.metric == "MoF"} == {0.0}


def test_clips_that_are_all_shorter_than_the_lag_are_refused_before_training(tmp_path: Path) -> None:
    path = write_settings(tmp_path / "mine.yaml", write_folder(tmp_path / "data"), lag_ticks=999)
    with pytest.raises(DatasetError, match="none of 1 held-out clips is longer than the lag of 999 ticks"):
        train_on_features(load_config(path), tmp_path / "run")
    assert not (tmp_path / "run").exists()


HOSTILE: dict[str, Any] = {
    "vocabulary": [list(VOCABULARY[:2]), [1, 2, 3, 4], "abcd", ["a"] * 4, ["a\nb", "c", "d", "e"]],
    "temperatures": [[0, 1], [1], "ab", [float("nan"), 1]],
    "learned": [[99], ["a"], [True]],
    "unscored": [None, {"frames": [-1], "segments": []}, {"frames": []}],
    "width": [6, -1, "5"],
    "orientation": ["XX", None],
    "decoder": [None, {"kind": "best"}, {"hold_ticks": -1}, {"boundary_delay_ticks": 99}, {"kind": "duration"}],
}


def test_an_account_of_a_run_that_can_not_be_is_refused(tmp_path: Path) -> None:
    path = write_settings(tmp_path / "mine.yaml", write_folder(tmp_path / "data"), {"optimiser": {"epochs": 1}})
    run = read_features(load_config(path), tmp_path / "run")
    with alone_in(tmp_path / "run"), pytest.raises(ConfigError, match="another call is at work there"):
        train_on(run)
    train_on(run)
    about = tmp_path / "run" / "features.json"
    right = json.loads(about.read_text())
    for key, values in HOSTILE.items():
        for value in values:
            about.write_text(json.dumps(right | {key: value}))
            with pytest.raises(HalError, match=rf"features\.json: .*{key}"):
                load_feature_model(tmp_path / "run")
    about.write_text(json.dumps(right))
    model = load_feature_model(tmp_path / "run")
    with pytest.raises(DatasetError, match=r"clip huge: the model gives no number at \d+ of \d+ ticks"):
        model.labels(np.full((9, WIDTH), 3e38, np.float32), "huge")
