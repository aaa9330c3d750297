"""Several bags labelled in one call, in processes of their own; one that can't be labelled stops no other one."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from hal_ros.core.errors import BagError, HalError
from hal_ros.core.work import Report
from hal_ros.datasets.pool import in_order
from hal_ros.datasets.user_bags import STORAGES, find_user_bags
from hal_ros.offline.bundle import BundleChoice, open_segmenter
from hal_ros.offline.labelling import LabelJob, Opened, beside_bag, label_bag, run_label

Outcome = tuple[list[str], str]
"""What is said of one bag, and why it was not labelled, '' where it was."""


def run_labels(bags: Sequence[Path], form: LabelJob, choice: BundleChoice, processes: int, report: Report) -> None:
    """Label bags, of folders all that are in them; of `form` all counts but its bag.

    `out` is a folder where there are several, or one bag lies in a folder that is none itself. Raises BagError before
    anything is written where several paths hold no bag, or two have one name; at the end where some were not labelled;
    and what `open_segmenter` raises. A path alone that holds no bag is refused as `run_label` does.
    """
    found, problems = find_user_bags(bags)
    if len(bags) == 1 and (problems or [bag.path for bag in found.values()] == list(bags)):
        run_label(replace(form, bag=bags[0]), choice, report)
        return
    if problems:
        raise BagError("; ".join(problems))
    if form.out is not None and (form.out.suffix in STORAGES or (form.out.exists() and not form.out.is_dir())):
        raise BagError(f"{form.out}: names a file; expected a folder for {len(found)} bags")
    open_segmenter(choice, report)  # what is wrong with the bundle is said once
    jobs = [_job_of(form, user_bag.path) for user_bag in found.values()]
    work = functools.partial(_label, choice)
    failed = [
        str(job.bag) for job, why in _told(zip(jobs, in_order(work, jobs, processes), strict=True), report) if why
    ]
    if failed:
        raise BagError(f"{len(failed)} of {len(jobs)} bags were not labelled: {', '.join(failed)}")


def usual_processes() -> int:
    """Return how many processes label several bags: as many as this one may use cores."""
    return len(os.sched_getaffinity(0))


def _job_of(form: LabelJob, bag: Path) -> LabelJob:
    return replace(form, bag=bag, out=form.out and form.out / beside_bag(bag).name)


def _told(outcomes: Iterable[tuple[LabelJob, Outcome]], report: Report) -> Iterator[tuple[LabelJob, str]]:
    for job, (lines, why) in outcomes:
        for line in (*lines, *[why] * bool(why)):
            report(line)
        yield job, why


def _label(choice: BundleChoice, job: LabelJob) -> Outcome:
    lines: list[str] = []
    try:
        label_bag(job, _opened(choice), lines.append)
    except HalError as error:
        return lines, str(error)
    return lines, ""


@functools.cache
def _opened(choice: BundleChoice) -> Opened:
    """Return what each process opens once."""
    return open_segmenter(choice, lambda _: None)
