"""The alignment's rows of the benchmark come out, and their targets are those that a failed part would name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hal_ros.bench import alignment as bench_offline
from hal_ros.bench.rows import Row
from hal_ros.cli import bench


def test_rows_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_offline, "TICKS", 60)
    monkeypatch.setattr(bench_offline, "ACTIONS", 3)
    rows = bench_offline.rows(repeats=3)
    assert all(isinstance(row.value, float) and row.value > 0 for row in rows)
    assert [(row.name, row.unit, row.target) for row in rows if row.target] == bench_offline.expected()


def test_the_benchmark_measures_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parts: list[tuple[str, list[tuple[str, str, str]]]] = []

    def note(what: str, _: Callable[[], list[Row]], expected: list[tuple[str, str, str]]) -> list[Row]:
        parts.append((what, expected))
        return []

    monkeypatch.setattr(bench, "prepare_environment", lambda _: None)
    monkeypatch.setattr(bench, "_part", note)
    bench._measure(tmp_path, tmp_path, full=False)
    assert ("alignment", bench_offline.expected()) in parts
