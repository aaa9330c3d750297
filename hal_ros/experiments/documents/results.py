"""An experiment and what its finished jobs found."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from hal_ros.experiments.documents import markdown
from hal_ros.experiments.documents.markdown import SystemScores, with_cost
from hal_ros.experiments.files import COSTS, SCORES
from hal_ros.experiments.graph import Graph, Store
from hal_ros.experiments.plan import Experiment, Line


class Results(NamedTuple):
    """An experiment, and where its jobs' results are."""

    experiment: Experiment
    graph: Graph
    store: Store

    @property
    def lines(self) -> list[Line]:
        """All lines of the plan."""
        return self.experiment.plan.lines

    def scores(self, job: str) -> dict[str, Any] | None:
        """Return what a scoring job found; None if it is not done."""
        if not self.store.done(self.graph, job):
            return None
        found: dict[str, Any] = json.loads((self.store.path(self.graph, job) / SCORES).read_text())
        return found

    @property
    def costs(self) -> dict[str, dict[str, float]]:
        """What a tick of each system costs; none before the job that measures all in one process is done.

        Then each training's own measurement stands in the tables, as it does in those of 0.1.0.
        """
        job = self.experiment.plan.cost
        if not job or not self.store.done(self.graph, job):
            return {}
        found: dict[str, dict[str, float]] = json.loads((self.store.path(self.graph, job) / COSTS).read_text())
        return found

    @property
    def cost_note(self) -> str:
        """What the tables' figures of time are."""
        return markdown.MEASURED_TOGETHER if self.costs else markdown.MEASURED_APART

    def entries(self, *sections: str) -> list[SystemScores]:
        """Return the lines of some sections with the scores of their finished seeds, and what a tick costs."""
        costs = self.costs
        return [
            SystemScores(
                line.system,
                line.supervision,
                tuple(with_cost(self.scores(job), costs.get(line.system)) for job in line.scores),
            )
            for section in sections
            for line in self.lines
            if line.section == section
        ]

    def line(self, system: str, supervision: str) -> Line | None:
        """Return a line by what it is of."""
        fitting = (line for line in self.lines if (line.system, line.supervision) == (system, supervision))
        return next(fitting, None)

    @property
    def splits(self) -> list[str]:
        """The splits that are scored, those of the aims last."""
        (first, *_) = (job for job in self.graph.jobs.values() if job.kind == "score")
        return list(first.settings["splits"])
