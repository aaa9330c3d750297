"""What each stream adds: rows, differences, verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hal_ros.experiments.blocks import WEAK
from hal_ros.experiments.documents import stream_sets
from hal_ros.experiments.documents.markdown import SystemScores
from hal_ros.experiments.documents.results import Results
from hal_ros.experiments.documents.stream_sets import BEST, TODAY, Difference, Recalled, difference, judge
from hal_ros.experiments.files import SCORES
from hal_ros.experiments.graph import Graph, Job, Store
from hal_ros.experiments.plan import MAIN, Experiment, Line, TablePlan

RECALLED = Recalled(("pour",), "test + unseen")


def run(mof: float, f1: float = 80.0, pour: float | None = 70.0) -> dict[str, Any]:
    scores = {"MoF": mof, "Edit": 90.0, "F1@50": f1, "boundary F1@0.5s": 85.0}
    rare = {"recall pour": pour, "segments pour": 12.0, "ticks pour": 500.0}
    return {split: {"confirmed": scores} for split in ("test", "unseen")} | {"test + unseen": {"confirmed": rare}}


def entry(system: str, *runs: Mapping[str, Any] | None, supervision: str = WEAK) -> SystemScores:
    return SystemScores(system, supervision, runs)


def test_differences_are_taken_seed_by_seed() -> None:
    ours, other = entry(BEST, run(90), run(94), None), entry(TODAY, run(85), run(87), run(10))
    found = difference(ours, other, "unseen", "MoF")
    assert found is not None and (found.mean, found.seeds) == (6.0, 2) and found.std == pytest.approx(2**0.5)
    assert difference(entry(BEST, run(90)), entry(TODAY, run(85)), "unseen", "MoF") == Difference(5.0, None, 1)
    assert difference(entry(BEST, None), entry(TODAY, run(85)), "unseen", "MoF") is None
    assert difference(ours, other, "unseen", "no metric") is None


@pytest.mark.parametrize(
    ("best", "holds"),
    [
        ((run(90, 84), run(90, 84)), [True, True, True]),
        ((run(88.9, 84), run(88.9, 84)), [False, True, True]),
        ((run(91, 83), run(91, 84.9)), [True, False, True]),
        ((run(90, 84, 59), run(90, 84, 60)), [True, True, False]),
        ((run(90, 84, None), None), [True, True, None]),
        ((None, None), [None, None, None]),
    ],
)
def test_the_aim_holds_or_not_by_the_mean_of_the_seeds(
    best: Sequence[Mapping[str, Any] | None], holds: list[bool | None]
) -> None:
    entries = [entry(TODAY, run(86), run(86)), entry(BEST, *best), entry(BEST, run(0), supervision="annotations")]
    assert [verdict.holds for verdict in judge(entries, RECALLED)] == holds


def test_without_the_two_sets_nothing_is_decided() -> None:
    assert [verdict.holds for verdict in judge([entry("front", run(99))], RECALLED)] == [None, None, None]


def results(tmp_path: Path, part: str, runs: Mapping[str, Sequence[Mapping[str, Any] | None]]) -> Results:
    """Return one set's results: of each supervision its seeds' scores, None where one is not finished."""
    jobs, lines = [], []
    recall = {"recall": {"actions": {"pour": 13}, "splits": ["test", "unseen"]}}
    for supervision, of_seeds in runs.items():
        names = [f"streams: {part}: score {supervision} {seed}" for seed in range(len(of_seeds))]
        jobs += [Job(name, "score", {"splits": ["test", "unseen"], "name": name, **recall}) for name in names]
        lines.append(Line(MAIN, "student", supervision, tuple(names)))
    plan, store = TablePlan(f"streams: {part}", jobs, lines), Store(tmp_path / "store")
    graph = Graph(jobs)
    scores = [scores for of_seeds in runs.values() for scores in of_seeds]
    for job, found in zip(jobs, scores, strict=True):
        if found is not None:
            folder = store.path(graph, job.name)
            folder.mkdir(parents=True)
            (folder / SCORES).write_text(json.dumps(found))
            (folder / "job.json").write_text("{}")
    return Results(Experiment(plan, {}, (), 100_000_000, table="streams", part=part), graph, store)


def test_rows_tables_verdicts_and_picture_are_of_what_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    parts = [
        results(tmp_path, TODAY, {WEAK: [run(85), run(85)], "annotations": [run(90), run(90)]}),
        results(tmp_path, BEST, {WEAK: [run(88), run(92)], "annotations": [run(95), None]}),
        results(tmp_path, "all", {WEAK: [None, None], "annotations": [None, None]}),
    ]
    stream_sets.write(tmp_path / "docs", parts)
    rows = json.loads((tmp_path / "docs" / "streams.json").read_text())
    assert list(rows[0]) == ["streams", "supervision", "split", "output", "metric", "mean", "std", "seeds"]
    key = {"streams": BEST, "supervision": WEAK, "split": "unseen", "output": "confirmed", "metric": "MoF"}
    (row,) = [row for row in rows if key.items() <= row.items()]
    assert (row["mean"], row["std"], row["seeds"]) == (90.0, 2.8284, 2)
    key = {"streams": TODAY, "supervision": WEAK, "metric": "recall pour"}
    (rare,) = [row for row in rows if key.items() <= row.items()]
    assert (rare["split"], rare["mean"]) == ("test + unseen", 70.0)
    text = (tmp_path / "docs" / "streams.md").read_text()
    assert f"| {BEST} | transcripts | unseen | +5.0 ± 2.8 | +0.0 ± 0.0 | +0.0 ± 0.0 | +0.0 ± 0.0 |" in text
    assert f"| {BEST} | annotations | test | +5.0 |" in text
    assert f"| {TODAY} | transcripts | 70.0 ± 0.0 | 12 | 500 |" in text
    assert "| all | transcripts | – | – | – |" in text
    assert "- all, annotations: 2 of 2 seeds missing" in text
    assert "hal tables --dataset streams" in text
    said = capsys.readouterr().out
    assert f"- MoF, unseen: {BEST} at least 4 points above {TODAY}: **holds** (+5.0 ± 2.8)" in said
    assert "- F1@50, unseen" in said and "**does not hold** (+0.0 ± 0.0)" in said
    assert "**holds** (70.0 ± 0.0; 12 segments)" in said
    assert "<svg" in (tmp_path / "docs" / "streams.svg").read_text()
