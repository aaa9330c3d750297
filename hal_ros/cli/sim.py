"""`hal sim`: simulate the tabletop benchmark's episodes and write them as bags."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from hal_ros.core.errors import ConfigError, HalError

if TYPE_CHECKING:
    from hal_ros.sim.benchmark import EpisodeSpec
    from hal_ros.sim.write import Pictures, Written

MAX_JOBS = 2
Task = tuple["EpisodeSpec", Path, "Pictures"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from hal_ros.sim.benchmark import LEVELS, SPLITS, VERSION

    parser.add_argument("--out", type=Path, default=Path("datasets") / VERSION, help="folder (default: %(default)s)")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS, help="which splits (default: all)")
    parser.add_argument("--level", choices=LEVELS, default=LEVELS[0], help="randomisation (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help=f"processes, 1 to {MAX_JOBS} (default: %(default)s)")
    parser.add_argument("--size", type=_size, default=(128, 128), help="of the images, e.g. 640x480 (default: 128x128)")
    parser.add_argument("--raw", action="store_true", help="write uncompressed images")
    parser.add_argument("--limit", type=int, help="write the first episodes of each split only")
    parser.add_argument("--overwrite", action="store_true", help="write again what is there already")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size, expected WIDTHxHEIGHT in pixels")
    return int(width), int(height)


def run(args: argparse.Namespace) -> int:
    """Write the episodes that are missing; an interrupted run goes on where it stopped."""
    if not 1 <= args.jobs <= MAX_JOBS:
        raise ConfigError(f"--jobs is {args.jobs}; expected 1 to {MAX_JOBS}")
    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit is {args.limit}; expected 1 or more")
    os.environ["LP_NUM_THREADS"] = "1"  # the software renderer would take every core; read when GL is first loaded
    os.environ.setdefault("MUJOCO_GL", "egl")
    from hal_ros.sim.render import check_gl
    from hal_ros.sim.write import clean_up

    check_gl()
    tasks, present = _tasks(args)
    started = time.perf_counter()
    written = _write_all(tasks, args.jobs)
    for split in args.splits:
        clean_up(args.out / split)
    _summarise(written, present, time.perf_counter() - started, args.out)
    return 0


def _tasks(args: argparse.Namespace) -> tuple[list[Task], int]:
    """Return what has to be written, and how many episodes are there already."""
    from hal_ros.sim.benchmark import episodes
    from hal_ros.sim.write import Pictures, is_written

    width_px, height_px = args.size
    pictures = Pictures(width_px, height_px, args.raw)
    tasks: list[Task] = []
    present = 0
    for split in args.splits:
        for spec in episodes(split, args.level)[: args.limit]:
            if not args.overwrite and is_written(spec, args.out / split):
                present += 1
            else:
                tasks.append((spec, args.out / split, pictures))
    return tasks, present


def _write_all(tasks: list[Task], jobs: int) -> list[Written]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    written: list[Written] = []
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("episodes", total=len(tasks))
        for episode in _in_processes(tasks, jobs) if jobs > 1 else map(_write, tasks):
            written.append(episode)
            progress.update(bar, advance=1, description=episode.name)
            if not console.is_terminal:
                print(f"{len(written)}/{len(tasks)} {episode.name}", file=sys.stderr, flush=True)
    return written


def _in_processes(tasks: list[Task], jobs: int) -> Iterator[Written]:
    """Write in processes of their own: a GL context belongs to one process, so nothing is forked."""
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    try:
        futures: list[Future[Written]] = [pool.submit(_write, task) for task in tasks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise HalError("a simulating process was killed; what is finished stays, start again to go on") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _write(task: Task) -> Written:
    from hal_ros.sim.write import write_episode

    spec, folder, pictures = task
    try:
        return write_episode(spec, folder, pictures)
    except HalError as error:
        raise type(error)(f"episode {spec.name}: {error}") from error


def _summarise(written: list[Written], present: int, wall_s: float, out: Path) -> None:
    """Print what was written and how fast: simulated seconds per second of one core, bag writing included."""
    print(f"{out}: {len(written)} episodes written, {present} were there already")
    for episode in written:
        if episode.unheld:
            print(f"{episode.name}: labelled, but not borne out by the physics: {', '.join(episode.unheld)}")
    if written:
        simulated_s = sum(episode.simulated_s for episode in written)
        cpu_s = sum(episode.cpu_s for episode in written)
        print(
            f"{simulated_s:.0f} s simulated in {wall_s:.0f} s: {simulated_s / cpu_s:.1f} times real time per core, "
            f"{simulated_s / wall_s:.1f} in all"
        )
