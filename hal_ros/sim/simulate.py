"""Many episodes of the benchmark: which are missing, written one by one or in processes, and how fast that went."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hal_ros.bags.reader import METADATA
from hal_ros.core.errors import HalError
from hal_ros.datasets import folder as dataset_folder
from hal_ros.datasets.episodes import ANNOTATION
from hal_ros.datasets.pool import as_done
from hal_ros.outside.progress import tracked
from hal_ros.sim.benchmark import LEVELS, EpisodeSpec, episodes
from hal_ros.sim.extras import Extras
from hal_ros.sim.write import TRAINING_PICTURES, Pictures, Written, check_place, is_written, write_episode

MAX_JOBS = 2
KILLED = "a simulating process was killed; what is finished stays, start again to go on"


@dataclass(frozen=True)
class Wanted:
    """Which episodes are to lie in `out`, one folder a split, and how they are written."""

    out: Path
    splits: Sequence[str]
    level: str = LEVELS[0]
    jobs: int = 1  # processes, 1 to MAX_JOBS
    size_px: tuple[int, int] = TRAINING_PICTURES[:2]  # width, height
    raw: bool = False  # uncompressed images
    limit: int | None = None  # the first episodes of each split alone
    overwrite: bool = False  # write again what is there already
    extras: Extras | None = None  # the extra topics; an episode that is there without them is written again


@dataclass(frozen=True)
class Done:
    """What was written, how many episodes were there already, and the seconds that it took."""

    out: Path
    written: Sequence[Written]
    present: int
    wall_s: float
    replaced: int = 0  # of those written: in place of what was not what is wanted

    def summary(self) -> list[str]:
        """Say what was written and how fast: simulated seconds per second of one core, bag writing included."""
        lines = [f"{self.out}: {len(self.written)} episodes written, {self.present} were there already"]
        if self.replaced:
            lines.append(f"{self.replaced} of them in place of episodes of another level or with other extra topics")
        lines += [
            f"{episode.name}: labelled, but not borne out by the physics: {', '.join(episode.unheld)}"
            for episode in self.written
            if episode.unheld
        ]
        if self.written:
            simulated_s = sum(episode.simulated_s for episode in self.written)
            cpu_s = sum(episode.cpu_s for episode in self.written)
            lines.append(
                f"{simulated_s:.0f} s simulated in {self.wall_s:.0f} s: {simulated_s / cpu_s:.1f} times real time "
                f"per core, {simulated_s / self.wall_s:.1f} in all"
            )
        return lines


class _Task(NamedTuple):
    spec: EpisodeSpec
    folder: Path
    pictures: Pictures
    extras: Extras | None


def simulate(wanted: Wanted) -> Done:
    """Write the episodes that are missing; an interrupted call goes on where it stopped.

    Raises HalError without a renderer or when a process was killed, BagError when an episode can't be written.
    """
    os.environ["LP_NUM_THREADS"] = "1"  # the software renderer would take every core; read when GL is first loaded
    os.environ.setdefault("MUJOCO_GL", "egl")
    from hal_ros.sim.render import check_gl  # late: it loads GL

    check_gl()
    tasks, present, replaced = _tasks(wanted)
    started_s = time.perf_counter()
    written = list(tracked(as_done(_write, tasks, wanted.jobs, KILLED), "episodes", len(tasks)))
    return Done(wanted.out, written, present, time.perf_counter() - started_s, replaced)


def write_missing(
    folder: Path,
    splits: Sequence[str],
    jobs: int,
    limits: Mapping[str, int] | None = None,
    extras: Extras | None = None,
) -> None:
    """Simulate what is missing in the benchmark's folder; one of another name holds the user's own data.

    With limits, of the first episodes of each split alone, and only where there are fewer. With extras, episodes
    without these extra topics are missing as well. At most MAX_JOBS processes work. Raises what `simulate` raises.
    """
    if folder.name != dataset_folder.BENCHMARK:
        return
    jobs = min(jobs, MAX_JOBS)
    calls = [Wanted(folder, splits, jobs=jobs, extras=extras)]
    if limits:
        few = [split for split in splits if _count(folder / split, extras) < limits[split]]
        calls = [Wanted(folder, (split,), jobs=jobs, limit=limits[split], extras=extras) for split in few]
    for wanted in calls:
        for line in simulate(wanted).summary():
            print(line)


def _tasks(wanted: Wanted) -> tuple[list[_Task], int, int]:
    """Return what has to be written, how many episodes are there already, and in place of how many others."""
    pictures = Pictures(*wanted.size_px, wanted.raw)
    tasks: list[_Task] = []
    present = replaced = 0
    for split in wanted.splits:
        for spec in episodes(split, wanted.level)[: wanted.limit]:
            if not wanted.overwrite and is_written(spec, wanted.out / split, wanted.extras):
                present += 1
            else:
                check_place(spec, wanted.out / split)  # of all, before the first is written
                tasks.append(_Task(spec, wanted.out / split, pictures, wanted.extras))
                replaced += not wanted.overwrite and (wanted.out / split / spec.name / ANNOTATION).exists()
    return tasks, present, replaced


def _count(folder: Path, extras: Extras | None) -> int:
    """Return how many episodes of a split's folder will do: all, or those with these extra topics."""
    if extras is None:
        return len(list(folder.glob(f"*/{METADATA}")))
    return sum(is_written(spec, folder, extras) for spec in episodes(folder.name))


def _write(task: _Task) -> Written:
    try:
        return write_episode(*task)
    except HalError as error:
        raise type(error)(f"episode {task.spec.name}: {error}") from error
