"""How long `hal train` takes from a folder of episodes to a bundle, as shipped: processor time of the commands.

The episodes are simulated, and ingested by `hal ingest` into a cache of their own; the training itself finds it filled.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from hal_ros.bench.rows import BenchRow, at_most, baseline
from hal_ros.core.errors import HalError
from hal_ros.core.work import ONE_THREAD
from hal_ros.outside.shared_files import shared_file

EPISODES = {"train": 20, "validation": 6}
LIMIT_MIN, COMMAND_LIMIT_S = 5.0, 3600.0
NAME = f"hal train, {EPISODES['train']} episodes, ingested before"
EXPECTED = [(NAME, "CPU min", f"<= {LIMIT_MIN:g}")]
SETTINGS = """base: {base}
data: {{folder: {folder}/episodes, cache: {folder}/cache, processes: 1}}
"""


def rows(folder: Path, episodes: dict[str, int] | None = None) -> list[BenchRow]:
    """Simulate, ingest, train and export in `folder`, each as a process. Raises HalError when one fails."""
    episodes = episodes or EPISODES
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    out, settings = folder / "episodes", folder / "train.yaml"
    settings.write_text(SETTINGS.format(base=shared_file("config/train.yaml").absolute(), folder=folder))
    for split, count in episodes.items():
        cpu_s("sim", "--out", str(out), "--splits", split, "--limit", str(count), "--jobs", "1", "--no-extras")
    ingest_s = cpu_s("ingest", str(settings))
    taken_s = cpu_s("train", str(settings), "--checkpoint", str(folder / "run"), "--out", str(folder / "bundle"))
    note = f"config/train.yaml, {episodes['validation']} more to validate, export and start included, one thread"
    return [
        at_most(NAME, taken_s / 60, "CPU min", LIMIT_MIN, note),
        baseline("hal ingest of these episodes", ingest_s / 60, "CPU min", "bags read, pictures encoded"),
    ]


def cpu_s(*arguments: str) -> float:
    """Run a subcommand of hal in a process; return its processor time in seconds. Raises HalError when it fails."""
    command, before = [sys.executable, "-m", "hal_ros", *arguments], _children_s()
    environment = {**os.environ, **ONE_THREAD}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise HalError(f"hal {arguments[0]} took longer than {COMMAND_LIMIT_S:.0f} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise HalError(f"hal {arguments[0]} ended with code {done.returncode}: {last}")
    return _children_s() - before


def _children_s() -> float:
    """Return the processor time of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
