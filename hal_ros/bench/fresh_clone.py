"""How long a newcomer waits: from cloning this repository to the first label."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from hal_ros.bench.rows import BenchRow, at_most
from hal_ros.core.errors import HalError
from hal_ros.live.processes import Child, Interrupts, Processes
from hal_ros.outside.shared_files import REPOSITORY

NAME, LIMIT_S = "fresh clone to first label", 240.0
EXPECTED = [(NAME, "s", f"<= {LIMIT_S:g}")]
TIMEOUT_S = 900.0


def row(folder: Path) -> BenchRow:
    """Clone this repository, run `make demo` there without pip's cache, and time it until the first label.

    The clone goes into `folder`. Raises HalError when it can't be made, or the demo fails or shows no label.
    """
    clone = folder / "clone"
    done = subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], capture_output=True, text=True)
    if done.returncode:
        raise HalError(f"{REPOSITORY} can't be cloned: {' '.join(done.stderr.split())}; expected a git repository")
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("ROS_", "FAST", "_ROS", "LD_"))
    }
    environment = {**inherited, "PIP_NO_CACHE_DIR": "1"}
    with Interrupts() as interrupts, Processes(folder / "logs", interrupts) as processes:
        child = processes.start("fresh", ["make", "-C", str(clone), "demo", "DURATION=5"], environment)
        first_s = _seconds_to_first_label(child, interrupts)
        if child.process.returncode or first_s is None:
            raise HalError(f"make demo in a fresh clone failed: {' / '.join(child.log_tail(3))}")
    return at_most(NAME, first_s, "s", LIMIT_S, "without pip's cache")


def _seconds_to_first_label(child: Child, interrupts: Interrupts) -> float | None:
    """Wait until the child ends; return when it spoke of the first label, None if it never did."""
    started, first_s, ended = time.monotonic(), None, False
    while not ended:
        ended = child.process.poll() is not None  # before its log is read: the last line counts
        if first_s is None and "first label" in child.log_path.read_text(errors="replace"):
            first_s = time.monotonic() - started
        if interrupts.count:
            raise KeyboardInterrupt
        if time.monotonic() - started > TIMEOUT_S:
            raise HalError(f"make demo took longer than {TIMEOUT_S:.0f} s in a fresh clone")
        time.sleep(0 if ended else 0.2)
    return first_s
