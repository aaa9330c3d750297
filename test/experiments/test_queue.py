"""Jobs on disk: what is done stays done, what was killed is taken up again, what fails is named."""

from __future__ import annotations

import fcntl
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import fake_jobs
from hal_ros.experiments import queue
from hal_ros.experiments.graph import Graph, Job, Store, beside
from hal_ros.experiments.queue import duration, run, seconds_left


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "tables")


@pytest.fixture
def lines() -> list[str]:
    return []


def number(store: Store, graph: Graph, name: str) -> int:
    return int((store.path(graph, name) / "sum").read_text())


def resumed(store: Store, graph: Graph, name: str) -> bool:
    return (store.path(graph, name) / "resumed").read_text() == "True"


def test_jobs_run_after_their_inputs_and_never_twice(store: Store, lines: list[str]) -> None:
    graph = fake_jobs.chain("add")
    outcome = run(graph, store, fake_jobs.runner, 2, lines.append)
    assert (set(outcome.done), outcome.failed, outcome.blocked) == (set(graph.jobs), {}, {})
    assert [number(store, graph, name) for name in ("first", "middle", "last")] == [1, 3, 6]
    assert len(lines) == 4 and lines[-1].startswith("[4/4]")
    assert store.about(graph, "middle")["inputs"] == {"of": store.path(graph, "first").name}
    assert run(graph, store, fake_jobs.runner, 2, lines.append).failed == {}
    assert len(lines) == 4  # nothing was left to do


def test_a_failure_is_named_and_the_rest_goes_on(store: Store, lines: list[str]) -> None:
    graph = fake_jobs.chain("raises")
    outcome = run(graph, store, fake_jobs.runner, 1, lines.append)
    assert outcome.failed == {"middle": "ValueError: this job can't be done"}
    assert outcome.blocked == {"last": ("middle",)}
    assert set(outcome.done) == {"first", "aside"}
    assert any("FAILED: middle" in line for line in lines)
    assert store.error(graph, "middle").endswith("can't be done")


def test_a_failed_job_is_tried_again_by_the_next_call(store: Store, lines: list[str]) -> None:
    run(fake_jobs.chain("raises"), store, fake_jobs.runner, 1, lines.append)
    again = run(fake_jobs.chain("raises"), store, fake_jobs.runner, 1, lines.append)
    assert "middle" in again.failed
    assert sum("FAILED" in line for line in lines) == 2


def test_a_killed_job_is_taken_up_again_where_it_was(store: Store, lines: list[str]) -> None:
    graph = fake_jobs.chain("dies_once")
    assert run(graph, store, fake_jobs.runner, 1, lines.append).failed == {}
    assert resumed(store, graph, "middle") and not resumed(store, graph, "first")
    assert any("taken up again: middle (its process ended with -9)" in line for line in lines)


def test_a_job_that_is_killed_again_counts_as_failed(store: Store, lines: list[str]) -> None:
    outcome = run(fake_jobs.chain("dies"), store, fake_jobs.runner, 1, lines.append)
    assert outcome.failed == {"middle": "its process ended with -9, 2 times"}


def test_a_call_that_was_killed_with_its_jobs_is_continued_by_the_next_one(store: Store, lines: list[str]) -> None:
    graph, kind = fake_jobs.chain("takes_all_down_once"), "takes_all_down_once"
    here = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{here}:{here / 'test' / 'support'}"}
    call = [sys.executable, "-m", "fake_jobs", str(store.root), kind]
    killed = subprocess.run(call, env=environment, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert store.done(graph, "first") and not store.done(graph, "middle")
    assert run(graph, store, fake_jobs.runner, 1, lines.append).failed == {}
    assert resumed(store, graph, "middle")
    assert sum("done: first" in line for line in lines) == 0


def test_two_processes_never_do_the_same_job(store: Store) -> None:
    graph = Graph([Job("a", "add")])
    result = store.path(graph, "a")
    store.root.mkdir()
    with beside(result, ".lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        assert store.holder(graph, "a") == 4711
        with pytest.raises(SystemExit) as left:
            queue._do(fake_jobs.runner, graph.jobs["a"], {}, result)
    assert left.value.code == queue.BUSY
    assert store.holder(graph, "a") == 0  # the lock went with its holder
    queue._do(fake_jobs.runner, graph.jobs["a"], {}, result)
    assert store.done(graph, "a")


# --- estimates --------------------------------------------------------------------------------------------------------


def test_the_rest_is_estimated_from_jobs_of_the_same_kind(store: Store) -> None:
    graph = Graph([Job("a", "add"), *(Job(f"b{i}", "add", {"number": i}) for i in range(1, 5)), Job("c", "sub")])
    assert math.isnan(seconds_left(graph, store, 2))
    run(graph.needed_for(["a"]), store, fake_jobs.runner, 1, lambda _: None)
    (path,) = [store.path(graph, "a") / "job.json"]
    path.write_text(path.read_text().replace('"seconds": ', '"seconds": 1'))
    each = store.about(graph, "a")["seconds"]
    assert seconds_left(graph, store, 2) == pytest.approx(5 * each / 2)
    assert seconds_left(graph, store, 2, {graph.keys["c"]: each + 1}) == pytest.approx(4 * each / 2)


@pytest.mark.parametrize(
    ("seconds", "said"), [(40, "40 s"), (720, "12 min"), (12000, "3 h 20 min"), (float("nan"), "?")]
)
def test_durations_are_for_people(seconds: float, said: str) -> None:
    assert duration(seconds) == said
