"""Start-up is timed in processes of its own, and says what it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal_ros.bench import start as bench_start
from hal_ros.core.errors import BackendError

MODEL = Path(__file__).parents[2] / "models" / "tabletop"


def test_imports_are_counted_in_the_second_row_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_start, "_start", lambda _: {"import_s": 3.0, "card_s": 0.5, "ready_s": 0.25})
    ready, whole = bench_start.rows(MODEL, starts=2)
    assert [(ready.name, ready.unit, ready.target)] == bench_start.EXPECTED
    assert (ready.value, ready.holds) == (0.25, True)
    assert (whole.value, whole.holds) == (3.75, None)
    monkeypatch.setattr(bench_start, "_start", lambda _: {"import_s": 0.0, "card_s": 0.0, "ready_s": 0.75})
    assert bench_start.rows(MODEL, starts=1)[0].holds is False


def test_a_fresh_process_opens_the_bundle() -> None:
    taken = bench_start._start(MODEL)
    assert set(taken) == {"import_s", "card_s", "ready_s"}
    assert all(seconds > 0 for seconds in taken.values())


def test_a_bundle_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"^\S+card.json: can't be read .*$"):
        bench_start.rows(tmp_path, starts=1)
