"""From experiments to the jobs that are needed, done and listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fake_jobs import chain
from hal_ros.experiments import kinds, queue
from hal_ros.experiments.documents import report
from hal_ros.experiments.graph import Graph, Job, Store, Task, beside
from hal_ros.experiments.plan import CURVE, MAIN, SECTIONS, Experiment, Line, TablePlan
from hal_ros.experiments.queue import Outcome
from hal_ros.experiments.tables import SHARED, Tables, print_failures, scores_by_seed


def experiment() -> Experiment:
    jobs = [*chain("add").jobs.values(), Job("other", "add", {"number": 5})]
    lines = [Line(CURVE, "a curve", "transcripts", ("other",)), Line(MAIN, "a system", "transcripts", ("last",))]
    return Experiment(TablePlan("tabletop", jobs, lines), {}, (), 100_000_000)


def test_scores_come_section_by_section_and_seed_by_seed() -> None:
    lines = [
        Line(CURVE, "lag", "transcripts", ("lag 0",)),
        Line(MAIN, "student", "transcripts", ("student 0", "student 1")),
        Line(MAIN, "GRU", "transcripts", ("GRU 0", "GRU 1")),
    ]
    assert scores_by_seed(lines) == ["student 0", "GRU 0", "student 1", "GRU 1", "lag 0"]


def test_only_what_the_chosen_sections_need_is_to_be_done(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert list(Tables([experiment()], [MAIN], store).graph.jobs) == ["first", "middle", "last"]
    assert list(Tables([experiment()], SECTIONS, store).graph.jobs) == ["first", "middle", "last", "other"]


def test_costs_are_measured_after_all_else(tmp_path: Path) -> None:
    one = experiment()
    one.plan.cost = one.plan.add("add", "measure costs", {"number": 7}, {})
    assert list(Tables([one], [MAIN], Store(tmp_path)).graph.jobs)[-1] == one.plan.cost


def test_the_list_tells_what_is_done_what_failed_and_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = Tables([experiment()], [MAIN], Store(tmp_path))
    done = tables.store.path(Graph(experiment().plan.jobs), "first")
    done.mkdir()
    (done / "job.json").write_text('{"seconds": 40}')
    beside(tables.store.path(tables.graph, "middle"), ".error").write_text("Traceback\nValueError: no")
    tables.list_jobs(2)
    assert capsys.readouterr().out.splitlines() == [
        "first: done, 40 s",
        "middle: failed: ValueError: no",
        "last: to do",
        "3 jobs, 1 done, 2 left (about 40 s)",
    ]


def test_failures_are_told_with_what_waits_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    print_failures(Outcome(("a",), {"b": "no"}, {"c": ("b",)}))
    assert capsys.readouterr().out.splitlines() == ["FAILED b: no", "not done, c: waits for b"]


def test_each_job_is_done_on_the_data_of_its_own_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = {part: Job(f"streams: {part}: first", "first", {"part": part}) for part in ("one", "other")}
    made = [
        Experiment(
            TablePlan(f"streams: {part}", [job], [Line(MAIN, "student", "transcripts", (job.name,))]),
            {"dataset": part},
            (),
            100_000_000,
            table="streams",
            part=part,
        )
        for part, job in jobs.items()
    ]
    done: dict[str, object] = {}
    monkeypatch.setattr(kinds, "do", lambda places, task: done.update({task.job.name: places}))

    def run(graph: Graph, _: Store, runner: Any, *__: object) -> Outcome:
        for job in graph.jobs.values():
            runner(Task(job, {}, tmp_path))
        return Outcome((), {}, {})

    monkeypatch.setattr(queue, "run", run)
    Tables(made, SECTIONS, Store(tmp_path)).do_jobs(1)
    assert done == {"streams: one: first": {"dataset": "one"}, "streams: other: first": {"dataset": "other"}}


def test_experiments_of_one_table_share_a_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, ...]] = []
    monkeypatch.setattr(report, "write", lambda _, results: written.append((results.experiment.name,)))
    parts = [Experiment(TablePlan(f"streams: {part}"), {}, (), 1, table="streams", part=part) for part in "ab"]
    monkeypatch.setitem(SHARED, "streams", lambda _, found: written.append(tuple(one.experiment.part for one in found)))
    Tables([parts[0], experiment(), parts[1]], SECTIONS, Store(tmp_path)).write(tmp_path)
    assert written == [("tabletop",), ("a", "b")]
