"""The result tables of some data sets: which jobs they need, what is left of them, and the documents."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from hal_ros.experiments import kinds, queue
from hal_ros.experiments.documents import other_robots, own_data, report, stream_sets
from hal_ros.experiments.documents.results import Results
from hal_ros.experiments.graph import Graph, Store, Task
from hal_ros.experiments.kinds import Places
from hal_ros.experiments.plan import OTHER_ROBOTS, OWN, SECTIONS, STREAMS, TABLETOP, Experiment, Line
from hal_ros.experiments.queue import Outcome, duration, seconds_left

SHARED = {
    TABLETOP: report.write_parts,
    STREAMS: stream_sets.write,
    OTHER_ROBOTS: other_robots.write,
    OWN: own_data.write,
}
"""What writes the document of several experiments."""


class Tables:
    """Some sections of the tables of some experiments, and the store of their jobs' results."""

    def __init__(self, experiments: Sequence[Experiment], sections: Sequence[str], store: Store) -> None:
        self.experiments, self.store = experiments, store
        lines = [line for one in experiments for line in one.plan.lines if line.section in sections]
        costs = [
            one.plan.cost for one in experiments if one.plan.cost
        ]  # last: what they measure may be trained by then
        jobs = [*scores_by_seed(lines), *costs]
        self.graph = Graph(job for one in experiments for job in one.plan.jobs).needed_for(jobs)

    def list_jobs(self, processes: int) -> None:
        """Print the state of every job."""
        for name in self.graph.jobs:
            print(f"{name}: {self._state(name)}")
        self._print_what_is_left(processes)

    def do_jobs(self, processes: int) -> Outcome:
        """Do what is left, `processes` at a time."""
        self._print_what_is_left(processes)
        places = {job.name: one.places for one in self.experiments for job in one.plan.jobs}
        runner = functools.partial(_do, places)
        return queue.run(self.graph, self.store, runner, processes, functools.partial(print, flush=True))

    def write(self, folder: Path) -> None:
        """Write the documents of what is done."""
        shared: dict[str, list[Results]] = {}
        for one in self.experiments:
            results = Results(one, Graph(one.plan.jobs), self.store)
            if one.table:
                shared.setdefault(one.table, []).append(results)
            else:
                report.write(folder, results)
        for table, parts in shared.items():
            SHARED[table](folder, parts)

    def _state(self, name: str) -> str:
        if self.store.done(self.graph, name):
            return f"done, {duration(self.store.about(self.graph, name)['seconds'])}"
        if pid := self.store.holder(self.graph, name):
            return f"running, process {pid}"
        if error := self.store.error(self.graph, name):
            return f"failed: {error}"
        return "to do"

    def _print_what_is_left(self, processes: int) -> None:
        names = {self.graph.keys[name]: name for name in self.graph.jobs}
        left = [name for name in names.values() if not self.store.done(self.graph, name)]
        estimate = duration(seconds_left(self.graph, self.store, processes))
        print(f"{len(names)} jobs, {len(names) - len(left)} done, {len(left)} left (about {estimate})", flush=True)


def _do(places: Mapping[str, Places], task: Task) -> None:
    """Do one job on the data of its experiment; jobs that share a key have the same data."""
    kinds.do(places[task.job.name], task)


def scores_by_seed(lines: Sequence[Line]) -> list[str]:
    """Return the scoring jobs section by section, all lines of one seed before the next seed."""
    found = []
    for section in SECTIONS:
        chosen = [line for line in lines if line.section == section]
        for place in range(max((len(line.scores) for line in chosen), default=0)):
            found += [line.scores[place] for line in chosen if place < len(line.scores)]
    return found


def print_failures(outcome: Outcome) -> None:
    """Print what failed, and what could not be done because of it."""
    for name, reason in outcome.failed.items():
        print(f"FAILED {name}: {reason}")
    for name, causes in outcome.blocked.items():
        print(f"not done, {name}: waits for {', '.join(causes)}")
