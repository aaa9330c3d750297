"""What each kind of job does: a registry from the kind's name to its function, what it reads and what it writes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from hal_ros.core.errors import ConfigError
from hal_ros.datasets.config import TRAINING, VALIDATION
from hal_ros.experiments.files import ABOUT, ALIGNED_TARGETS, COSTS, DECODERS, MIXTURE, SCORES, split_file
from hal_ros.experiments.graph import Job, Task
from hal_ros.labels.targets import LABELS

JOBS = f"{__package__}.jobs"
"""The package of the functions."""

Places = Mapping[str, Any]
"""Where the data lie: `encoder`, each split's episode folders under `episodes`, and of what they hold the `selection`
if it is not all; or `dataset`, and of one's own the file of `groups`."""


@dataclass(frozen=True)
class Kind:
    """What does a job; the roles of the jobs that it reads, as patterns; the files that it writes whatever it is given.

    The function is named, not imported: torch is loaded in the processes of the jobs that need it, and nowhere else.
    """

    function: str  # <module>.<function> in JOBS, which takes (task, places)
    needs: tuple[str, ...] = ()
    may_read: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    def load(self) -> Callable[[Task, Places], None]:
        """Import the function."""
        module, name = self.function.split(".")
        found: Callable[[Task, Places], None] = getattr(importlib.import_module(f"{JOBS}.{module}"), name)
        return found


CLIPS = (split_file(TRAINING), split_file(VALIDATION), ABOUT)
ANSWERS = (split_file(VALIDATION), LABELS, ABOUT)

KINDS: Mapping[str, Kind] = {
    # clips: inputs tick by tick, of all splits
    "columns": Kind("clips.columns", writes=CLIPS),
    "features": Kind("clips.features", writes=CLIPS),
    "eye": Kind("clips.eye", may_read=("labels",), writes=CLIPS),
    # targets, of the clips that are trained on
    "first": Kind("targets.first", may_read=("clips",), writes=(LABELS, MIXTURE, ABOUT)),
    "teacher": Kind("targets.teacher", needs=("clips", "first"), writes=(LABELS, ABOUT)),
    "realign": Kind("targets.realign", needs=("clips", "teacher"), writes=(*ANSWERS, ALIGNED_TARGETS)),
    # systems: their answers to the clips of all splits
    "student": Kind("systems.student", needs=("clips",), may_read=("labels",), writes=ANSWERS),
    "baseline": Kind("systems.baseline", needs=("clips",), may_read=("labels",), writes=ANSWERS),
    # what a tick of each of all systems costs, in one process
    "cost": Kind("costs.cost", needs=("clips",), writes=(COSTS,)),
    # scores of the answers of one system, or of one on each fold
    "score": Kind("scoring.score", needs=("answers0",), may_read=("answers*",), writes=(SCORES, DECODERS)),
}


def do(places: Places, task: Task) -> None:
    """Do one job. `places` is no part of what a job is: its key stays the same wherever the data lie.

    Raises ConfigError for a kind that is not known, and for inputs that it does not take.
    """
    kind_of(task.job, task.inputs).load()(task, places)


def kind_of(job: Job, roles: Collection[str]) -> Kind:
    """Return a job's kind, once it is sure that the roles of the job's inputs are right for it."""
    kind = KINDS.get(job.kind)
    if kind is None:
        raise ConfigError(f"job {job.name!r} is of kind {job.kind!r}, which nothing does")
    strange = {role for role in roles if not any(fnmatchcase(role, known) for known in (*kind.needs, *kind.may_read))}
    if wrong := sorted({*kind.needs} - {*roles} | strange):
        expected = ", ".join((*kind.needs, *(f"{role} or none" for role in kind.may_read))) or "none"
        raise ConfigError(f"job {job.name!r}: input {wrong[0]!r} is missing or not for it; expected {expected}")
    return kind


def say(line: str) -> None:
    """Write a line of progress into the job's log."""
    print(line, flush=True)
