"""Doing the jobs of a graph: a few at a time, each in a process of its own, whatever happens to any of them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import NamedTuple

from hal_ros.core.work import ONE_THREAD, Report
from hal_ros.experiments.graph import Graph, Job, Store, Task, beside

FAILED, BUSY = 1, 75
"""Exit codes of a job's process: its runner raised; another process holds the job."""
MOST_DEATHS = 2
"""A job whose process was killed this often in one call counts as failed: it would be killed again."""
BUSY_S = 5.0
"""How often to look for the result of a job that another call works on."""

Runner = Callable[[Task], None]
"""Does one job; runs in a process of its own, so it must be picklable. What it raises is the job's failure."""


class Outcome(NamedTuple):
    """How a call ended, by job name. `failed` holds reasons; `blocked` the failed jobs that others waited for."""

    done: tuple[str, ...]
    failed: Mapping[str, str]
    blocked: Mapping[str, tuple[str, ...]]


NOTHING_DONE = Outcome((), {}, {})
"""The outcome where no job was to be done."""


def run(graph: Graph, store: Store, runner: Runner, processes: int, report: Report = print) -> Outcome:
    """Do all jobs of the graph that are not done, `processes` at a time; one thread and one process each.

    Jobs come in the graph's order as soon as their inputs are done. A failure is reported and holds up only what hangs
    on it. Several calls may share a store: no job is done twice at a time.
    """
    store.root.mkdir(parents=True, exist_ok=True)
    with _environment(ONE_THREAD):
        return _Call(graph, store, runner, processes, report).work()


def seconds_left(graph: Graph, store: Store, processes: int, running: Mapping[str, float] | None = None) -> float:
    """Estimate how long the rest will take, from the finished jobs of the same kind; nan before the first of any.

    `running` tells how many seconds the jobs under way have run. Kinds of which none is finished count as the mean.
    """
    taken: dict[str, dict[str, float]] = {}
    for name, job in graph.jobs.items():
        if store.done(graph, name):
            taken.setdefault(job.kind, {})[graph.keys[name]] = store.about(graph, name)["seconds"]
    means = {kind: sum(found.values()) / len(found) for kind, found in taken.items()}
    overall = sum(means.values()) / len(means) if means else float("nan")
    left = {graph.keys[name]: name for name in graph.jobs if not store.done(graph, name)}
    if left and math.isnan(overall):
        return overall
    each = [
        max(0.0, means.get(graph.jobs[name].kind, overall) - (running or {}).get(key, 0.0))
        for key, name in left.items()
    ]
    return sum(each) / processes


class _Running(NamedTuple):
    process: SpawnProcess
    name: str
    started: float


class _Call:
    """One call of `run`: what is running now, what has gone wrong so far. Everything is by key: names may share one."""

    def __init__(self, graph: Graph, store: Store, runner: Runner, processes: int, report: Report) -> None:
        self.graph, self.store, self.runner, self.processes, self.report = graph, store, runner, processes, report
        self.running: dict[str, _Running] = {}
        self.failed: dict[str, str] = {}
        self.deaths: dict[str, int] = {}
        self.busy: dict[str, float] = {}  # key: when to look again

    def work(self) -> Outcome:
        try:
            while self._start() or self.running or self.busy:
                self._await()
        finally:  # an interrupt: what runs is cut off, and goes on from its work folder next time
            for key in list(self.running):
                self.running[key].process.terminate()
                self.running.pop(key).process.join()
        return self._outcome()

    def _ready(self) -> Iterator[str]:
        now = time.monotonic()
        seen = {*self.running, *self.failed, *(key for key, until in self.busy.items() if until > now)}
        for name, job in self.graph.jobs.items():
            key = self.graph.keys[name]
            if key in seen or self.store.done(self.graph, name):
                continue
            if not all(self.store.done(self.graph, needed) for needed in job.inputs.values()):
                continue
            seen.add(key)
            if self.store.holder(self.graph, name):  # another call is at it
                self.busy[key] = now + BUSY_S
            else:
                yield name

    def _start(self) -> bool:
        """Fill the free places; return whether any job was started."""
        started = False
        for name in self._ready():
            if len(self.running) >= self.processes:
                break
            job, key = self.graph.jobs[name], self.graph.keys[name]
            inputs = {role: self.store.path(self.graph, needed) for role, needed in job.inputs.items()}
            arguments = (self.runner, job, inputs, self.store.path(self.graph, name))
            process = get_context("spawn").Process(target=_do, args=arguments)
            process.start()
            self.busy.pop(key, None)
            self.running[key] = _Running(process, name, time.monotonic())
            started = True
        return started

    def _await(self) -> None:
        """Wait until a job's process has ended, or until it is time to look at those of other calls."""
        timeout = BUSY_S if self.busy else None
        if self.running:
            wait([running.process.sentinel for running in self.running.values()], timeout)
        else:
            time.sleep(BUSY_S)
        self.busy = {key: until for key, until in self.busy.items() if not self._done_elsewhere(key)}
        for key in [key for key, running in self.running.items() if running.process.exitcode is not None]:
            ended = self.running.pop(key)
            ended.process.join()
            self._ended(key, ended)

    def _done_elsewhere(self, key: str) -> bool:
        return any(found == key and self.store.done(self.graph, name) for name, found in self.graph.keys.items())

    def _ended(self, key: str, ended: _Running) -> None:
        code, name = ended.process.exitcode or 0, ended.name
        if code == 0 and self.store.done(self.graph, name):
            self._say("done", name, f"{time.monotonic() - ended.started:.0f} s")
        elif code == BUSY:
            self.busy[key] = time.monotonic() + BUSY_S
        elif code == FAILED:
            self._fail(key, name, self.store.error(self.graph, name))
        else:
            self.deaths[key] = self.deaths.get(key, 0) + 1
            reason = f"its process ended with {code}"
            if self.deaths[key] >= MOST_DEATHS:
                self._fail(key, name, f"{reason}, {MOST_DEATHS} times")
            else:
                self._say("killed, taken up again", name, reason)

    def _fail(self, key: str, name: str, reason: str) -> None:
        self.failed[key] = reason
        self._say("FAILED", name, reason)

    def _say(self, what: str, name: str, detail: str) -> None:
        graph, now = self.graph, time.monotonic()
        keys = set(graph.keys.values())
        done = {graph.keys[other] for other in graph.jobs if self.store.done(graph, other)}
        left_s = seconds_left(
            graph, self.store, self.processes, {key: now - one.started for key, one in self.running.items()}
        )
        self.report(f"[{len(done)}/{len(keys)}] {what}: {name} ({detail}); about {duration(left_s)} left")

    def _outcome(self) -> Outcome:
        graph = self.graph
        broken: dict[str, tuple[str, ...]] = {}
        for name, job in graph.jobs.items():
            if graph.keys[name] in self.failed:
                broken[name] = (name,)
            elif not self.store.done(graph, name):
                broken[name] = tuple(
                    sorted({cause for needed in job.inputs.values() for cause in broken.get(needed, ())})
                )
        failed = {name: self.failed[graph.keys[name]] for name in broken if graph.keys[name] in self.failed}
        done = tuple(name for name in graph.jobs if name not in broken)
        return Outcome(done, failed, {name: causes for name, causes in broken.items() if name not in failed})


def duration(seconds: float) -> str:
    """Return a time for people: '40 s', '12 min', '3 h 20 min'; '?' for nan."""
    if math.isnan(seconds):
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


# --- in the job's own process -----------------------------------------------------------------------------------------


def _do(runner: Runner, job: Job, inputs: Mapping[str, Path], result: Path) -> None:
    """Do one job and leave: with FAILED and an .error file if the runner raises, with BUSY if another one has it."""
    error = beside(result, ".error")
    with beside(result, ".lock").open("a+") as lock:  # unlocked when this process ends, however it ends
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(BUSY)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        if (result / "job.json").exists():  # finished by another call since this one looked
            return
        try:
            with _output_to(beside(result, ".log")):
                _finish(runner, Task(job, inputs, beside(result, ".work")), result)
        except Exception:  # noqa: BLE001 - whatever it was, it is this job's failure and is reported by name
            _write(error, traceback.format_exc())
            sys.exit(FAILED)
        error.unlink(missing_ok=True)


def _finish(runner: Runner, task: Task, result: Path) -> None:
    task.folder.mkdir(exist_ok=True)
    started = time.monotonic()
    runner(task)
    inputs = {role: path.name for role, path in task.inputs.items()}
    job = task.job
    about = {"name": job.name, "kind": job.kind, "settings": job.settings, "inputs": inputs}
    _write(task.folder / "job.json", json.dumps({**about, "seconds": round(time.monotonic() - started, 2)}, indent=1))
    task.folder.replace(result)


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    with path.open("w", buffering=1) as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        yield


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the processes that are started meanwhile; libraries read them when they are loaded."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def _write(path: Path, text: str) -> None:
    unfinished = beside(path, ".part")
    unfinished.write_text(text)
    unfinished.replace(path)
