"""Tiny jobs for the queue: they sum numbers, and some of them die in ways that real ones do."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from hal_ros.experiments.graph import Graph, Job, Store, Task
from hal_ros.experiments.queue import run


def runner(task: Task) -> None:
    """Write the sum of the inputs' numbers and one's own; `kind` says what happens on the way."""
    checkpoint = task.folder / "checkpoint"
    resumed = checkpoint.exists()
    checkpoint.write_text("half of the work")
    match task.job.kind:
        case "raises":
            raise ValueError("this job can't be done")
        case "dies":
            _kill(os.getpid())
        case "dies_once" if not resumed:
            _kill(os.getpid())
        case "takes_all_down_once" if not resumed:
            _kill(os.getppid())
            _kill(os.getpid())
    total = task.job.settings.get("number", 0)
    total += sum(int((folder / "sum").read_text()) for folder in task.inputs.values())
    (task.folder / "sum").write_text(str(total))
    (task.folder / "resumed").write_text(str(resumed))


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def chain(middle: str) -> Graph:
    """Return first -> middle -> last, and one job aside."""
    return Graph(
        [
            Job("last", "add", {"number": 3}, {"of": "middle"}),
            Job("first", "add", {"number": 1}),
            Job("middle", middle, {"number": 2}, {"of": "first"}),
            Job("aside", "add", {"number": 9}),
        ]
    )


if __name__ == "__main__":
    run(chain(sys.argv[2]), Store(Path(sys.argv[1])), runner, 1)
