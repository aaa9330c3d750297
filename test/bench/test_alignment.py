"""The alignment's rows of the benchmark come out, and their targets are those that a failed part would name."""

from __future__ import annotations

import pytest

from hal_ros.bench import alignment


def test_rows_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignment, "TICKS", 60)
    monkeypatch.setattr(alignment, "ACTIONS", 3)
    rows = alignment.rows(repeats=3)
    assert all(isinstance(row.value, float) and row.value > 0 for row in rows)
    assert [(row.name, row.unit, row.target) for row in rows if row.target] == alignment.expected()
