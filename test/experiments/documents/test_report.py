"""Documents of what is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hal_ros.experiments.blocks import WEAK
from hal_ros.experiments.documents import report
from hal_ros.experiments.documents.results import Results
from hal_ros.experiments.documents.rows import write_document
from hal_ros.experiments.files import COSTS
from hal_ros.experiments.graph import Graph, Job, Store
from hal_ros.experiments.plan import ABLATIONS, CURVE, MAIN, REFERENCES, Experiment, Line, TablePlan
from stored_answers import SETTINGS, score, write_answers


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Return a small plan of which all is done but one baseline."""
    jobs, lines, sure = [], [], {"student": 3.0, "logistic": 1.5, "GRU": 1.0}
    for system in sure:
        scores = []
        for seed in range(2):
            jobs.append(Job(f"train {system} {seed}", "student", {"system": system, "seed": seed}))
            jobs.append(Job(f"score {system} {seed}", "score", SETTINGS, {"answers0": f"train {system} {seed}"}))
            scores.append(f"score {system} {seed}")
        lines.append(Line(MAIN, system, WEAK, tuple(scores)))
    lines.append(Line(CURVE, "student, lag 4", WEAK, lines[0].scores))
    lines.append(Line(ABLATIONS, "student, no gate", WEAK, lines[1].scores))
    graph, store = Graph(jobs), Store(tmp_path / "store")
    for seed in range(2):
        for system in ("student", "logistic"):
            train, folder = f"train {system} {seed}", store.path(graph, f"score {system} {seed}")
            write_answers(store.path(graph, train), sure[system], seed)
            folder.mkdir()
            score({"answers0": store.path(graph, train)}, folder)
            for done in (folder, store.path(graph, train)):
                (done / "job.json").write_text("{}")
    plan = TablePlan("tabletop", jobs, lines)
    return Results(Experiment(plan, {}, ("move", "pick", "place"), 100_000_000, "unseen"), graph, store)


def test_documents_hold_rows_tables_verdicts_and_pictures(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    report.write(tmp_path / "docs", results)
    said = capsys.readouterr().out
    assert "(100 - Edit): **holds**" in said
    assert "- **not measured**: Edit: ahead of GRU by more than the larger std; " in said
    rows = json.loads((tmp_path / "docs" / "tabletop.json").read_text())
    assert set(rows[0]) == {"system", "supervision", "split", "output", "metric", "mean", "std", "seeds"}
    text = (tmp_path / "docs" / "tabletop.md").read_text()
    for part in ("hal tables --dataset tabletop", "Not finished: GRU (transcripts).", "(b) Ablations", "no gate"):
        assert part in text
    assert "- GRU, transcripts: 2 of 2 seeds missing" in text
    assert "was measured beside each training" in text and "| 10 | 0.10 | 2 |" in text
    for name in ("latency", "timelines", "latents", "changes"):
        assert f"(tabletop-{name}.svg)" in text
        assert (tmp_path / "docs" / f"tabletop-{name}.svg").exists()


def test_costs_of_one_run_stand_in_all_tables_once_they_are_measured(results: Results) -> None:
    plan = results.experiment.plan
    plan.cost = plan.add("cost", "measure costs", {}, {})
    measured = results._replace(graph=Graph(plan.jobs))
    before = report._document(measured, (), {})
    folder = measured.store.path(measured.graph, plan.cost)
    folder.mkdir()
    (folder / COSTS).write_text('{"student": {"ms_per_tick": 1.5, "parameters": 3}}')
    (folder / "job.json").write_text("{}")
    after = report._document(measured, (), {})
    assert "was measured beside each training" in before and "all systems in turns in one process" in after
    assert "| 3 | 1.50 | 2 |" not in before and "| 3 | 1.50 | 2 |" in after
    assert "| logistic | transcripts | confirmed |" in after and "| 10 | 0.10 | 2 |" in after


def test_who_sees_the_whole_recording_stands_in_a_table_of_its_own(results: Results) -> None:
    results.experiment.plan.lines.append(Line(REFERENCES, "MS-TCN", WEAK, ("score GRU 0",)))
    online, offline = report._document(results, (), {}).split("Upper references below", 1)
    assert "MS-TCN" not in online and "Not finished: MS-TCN (transcripts)." in offline
    assert "| student | transcripts | confirmed |" in online


@pytest.mark.parametrize("name", report.COMMANDS)
def test_tables_of_an_earlier_call_are_written_again(tmp_path: Path, results: Results, name: str) -> None:
    """What a document begins with is what the guard of other people's files knows it by."""
    results.experiment.plan.dataset = name
    for _ in range(2):
        write_document(tmp_path / f"{name}.md", report._document(results, (), {}))
