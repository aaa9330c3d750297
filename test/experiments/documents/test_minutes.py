"""Accuracy against minutes of a person."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hal_ros.experiments.blocks import read_blocks
from hal_ros.experiments.documents import minutes
from hal_ros.experiments.documents.results import Results
from hal_ros.experiments.files import SCORES
from hal_ros.experiments.graph import Graph, Job, Store
from hal_ros.experiments.plan import MAIN, NAMES, REFERENCES, Experiment, Line, TablePlan

TEACHER = NAMES["plain"]
BLOCKS = {
    "transcripts": "plain",
    "annotations": None,
    "5 % marks": {"teacher": "plain", "marks": 5, "systems": ["student"]},
    "3 annotated": {"teacher": "plain", "annotated": 3, "systems": ["student"]},
}
SPENT = {"transcripts": 0.0, "3 annotated": 9.5, "5 % marks": 1.0, "annotations": 60.0}


def results(tmp_path: Path, done: bool = True, **blocks: object) -> Results:
    """Return a plan of student and logistic regression, of which all is done or nothing."""
    declared = {"systems": ["student", "logistic"], "teachers": {"plain": {}}, "blocks": {**BLOCKS, **blocks}}
    found, store = read_blocks(declared), Store(tmp_path / "store")
    jobs, lines, scores = [], [], {}
    for block in found.values():
        for system in [*block.systems, *(["plain"] if block.teacher else [])]:
            name = f"score {system}, {block.name}"
            jobs.append(Job(name, "score", {"splits": ["test"], "of": name}))
            lines.append(Line(REFERENCES if system == "plain" else MAIN, NAMES[system], block.name, (name,)))
            spent = SPENT.get(block.name, 0.0)
            aligned = {"MoF": 70 + spent, "boundary error median s": 0.5, "boundary error p90 s": 1.25}
            said = {"test": {"confirmed": {"MoF": 80 + spent / 10, "boundary F1@0.25s": 40.0}}}
            scores[name] = {**said, "all": {"model": {"person minutes": spent}}} | {"train": {"aligned": aligned}}
    graph = Graph(jobs)
    for name, found_of_job in scores.items() if done else ():
        folder = store.path(graph, name)
        folder.mkdir(parents=True)
        (folder / SCORES).write_text(json.dumps(found_of_job))
        (folder / "job.json").write_text("{}")
    plan = TablePlan("panda", jobs, lines, blocks=found)
    return Results(Experiment(plan, {}, ("lift", "push"), 100_000_000), graph, store)


def test_each_line_tells_what_was_told_what_it_cost_and_what_it_bought(tmp_path: Path) -> None:
    head, _, *lines = minutes.table(results(tmp_path), "test").splitlines()
    assert head.startswith("| told | minutes | targets right | error median | error p90 | system | MoF |")
    assert "| bF1 0.25 s | bF1 0.5 s |" in head
    assert lines == [
        "| transcripts | 0.0 | 70.0 | 0.50 | 1.25 | student | 80.0 | – | – | 40.0 | – |",
        "| 3 annotated | 9.5 | 79.5 | 0.50 | 1.25 | student | 81.0 | – | – | 40.0 | – |",
        "| 5 % marks | 1.0 | 71.0 | 0.50 | 1.25 | student | 80.1 | – | – | 40.0 | – |",
        "| annotations | 60.0 | annotations | – | – | student | 86.0 | – | – | 40.0 | – |",
    ], "who learns from all or nothing alone is in no line"


def test_there_is_a_section_where_a_share_is_shown_and_no_other(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    note, table, picture = minutes.section(results(tmp_path), "test", tmp_path, "a.svg")
    assert "ten seconds" in note and "3 annotated" in table and picture.endswith("(a.svg)")
    drawn = (tmp_path / "a.svg").read_text()
    assert "student, annotated episodes" in drawn and "student, marks" in drawn
    minutes.section(results(tmp_path / "empty", done=False), "test", tmp_path, "b.svg")
    assert (tmp_path / "b.svg").exists(), "nothing is done yet"
    plain = results(tmp_path / "plain")
    blocks = {name: plain.experiment.plan.blocks[name] for name in ("transcripts", "annotations")}
    plain.experiment.plan.blocks = blocks
    assert not minutes.section(plain, "test", tmp_path, "c.svg") and not (tmp_path / "c.svg").exists()
