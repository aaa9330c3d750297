"""Training on a folder of feature vectors and transcripts: from the files to labels, predictions and scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("torch")

from hal_ros.core.errors import DatasetError
from hal_ros.datasets.formats.layout_files import write_clip_files, write_dataset_files
from hal_ros.train.config import load_config
from hal_ros.train.on_features import FeaturePredictions, train_on_features

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
