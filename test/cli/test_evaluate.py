"""`hal evaluate` from bags and a bundle to tables in the terminal, or to one line of what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from colour_episodes import write_bundle, write_data
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
    assert results.with_suffix(".svg").exists()
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
