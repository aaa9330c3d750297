"""Tables of one's own data: rows by episodes, a curve, who is taken for whom, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hal_ros.experiments.documents import learning_curves, own_data
from hal_ros.experiments.documents.results import Results
from hal_ros.experiments.graph import Graph, Job, Store, Task
from hal_ros.experiments.jobs import scoring
from hal_ros.experiments.plan import MAIN, OWN, Experiment, Line, TablePlan
from stored_answers import LAG, write_answers

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

SETTINGS = {"splits": ["test"], "decoder": "argmax", "kinds": ["argmax"], "lag_ticks": LAG, "unscored": [[2], [2]]}


def results(tmp_path: Path, episodes: str, done: bool = True) -> Results:
    """Return the results of one part: the student's, of two folds, and none of the GRU's."""
    name, store = f"mine: {episodes} episodes", Store(tmp_path / "store")
    folds = [Job(f"{name}: train student, {fold}", "student", {"fold": fold, "part": episodes}) for fold in "12"]
    inputs = {f"answers{place}": job.name for place, job in enumerate(folds)}
    score = Job(f"{name}: score student", "score", {**SETTINGS, "part": episodes}, inputs)
    gru = Job(f"{name}: score GRU", "score", {"part": episodes})
    graph = Graph([*folds, score, gru])
    if done:
        for place, job in enumerate(folds):
            write_answers(store.path(graph, job.name), 2.0, place)
        folder = store.path(graph, score.name)
        folder.mkdir(parents=True)
        scoring.score(Task(score, {role: store.path(graph, job) for role, job in inputs.items()}, folder), {})
        (folder / "job.json").write_text("{}")
    lines = [Line(MAIN, job.name.rpartition(" ")[2], "annotations", (job.name,)) for job in (score, gru)]
    plan = TablePlan(name, list(graph.jobs.values()), lines)
    experiment = Experiment(
        plan, {}, ("reach", "pour", "wipe"), 100_000_000, table=OWN, part=episodes, episodes=int(episodes)
    )
    return Results(experiment, graph, store)


def test_rows_say_of_how_many_episodes_they_are_and_the_worst_pairs_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_data.write(tmp_path, [results(tmp_path, "5"), results(tmp_path, "20")])
    rows = json.loads((tmp_path / "mine.json").read_text())
    assert list(rows[0])[:3] == ["episodes", "system", "supervision"]
    assert {row["episodes"] for row in rows} == {5, 20}
    assert {"MoF", "MoF-Bg", "Edit"} <= {row["metric"] for row in rows}, "background is left out where it is asked"
    text = (tmp_path / "mine.md").read_text()
    for part in (
        "## test, 20 episodes to learn from",
        "## By episodes, test, confirmed",
        "| student | annotations | 5 |",
        "| GRU | annotations | 20 | – | – | – |",
        "- 5 episodes, GRU, annotations: 1 of 1 seeds missing",
        " taken for ",
    ):
        assert part in text, part
    printed = capsys.readouterr().out
    assert printed.count(" taken for ") == 5 and f"mine: {len(rows)} rows" in printed
    assert (tmp_path / "mine-episodes.svg").exists() and (tmp_path / "mine-confusion.svg").exists()


def test_where_nothing_is_done_that_is_said(tmp_path: Path) -> None:
    own_data.write(tmp_path, [results(tmp_path, "20", done=False)])
    assert json.loads((tmp_path / "mine.json").read_text()) == []
    assert "- 20 episodes, student, annotations: 1 of 1 seeds missing" in (tmp_path / "mine.md").read_text()
    assert not (tmp_path / "mine-confusion.svg").exists() and not (tmp_path / "mine-episodes.svg").exists()


def test_one_number_of_episodes_is_no_curve(tmp_path: Path) -> None:
    parts = [results(tmp_path / "few", "5", done=False), results(tmp_path / "all", "20")]
    assert learning_curves.section(parts, tmp_path, "one.svg")[2:] == [] and not (tmp_path / "one.svg").exists()
    parts[0] = results(tmp_path / "few", "5")
    assert learning_curves.section(parts, tmp_path, "two.svg")[2:] == ["![Scores by episodes](two.svg)"]
    assert (tmp_path / "two.svg").exists()
