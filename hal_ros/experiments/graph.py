"""Long work as a graph of small jobs on disk: skipped when done, taken up again when killed, named when failed.

A job is what it does (`kind`), with what (`settings`), from which other jobs (`inputs`). Its key hashes all three,
inputs by their own keys, and the version of the code (`ALGORITHM`), so a changed setting makes a new key for the job
and for all that hangs on it, and jobs that say the same share one result. What a kind means is the runner's affair:
jobs and queue know files and processes alone.

On disk, in the store's folder, `<label>` being `<kind>-<key>`:

    <label>/        the result, with job.json; it appears in one rename, so what is there is whole
    <label>.work/   where the job writes; left as it is when it is killed, so that it can go on from a checkpoint
    <label>.lock    locked while a process works on it, with its pid inside; the system unlocks it when that one dies
    <label>.error   why the last attempt failed
    <label>.log     what the last attempt printed
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hal_ros.core.errors import ConfigError, DatasetError
from hal_ros.outside.reading import Expected, read_json

KEY_LETTERS = 12
ALGORITHM = 3
"""The version of what jobs do, part of every key: raise it with a change of code that changes results.

Settings and inputs tell two jobs apart; without this a store would hand out what the code of before has found.
"""
JOB = Expected(DatasetError, "the account of a finished job; delete its folder, it is done anew")


@dataclass(frozen=True)
class Job:
    """One piece of work. `settings` is what JSON can hold; `inputs` names other jobs by the role that they play."""

    name: str
    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)


class Task(NamedTuple):
    """What a runner is given: read the inputs' folders, write into `folder`, which may hold an earlier attempt's."""

    job: Job
    inputs: Mapping[str, Path]
    folder: Path


class Graph:
    """Jobs in an order in which they can run, and their keys."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        """Raise ConfigError for a name given twice, an input that is no job, and jobs that wait for each other."""
        self.jobs: dict[str, Job] = {}
        self.keys: dict[str, str] = {}  # by name
        given: dict[str, Job] = {}
        for job in jobs:
            if given.setdefault(job.name, job) != job:
                raise ConfigError(f"two different jobs are named {job.name!r}; expected one name each")
        for job in given.values():
            self._add(job, given, ())

    def _add(self, job: Job, given: Mapping[str, Job], path: tuple[str, ...]) -> None:
        if job.name in path:
            raise ConfigError(f"jobs wait for each other: {' -> '.join((*path, job.name))}")
        if job.name in self.jobs:
            return
        for name in job.inputs.values():
            if name not in given:
                raise ConfigError(f"job {job.name!r} needs {name!r}, which is no job")
            self._add(given[name], given, (*path, job.name))
        inputs = {role: self.keys[name] for role, name in job.inputs.items()}
        text = json.dumps([ALGORITHM, job.kind, job.settings, inputs], sort_keys=True)
        self.jobs[job.name] = job
        self.keys[job.name] = hashlib.sha256(text.encode()).hexdigest()[:KEY_LETTERS]

    def needed_for(self, names: Iterable[str]) -> Graph:
        """Return the graph of these jobs and of all that they hang on."""
        found: dict[str, Job] = {}

        def visit(name: str) -> None:
            if name not in found:
                for needed in self.jobs[name].inputs.values():
                    visit(needed)
                found[name] = self.jobs[name]

        for name in names:
            visit(name)
        return Graph(found.values())


class Store:
    """The folder of results."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, graph: Graph, name: str) -> Path:
        """Return the folder where a job's result is, or will be."""
        return self.root / f"{graph.jobs[name].kind}-{graph.keys[name]}"

    def done(self, graph: Graph, name: str) -> bool:
        """Tell whether a job's result is there."""
        return (self.path(graph, name) / "job.json").exists()

    def about(self, graph: Graph, name: str) -> dict[str, Any]:
        """Return what is written of a finished job: name, kind, settings, inputs, seconds."""
        path = self.path(graph, name) / "job.json"
        found: Any = read_json(path, JOB)
        if not isinstance(found, dict) or not isinstance(found.get("seconds"), int | float):
            raise DatasetError(f"{path}: says no seconds; expected {JOB.what}")
        return found

    def error(self, graph: Graph, name: str) -> str:
        """Return the last line of why a job failed; '' where it did not."""
        path = beside(self.path(graph, name), ".error")
        lines = path.read_text().strip().splitlines() if path.exists() else []
        return lines[-1] if lines else ""

    def holder(self, graph: Graph, name: str) -> int:
        """Return the pid of the process that works on a job now; 0 where there is none."""
        path = beside(self.path(graph, name), ".lock")
        if not path.exists():
            return 0
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or -1)
        return 0


def beside(result: Path, ending: str) -> Path:
    """Return the path of what lies next to a result's folder, such as its lock."""
    return result.with_name(result.name + ending)
