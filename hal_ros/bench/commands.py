"""How fast two subcommands of hal go through the robot's time, each as a process: `hal replay` and `hal sim`."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from hal_ros.bags.reader import read_messages
from hal_ros.bench.rows import BenchRow, at_least
from hal_ros.core.errors import HalError
from hal_ros.live.system import Live
from hal_ros.offline.recording import read_recording

REAL_TIME_FACTOR_LIMIT = 5.0
SIMULATED_EPISODES = 2
COMMAND_LIMIT_S = 300.0
REPLAY_NAME, SIMULATION_NAME, UNIT = "hal replay", "hal sim, one process", "x real time"
REPLAY_EXPECTED = [(REPLAY_NAME, UNIT, ">= 5")]
SIMULATION_EXPECTED = [(SIMULATION_NAME, UNIT, ">= 5")]


def replay_row(live: Live) -> BenchRow:
    """Replay the recording of a live run. Raises BagError when there is none, HalError when the command fails."""
    recording = read_recording(live.recording)
    recorded_s = (recording.labels[-1].stamp_ns - recording.start_ns) * 1e-9
    taken_s = timed("replay", str(live.recording), "--model", str(live.model), "--out", str(live.folder / "replayed"))
    note = f"{recorded_s:.0f} s of 640x480 rgb8 in {taken_s:.1f} s, start of the command included"
    return at_least(REPLAY_NAME, recorded_s / taken_s, UNIT, REAL_TIME_FACTOR_LIMIT, note)


def simulation_row(folder: Path) -> BenchRow:
    """Simulate a few episodes into `folder`. Raises HalError when the command fails."""
    out = folder / "episodes"
    limit = str(SIMULATED_EPISODES)
    taken_s = timed("sim", "--out", str(out), "--splits", "test", "--limit", limit, "--jobs", "1", "--no-extras")
    simulated_s = 0.0
    for bag in sorted(path.parent for path in out.rglob("metadata.yaml")):
        times = [message.receive_ns for message in read_messages(bag)]
        simulated_s += (times[-1] - times[0]) * 1e-9
    note = f"{simulated_s:.0f} s at 128x128, one camera, in {taken_s:.1f} s, start of the command and writing included"
    return at_least(SIMULATION_NAME, simulated_s / taken_s, UNIT, REAL_TIME_FACTOR_LIMIT, note)


def timed(*arguments: str) -> float:
    """Run a subcommand of hal in a process; return its wall time in seconds. Raises HalError when it fails."""
    command = [sys.executable, "-m", "hal_ros", *arguments]
    started = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise HalError(f"hal {arguments[0]} took longer than {COMMAND_LIMIT_S:.0f} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise HalError(f"hal {arguments[0]} ended with code {done.returncode}: {last}")
    return time.monotonic() - started
