"""The benchmark has all its parts, and names what it could not measure."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hal_ros.bench import alignment, caches, commands, fresh_clone, live_run, run, start
from hal_ros.bench import matrix_products as products
from hal_ros.bench.pictures import latency, recording
from hal_ros.bench.rows import BenchRow, baseline
from hal_ros.bench.streams import clients, ingest, intake, live, tick
from hal_ros.core.errors import HalError

MODEL = Path(__file__).parents[2] / "models" / "tabletop"


def test_a_part_that_fails_gives_its_rows_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> list[BenchRow]:
        raise HalError("no robot here")

    rows = run.part("live system", fail, [("latency", "ms", "<= 25"), ("loss", "images", "<= 0")])
    assert [(row.name, row.value, row.holds, row.note) for row in rows] == [
        ("latency", None, None, "no robot here"),
        ("loss", None, None, "no robot here"),
    ]
    assert "no robot here" in capsys.readouterr().err
    assert run.part("model", lambda: [baseline("x", 1.0, "ms")], []) == [baseline("x", 1.0, "ms")]


@pytest.mark.parametrize("full", [False, True])
def test_every_part_is_measured_with_the_rows_it_would_give(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, full: bool
) -> None:
    parts: dict[str, list[tuple[str, str, str]]] = {}

    def note(what: str, _: Callable[[], list[BenchRow]], expected: list[tuple[str, str, str]]) -> list[BenchRow]:
        parts[what] = expected
        return []

    monkeypatch.setattr(run, "prepare_environment", lambda _: None)
    monkeypatch.setattr(run, "part", note)
    run.measure(tmp_path, tmp_path, full)
    expected = {
        "model": [],
        "matrix products": products.EXPECTED,
        "start of the sessions": start.EXPECTED,
        "caches": caches.expected(),
        **{f"caches, window {window}": caches.expected_at(window) for window in (64, 256, 1024)},
        "alignment": alignment.expected(),
        "export": commands.EXPORT_EXPECTED,
        "tick of two cameras": tick.EXPECTED,
        "intake": intake.EXPECTED,
        "ingest": ingest.EXPECTED,
        "two cameras live": live.EXPECTED,
        "planners that wait": clients.EXPECTED,
        "live latency": latency.EXPECTED,
        "live system": live_run.EXPECTED,
        "replay": commands.REPLAY_EXPECTED,
        "simulation": commands.SIMULATION_EXPECTED,
    }
    soaks = {"ten minutes": live_run.SOAK_EXPECTED, "ten minutes, two cameras": live.SOAK_EXPECTED}
    cameras = {"three raw cameras": recording.EXPECTED}
    only_full = {**soaks, **cameras, "training": commands.TRAINING_EXPECTED, "fresh installation": fresh_clone.EXPECTED}
    assert list(parts.items()) == list((expected | (only_full if full else {})).items())


def test_without_torch_each_row_of_the_caches_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hal_ros.export.to_onnx", None)
    rows = run.cache_rows(MODEL)
    assert [(row.name, row.unit, row.target) for row in rows] == [
        *caches.expected(),
        *(row for window in caches.WINDOWS for row in caches.expected_at(window)),
    ]
    assert all(row.value is None and "torch" in row.note for row in rows)
