"""Rows and tables of several robots."""

from __future__ import annotations

import json
from pathlib import Path

from hal_ros.experiments.documents import other_robots
from hal_ros.experiments.documents.results import Results
from hal_ros.experiments.files import SCORES
from hal_ros.experiments.graph import Graph, Job, Store
from hal_ros.experiments.plan import MAIN, REFERENCES, Experiment, Line, TablePlan


def results(tmp_path: Path, robot: str, mof: float | None) -> Results:
    """Return one robot's results: the student's of one seed, the GRU's none, a teacher's."""
    names = [f"other_robots: {robot}: score {system}" for system in ("student", "GRU", "teacher")]
    jobs = [Job(name, "score", {"splits": ["test"], "name": name}) for name in names]
    sections = (MAIN, MAIN, REFERENCES)
    lines = [
        Line(section, name.rpartition(" ")[2], "transcripts", (name,))
        for section, name in zip(sections, names, strict=True)
    ]
    graph, store = Graph(jobs), Store(tmp_path / "store")
    for name in [names[0], names[2]] if mof is not None else []:
        folder = store.path(graph, name)
        folder.mkdir(parents=True)
        (folder / SCORES).write_text(json.dumps({"test": {"confirmed": {"MoF": mof}}}))
        (folder / "job.json").write_text("{}")
    places = {"episodes": {"train": ["a", "b"], "validation": ["c"], "test": ["d"]}}
    plan = TablePlan(f"other_robots: {robot}", jobs, lines)
    experiment = Experiment(plan, places, ("lift", "push"), 100_000_000, table="other_robots", part=robot)
    return Results(experiment, graph, store)


def test_rows_say_of_which_robot_and_system_they_are(tmp_path: Path) -> None:
    other_robots.write(tmp_path, [results(tmp_path, "aloha", 80.0), results(tmp_path, "panda", 90.0)])
    rows = json.loads((tmp_path / "other_robots.json").read_text())
    keys = ["dataset", "system", "supervision", "split", "output", "metric", "mean", "std", "seeds"]
    assert all(list(row) == keys for row in rows)
    assert [(row["dataset"], row["system"], row["mean"]) for row in rows] == [
        ("aloha", "student", 80.0),
        ("aloha", "teacher", 80.0),
        ("panda", "student", 90.0),
        ("panda", "teacher", 90.0),
    ]
    text = (tmp_path / "other_robots.md").read_text()
    assert "## panda, test: 2 actions, episodes: 2 train, 1 validation, 1 test" in text
    online = text.split("Upper references below")[0]
    assert "teacher" not in online and "measured beside each training" in online
    assert "- aloha: GRU, transcripts: 1 of 1 seeds missing" in text and "Not finished: GRU (transcripts)." in text


def test_where_nothing_is_done_that_is_said(tmp_path: Path) -> None:
    other_robots.write(tmp_path, [results(tmp_path, "aloha", None)])
    assert json.loads((tmp_path / "other_robots.json").read_text()) == []
    assert "- aloha: student, transcripts: 1 of 1 seeds missing" in (tmp_path / "other_robots.md").read_text()
