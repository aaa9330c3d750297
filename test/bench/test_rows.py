"""Rows of the benchmark: their schema, their verdicts, and that nothing is invented where nothing was measured."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from hal_ros.bench import live as bench_live
from hal_ros.bench import rows as bench
from hal_ros.bench.live import ProcessSample
from hal_ros.bench.rows import FIELDS, BenchRow
from hal_ros.core.errors import DatasetError
from hal_ros.offline.recording import LabelAnswer, Recording, Status
from hal_ros.offline.truth import TruthMark

PERIOD_NS = 1_000_000_000 // 15
START_NS = 10**18
LOAD = (0.5, 0.4, 0.3)


def recording(images: int | None = 100, published: int = 100, late_ms: float = 12.0, first_truth: int = 0) -> Recording:
    """Return a run with `published` images of which the node says that it received `images`."""
    truth = tuple(TruthMark(START_NS + index * PERIOD_NS, "pour") for index in range(first_truth, published))
    labels = tuple(
        LabelAnswer(stamp, stamp + round(late_ms * 1e6), stamp, 0, "pour", 0.9, None, "", 0.0)
        for stamp in range(START_NS, START_NS + published * PERIOD_NS, PERIOD_NS)
    )
    robot = Status(
        "simulated_robot: simulation", "OK", "", {"images": "7", "real_time_factor": "1.0", "render_ms": "16"}
    )
    node = Status("segmenter: camera", "OK", "", {"images": str(images)})
    return Recording("run", labels, truth=truth, statuses=() if images is None else (robot, node))


def samples(count: int, mb_per_minute: float = 0.0, cpu: float = 0.3, period_s: float = 1.0) -> list[ProcessSample]:
    """Return looks at a process that uses `cpu` cores and grows steadily."""
    return [
        ProcessSample(i * period_s, i * period_s * cpu, 200.0 + i * period_s / 60 * mb_per_minute) for i in range(count)
    ]


def test_rows_survive_a_round_trip_through_json(tmp_path: Path) -> None:
    rows = [
        *bench.facts(LOAD),
        bench.at_most("a", 1.0, "ms", 2.0, "note"),
        bench.at_least("b", 1.0, "times", 2.0),
        bench.baseline("c", 3.14159265, "ms"),
        bench.unmeasured("d", "s", "<= 1", "no robot"),
        bench.at_most("e", math.nan, "ms", 2.0),
    ]
    path = tmp_path / "build" / "bench.json"
    bench.save(rows, path)
    assert bench.load(path) == rows
    for entry in json.loads(path.read_text()):
        assert set(FIELDS) <= set(entry)
        assert entry["holds"] in (True, False, None)


def test_a_verdict_follows_from_value_and_target() -> None:
    assert bench.at_most("x", 25.0, "ms", 25.0).holds is True
    assert bench.at_most("x", 25.1, "ms", 25.0).holds is False
    assert bench.at_least("x", 5.0, "times", 5.0).holds is True
    assert bench.at_least("x", 4.9, "times", 5.0).holds is False
    assert bench.at_most("x", 25.1, "ms", 25.0).target == "<= 25"
    assert bench.at_most("x", math.nan, "ms", 25.0) == BenchRow("x", None, "ms", "<= 25", False)
    assert bench.baseline("x", 1.0, "ms").holds is None


def test_a_row_without_a_value_needs_a_reason() -> None:
    row = bench.unmeasured("x", "s", "<= 1", "no robot")
    assert (row.value, row.holds, row.note) == (None, None, "no robot")
    with pytest.raises(ValueError, match="reason"):
        bench.unmeasured("x", "s", "<= 1", "")


def test_facts_name_machine_load_and_versions() -> None:
    facts = {row.name: row for row in bench.facts(LOAD)}
    assert facts["load before the start"].value == 0.5
    assert {"machine", "cores usable", "version of python", "version of numpy"} <= set(facts)
    assert facts["version of numpy"].value == np.__version__
    assert all(row.holds is None and row.value not in (None, "") for row in facts.values())


def test_merging_replaces_by_name_and_keeps_the_rest() -> None:
    old = [BenchRow("a", 1.0), BenchRow("b", 2.0)]
    assert bench.merged(old, [BenchRow("b", 3.0), BenchRow("c", 4.0)]) == [
        BenchRow("a", 1.0),
        BenchRow("b", 3.0),
        BenchRow("c", 4.0),
    ]


def test_a_file_that_is_no_list_of_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    assert bench.load(path) == []
    for text in ("{", '[{"nome": 1}]', "[3]"):
        path.write_text(text)
        with pytest.raises(DatasetError, match="benchmark rows"):
            bench.load(path)


def test_the_report_shows_every_row() -> None:
    rows = [bench.at_most("kept", 1.0, "ms", 2.0), bench.at_most("broken", 3.0, "ms", 2.0)]
    rows.append(bench.unmeasured("absent", "s", "", "no robot here"))
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(bench.report([*bench.facts(LOAD), *rows]))
    text = console.export_text()
    for part in ("kept", "holds", "broken", "MISSED", "absent", "not measured", "no robot here", "machine"):
        assert part in text


def test_latency_is_receive_time_minus_stamp() -> None:
    p50, p99 = bench_live.latency_rows(recording(late_ms=12.0))
    assert p50.value == pytest.approx(12.0)
    assert p99.holds is True
    assert bench_live.latency_rows(recording(late_ms=61.0))[1].holds is False


def test_the_shares_of_latency_are_those_that_were_published() -> None:
    assert [row.value for row in bench_live.share_rows(recording())] == [16.0]
    assert bench_live.share_rows(recording(images=None)) == []


@pytest.mark.parametrize(("images", "lost"), [(100, 0), (97, 3)])
def test_lost_images_are_those_published_and_not_received(images: int, lost: int) -> None:
    row = bench_live.loss_row(recording(images=images), "camera")
    assert row.value == lost
    assert row.holds is (lost == 0)


def test_losses_that_cannot_be_known_are_not_invented() -> None:
    for unknown in (recording(images=None), recording(first_truth=5), recording(first_truth=100)):
        row = bench_live.loss_row(unknown, "camera")
        assert row.value is None
        assert row.note


def test_losses_are_those_of_the_models_own_camera() -> None:
    other = Status("segmenter: camera_2", "OK", "", {"images": "3"})
    both = replace(recording(images=97), statuses=(other, *recording(images=97).statuses))
    assert bench_live.loss_row(both, "camera").value == 3
    assert bench_live.loss_row(both, "camera_2").value == 97
    assert "'wrist'" in bench_live.loss_row(both, "wrist").note


def test_cpu_and_memory_of_the_segmenter_have_limits() -> None:
    cpu, memory = bench_live.process_rows("segmenter", samples(20, cpu=0.3))
    assert (cpu.value, cpu.holds, memory.holds) == (pytest.approx(30.0), True, True)
    assert bench_live.process_rows("segmenter", samples(20, cpu=0.6))[0].holds is False
    assert all(row.holds is None for row in bench_live.process_rows("recorder", samples(20)))
    assert bench_live.process_rows("segmenter", samples(1))[0].value is None


def test_growth_is_judged_only_over_a_long_run() -> None:
    assert bench_live.slope_row("segmenter", samples(600, mb_per_minute=0.0)).holds is True
    grown = bench_live.slope_row("segmenter", samples(600, mb_per_minute=1.0))
    assert (grown.value, grown.holds) == (pytest.approx(1.0), False)
    assert bench_live.slope_row("segmenter", samples(60, mb_per_minute=1.0)).holds is None
    assert bench_live.slope_row("segmenter", samples(4)).value is None


def test_a_run_without_a_robot_has_no_real_time_factor() -> None:
    assert bench_live.robot_row(recording()).holds is True
    assert bench_live.robot_row(recording(images=None)).value is None
