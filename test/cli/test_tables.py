"""`hal tables`: what can't be done is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal_ros.cli import main


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
