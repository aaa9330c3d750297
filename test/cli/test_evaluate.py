"""`hal evaluate` from bags and a bundle to tables in the terminal, or to one line of what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from colour_episodes import write_bundle, write_data
from feature_folder import write_folder
from hal_ros.cli import main

pytest.importorskip("torch")


def evaluate(tmp_path: Path, *more: Any) -> tuple[Any, ...]:
    results = tmp_path / "results" / "colours.json"
    folders = ["--model", tmp_path / "bundle", "--data", tmp_path / "data", "--cache", tmp_path / "cache"]
    code = main([str(item) for item in ("evaluate", *folders, "--results", results, *more)])
    return code, results


def test_every_split_has_its_table_and_the_rows_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_bundle(tmp_path / "bundle")
    write_data(tmp_path / "data")
    code, results = evaluate(tmp_path)
    assert code == 0
    rows = json.loads(results.read_text())
    assert {row["system"] for row in rows} == {"colours", "gripper rule", "logistic"}
    assert {row["split"] for row in rows} == {"test", "unseen"}
    assert results.with_suffix(".svg").exists() and (results.parent / "colours-confusion.svg").exists()
    printed = capsys.readouterr().out
    assert "gripper rule" in printed
    assert printed.count("boundary F1 0.25 s") == 2
    assert f"rows: {results}   timelines: {results.with_suffix('.svg')}" in printed


def test_limit_splits_and_baselines_are_passed_on(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    write_data(tmp_path / "data")
    code, results = evaluate(tmp_path, "--splits", "test", "--limit", "1", "--baselines", "rule")
    assert code == 0
    rows = json.loads(results.read_text())
    assert {(row["system"], row["split"]) for row in rows} == {("colours", "test"), ("gripper rule", "test")}


@pytest.mark.parametrize(
    ("more", "expected"),
    [(("--limit", "0"), "--limit"), (("--splits", "nowhere"), "nowhere"), (("--model", "/nonexistent"), "card.json")],
)
def test_what_can_not_be_evaluated_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], expected: str
) -> None:
    write_bundle(tmp_path / "bundle")
    write_data(tmp_path / "data")
    code, _ = evaluate(tmp_path, *more)
    error = capsys.readouterr().err
    assert code == 1
    assert expected in error
    assert error.count("\n") == 1


def test_episodes_without_annotation_are_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_bundle(tmp_path / "bundle")
    write_data(tmp_path / "data", annotated=False)
    assert evaluate(tmp_path, "--baselines")[0] == 1
    assert "annotation.json" in capsys.readouterr().err


# --- a run on feature vectors -----------------------------------------------------------------------------------------


@pytest.mark.torch
def test_a_run_on_features_scores_its_own_test_clips_as_training_did(
    feature_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--model", str(feature_run)]) == 0
    scores, trained = (json.loads((feature_run / name).read_text()) for name in ("own-test.json", "scores.json"))
    assert scores == trained
    assert {row["metric"] for row in scores} >= {"MoF", "MoF-Bg", "Edit", "F1@50"}
    printed = capsys.readouterr().out
    assert "MoF-Bg %" in printed and f"rows: {feature_run / 'own-test.json'}" in printed
    assert (feature_run / "own-test-confusion.svg").exists()


@pytest.mark.torch
def test_another_folder_is_scored_whole_and_its_own_actions_are_errors(
    feature_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_folder(tmp_path / "other", ("cut", "grate", "mix", "background"))
    shutil.rmtree(other / "splits")
    (other / "groundTruth" / "dora-1.txt").unlink()
    results = tmp_path / "rows.json"
    options = ["--data", other, "--results", results, "--limit", 3]
    assert main(["evaluate", "--model", str(feature_run), *map(str, options)]) == 0
    printed = capsys.readouterr().out
    assert "no split '1': all 7 clips with a ground truth of 8 are scored" in printed
    assert "1 actions never occur in training (grate): 3 segments" in printed
    rows = {(row["output"], row["metric"]): row["mean"] for row in json.loads(results.read_text())}
    assert 0 < rows["confirmed", "MoF"] < 90
    assert rows["confirmed", "NLL"] is None, "what has no chance happens"
    assert "grate taken for" in printed


@pytest.mark.torch
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--splits", "val"), "has no val of split '1'; expected train, test"),
        (("--encode",), "--encode: is not for a run on features; expected --data"),
        (("--data", "/nonexistent"), "/nonexistent"),
    ],
)
def test_what_a_run_on_features_can_not_score_is_one_line(
    feature_run: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], said: str
) -> None:
    assert main(["evaluate", "--model", str(feature_run), *more]) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
