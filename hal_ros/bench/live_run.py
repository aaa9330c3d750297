"""Runs the live system, and another one for ten minutes, while its processes are sampled."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hal_ros.bench.live import ProcessSample, Sampler, rows, settled, slope_row, status_value
from hal_ros.bench.pictures.walk import walk_rows, walks
from hal_ros.bench.rows import BenchRow
from hal_ros.core.errors import HalError
from hal_ros.live.processes import Child, Interrupts, Processes
from hal_ros.live.system import LAST_REPORT_S, Live, start_all
from hal_ros.offline.recording import read_recording
from hal_ros.runtime.bundle import load_bundle

LIVE_S, SOAK_S = 60.0, 600.0
START_LIMIT_S = 60.0
SAMPLE_PERIOD_S = 1.0
EXPECTED = [
    ("first label after the start", "s", "<= 5"),
    ("image stamp to label, p50", "ms", "<= 25"),
    ("image stamp to label, p99", "ms", "<= 60"),
    ("images lost between robot and node", "images", "<= 0"),
    ("CPU of segmenter", "% of a core", "<= 50"),
    ("memory of segmenter, peak", "MB", "<= 350"),
]
SOAK_NAME = "memory of segmenter, growth over ten minutes"
SOAK_EXPECTED = [(SOAK_NAME, "MB/min", "<= 0.2")]


def live_rows(live: Live) -> list[BenchRow]:
    """Return the rows of a minute. Raises HalError when a process ends by itself, or no label comes."""
    streams = load_bundle(live.model).card.streams
    camera = streams.clock if streams.clock in streams.cameras else next(iter(streams.cameras), "")
    samples, first_label_s = _run(live, LIVE_S)
    recording = read_recording(live.recording)
    shares = walk_rows(walks(live.recording), status_value(recording, "segmenter: model", "total_p50_ms"))
    return [*rows(recording, samples, first_label_s, camera), *shares]


def soak_rows(live: Live) -> list[BenchRow]:
    """Return how memory grows over ten minutes. Raises as `live_rows` does."""
    samples, _ = _run(live, SOAK_S)
    shutil.rmtree(live.recording)  # ten minutes of pictures
    return [replace(slope_row("segmenter", settled(samples["segmenter"])), name=SOAK_NAME)]


def _run(live: Live, duration_s: float) -> tuple[Mapping[str, Sequence[ProcessSample]], float]:
    """Run robot, segmenter and recorder; return samples of each by name, and seconds from start to first label.

    Raises HalError when one of them ends by itself, or no label comes.
    """
    from hal_ros.ros.view.main import Listener  # late: the other parts need no ROS
    from hal_ros.ros.view.state import ViewTracker

    tracker = ViewTracker("")
    with Interrupts() as interrupts, Processes(live.logs, interrupts) as processes:
        started = time.monotonic()
        robot = start_all(processes, live)
        with Listener(tracker) as listener:
            while not tracker.label_count:
                listener.spin(0.01)
                check_alive(processes, interrupts)
                if time.monotonic() - started > START_LIMIT_S:
                    raise HalError(f"no label came within {START_LIMIT_S:.0f} s; the logs lie in {live.logs}")
            first = time.monotonic()
            sampler = Sampler({child.name: child.process.pid for child in processes.children})
            while time.monotonic() - first < duration_s:
                listener.spin(SAMPLE_PERIOD_S)
                check_alive(processes, interrupts)
                sampler.look(time.monotonic())
            processes.end(robot)
            listener.spin(LAST_REPORT_S)
    return sampler.samples, first - started


def check_alive(processes: Processes, interrupts: Interrupts, ends: Child | None = None) -> None:
    """Raise HalError for a process that has ended by itself, unless it is the one that `ends`, without a fault.

    Raises KeyboardInterrupt when somebody wants to stop.
    """
    if interrupts.count:
        raise KeyboardInterrupt
    dead = processes.dead()
    if dead is not None and (dead is not ends or dead.process.returncode):
        last = " / ".join(dead.log_tail(3))
        raise HalError(f"{dead.name} ended by itself with code {dead.process.returncode}: {last}")
