"""`hal tables`: what can't be done is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_folder import write_folder, write_settings
from hal_ros.cli import main

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("jobs", ["0", "9"])
def test_too_few_or_too_many_jobs_are_refused(capsys: pytest.CaptureFixture[str], jobs: str) -> None:
    assert main(["tables", "--jobs", jobs]) == 1
    assert capsys.readouterr().err == f"hal tables: --jobs is {jobs}; expected 1 to 8\n"


@pytest.mark.torch
def test_a_declaration_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the handler would outlive the test
    assert main(["tables", "--config", str(tmp_path / "none.yaml"), "--list"]) == 1
    error = capsys.readouterr().err
    assert "none.yaml" in error and error.count("\n") == 1


@pytest.mark.torch
def test_a_folder_without_bags_of_a_robot_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.chdir(ROOT)  # where the robots' settings are
    assert main(["tables", "--dataset", "other_robots", "--bags", str(tmp_path / "nowhere"), "--list"]) == 1
    error = capsys.readouterr().err
    assert "no bags of aloha in" in error and "nowhere/aloha" in error and "make_bags.py" in error
    assert error.count("\n") == 1


@pytest.mark.torch
@pytest.mark.parametrize(
    ("own", "more", "said"),
    [
        (False, ["--seeds", "1"], "--seeds and --episodes: config/tables.yaml is no run's settings"),
        (True, ["--dataset", "tabletop"], "--dataset, --quick and --bags: mine.yaml declares no tables"),
        (True, ["--episodes", "7"], "7 episodes, but there are 6 to learn from"),
    ],
)
def test_options_that_do_not_belong_to_the_settings_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    own: bool,
    more: list[str],
    said: str,
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.chdir(tmp_path if own else ROOT)
    if own:
        write_settings(tmp_path / "mine.yaml", write_folder(tmp_path / "data"))
    assert main(["tables", "--list", *(["--config", "mine.yaml"] if own else []), *more]) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.torch
def test_ones_own_jobs_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    write_settings(tmp_path / "mine.yaml", write_folder(tmp_path / "data"))
    assert main(["tables", "--config", "mine.yaml", "--seeds", "0", "1", "--episodes", "4", "--list"]) == 0
    printed = capsys.readouterr().out
    for part in ("mine: 4 episodes: score GRU, annotations, seed 1: to do", "mine: 6 episodes: score student"):
        assert part in printed, part
    assert "28 jobs, 0 done" in printed
