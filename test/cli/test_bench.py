"""`hal bench` prints and writes the rows; a full run keeps those of an earlier one that it did not measure."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal_ros.bench import rows as bench_rows
from hal_ros.bench import run as bench_run
from hal_ros.bench.rows import baseline
from hal_ros.cli import main


def test_rows_are_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[Path, bool]] = []

    def measure(model: Path, folder: Path, full: bool) -> list[bench_rows.BenchRow]:
        assert folder.parent.exists()
        asked.append((model, full))
        return [baseline("full" if full else "short", 1.5, "ms")]

    monkeypatch.setattr(bench_run, "measure", measure)
    out = tmp_path / "bench.json"
    arguments = ["bench", "--model", str(tmp_path), "--out", str(out)]
    assert main(arguments) == 0
    names = [row.name for row in bench_rows.load(out)]
    assert names[0] == "machine" and names[-1] == "short"
    assert main([*arguments, "--full"]) == 0
    assert [row.name for row in bench_rows.load(out)] == [*names, "full"]
    assert asked == [(tmp_path, False), (tmp_path, True)]
    output = capsys.readouterr().out
    assert "short" in output and f"written to {out}" in output


def test_a_folder_to_keep_must_be_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--keep", str(tmp_path)]) == 1
    assert f"--keep {tmp_path} exists" in capsys.readouterr().err
