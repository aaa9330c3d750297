"""`hal train` on a folder of feature vectors: the table of scores, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("torch")

from feature_folder import write_folder, write_settings
from hal_ros import cli
from hal_ros.core.errors import ConfigError
from hal_ros.datasets.formats.layout_files import write_clip_files, write_dataset_files

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[2]
ACTIONS = ("reach", "grasp", "lift")
SETTINGS = {
    "name": "mine",
    "model": {"width": 16, "heads": 2, "lookback": [3, 5], "feed_forward": 32},
    "batches": {"streams": 3, "chunk_ticks": 16},
    "optimiser": {"epochs": 2, "learning_rate": 0.01},
}


def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, training: int = 4, **data: object) -> int:
    """Run the command on annotated clips of random features in tmp_path; returns its exit code."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    names = {"train": [f"a{index}" for index in range(training)], "test": ["z0", "z1"]}
    for name in (name for listed in names.values() for name in listed):
        labels = np.repeat(random.permutation(3), 20)
        actions = [ACTIONS[action] for action in labels]
        write_clip_files(tmp_path / "data", name, random.normal(size=(4, len(labels))).astype(np.float32), actions)
    write_dataset_files(tmp_path / "data", ACTIONS, names, "1")
    own = {"layout": "mstcn", "folder": "data", "rate_hz": 10, "lag_ticks": 2, **data}
    Path("mine.yaml").write_text(yaml.safe_dump({**SETTINGS, "data": own}))
    return cli.main(["train", "mine.yaml"])


def test_the_scores_are_printed_before_the_predictions_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, monkeypatch) == 0
    printed = capsys.readouterr().out
    order = ["best epoch", "aligned: 4 clips", "on the held-out clips", "MoF %", "predictions: 2 clips"]
    places = [printed.index(part) for part in order]
    assert places == sorted(places)


def test_all_folds_are_trained_in_one_call_and_their_rows_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_settings(tmp_path / "mine.yaml", write_folder(tmp_path / "data"), {"optimiser": {"epochs": 1}})
    assert cli.main(["train", "mine.yaml", "--folds", "all"]) == 0
    printed = capsys.readouterr().out
    for part in ("fold 1", "fold 2", "test, mean of folds ± std (2)", "test, 2 folds pooled", " taken for "):
        assert part in printed, part
    (path,) = Path("runs").glob("mine-folds-*/scores.json")
    rows = json.loads(path.read_text())
    assert {(row["fold"], row["folds"], row["seed"]) for row in rows} == {
        *(("1", 1, 0), ("2", 1, 0), ("mean of folds", 2, 0), ("pooled", 2, 0))
    }
    mof = {row["fold"]: row["mean"] for row in rows if (row["output"], row["metric"]) == ("confirmed", "MoF")}
    assert mof["mean of folds"] == pytest.approx((mof["1"] + mof["2"]) / 2, abs=1e-3)
    assert len(list(Path("runs").glob("mine-*/predictions/*.txt"))) == 4
    assert path.with_name("confusion.svg").exists()


@pytest.mark.parametrize("folds", ["all", "groups"])
def test_folds_are_for_features_and_groups_for_a_file_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folds: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bags.yaml").write_text("name: bags\n")
    assert cli.main(["train", "bags.yaml", "--folds", folds]) == 1
    assert f"--folds {folds}: is for folders of features; expected data.layout in bags.yaml" in capsys.readouterr().err
    write_settings(tmp_path / "mine.yaml", tmp_path)
    assert cli.main(["train", "mine.yaml", "--folds", folds]) == 1
    expected = {"all": "lists no split", "groups": "data.groups is empty; expected a file of groups"}
    assert expected[folds] in capsys.readouterr().err


def test_a_lone_training_clip_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, monkeypatch, training=1) == 1
    assert "1 training clips can be used; expected two or more" in capsys.readouterr().err


def test_an_unknown_layout_names_those_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, monkeypatch, layout="mstnc") == 1
    assert "mstcn" in capsys.readouterr().err


@pytest.mark.parametrize(("config", "extras"), [("train.yaml", "None"), ("train_all.yaml", "Extras")])
def test_the_benchmark_is_simulated_with_the_topics_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: str, extras: str
) -> None:
    def stop(folder: Path, splits: tuple[str, ...], *more: object) -> None:
        raise ConfigError(f"would write {folder} {splits} {more[-1]}")

    monkeypatch.setattr("hal_ros.experiments.ingested.write_missing", stop)
    assert cli.main(["train", str(ROOT / "config" / config)]) == 1
    assert f"would write datasets/tabletop-v1 ('train', 'validation') {extras}" in capsys.readouterr().err
