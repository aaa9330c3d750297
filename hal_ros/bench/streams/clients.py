"""What waiting planners cost the labels: many clients come and go in one run, and labels are late by as much or not."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hal_ros.bench.live_run import START_LIMIT_S, check_alive
from hal_ros.bench.rows import BenchRow, at_most, baseline, unmeasured
from hal_ros.core.errors import HalError
from hal_ros.live.demo import DEMO_RECORDING
from hal_ros.live.processes import Interrupts, Processes
from hal_ros.live.system import LAST_REPORT_S, Live, start_all
from hal_ros.offline.recording import LabelAnswer, read_recording

CLIENTS, PAIRS, WINDOW_S = 20, 4, 15.0
SETTLE_S = 1.0  # of each window: clients come or go
LIMIT = 1.25
RATIO_NAME = f"label latency p99 with {CLIENTS} planners that wait, over without"
EXPECTED = [(RATIO_NAME, "x", f"<= {LIMIT:g}")]


class Window(NamedTuple):
    """A stretch of one run, in seconds of the wall's clock."""

    start_s: float
    end_s: float
    with_clients: bool


def rows(model: Path, folder: Path) -> list[BenchRow]:
    """Run the demo recording against the model, with and without clients in turns; logs go into `folder`.

    Raises HalError when a process ends by itself, or no label comes.
    """
    live = Live(model, folder / "clients", DEMO_RECORDING)
    windows, note = _run(live)
    labels = read_recording(live.recording).labels
    shutil.rmtree(live.recording)
    return ratio_rows(labels, windows, note)


def ratio_rows(labels: Sequence[LabelAnswer], windows: Sequence[Window], note: str = "") -> list[BenchRow]:
    """Return the ratio of both p99, and what they are: from a label's stamp to its reception."""
    late_ms = {state: np.concatenate([[], *_latencies_ms(labels, windows, state)]) for state in (True, False)}
    if not all(map(len, late_ms.values())):
        return [unmeasured(*EXPECTED[0], "no label came in one kind of window")]
    (on50, on99), (off50, off99) = (np.percentile(late_ms[state], (50, 99)).tolist() for state in (True, False))
    counts = f"{len(late_ms[True])} labels with and {len(late_ms[False])} without"
    return [
        at_most(RATIO_NAME, on99 / off99, "x", LIMIT, "; ".join(filter(None, [counts, note]))),
        baseline(f"label latency p50 with {CLIENTS} planners, over without", on50 / off50, "x"),
        baseline("label latency p99 without planners", off99, "ms"),
    ]


def _latencies_ms(labels: Sequence[LabelAnswer], windows: Sequence[Window], state: bool) -> list[list[float]]:
    return [
        [
            (label.receive_ns - label.stamp_ns) * 1e-6
            for label in labels
            if window.start_s + SETTLE_S <= label.receive_ns * 1e-9 <= window.end_s
        ]
        for window in windows
        if window.with_clients == state
    ]


def _run(live: Live) -> tuple[list[Window], str]:
    """Return the windows, and what the clients did."""
    from hal_ros.bench.streams.waiting_clients import WaitingClients  # late: the other parts need no ROS

    windows: list[Window] = []
    with Interrupts() as interrupts, Processes(live.logs, interrupts) as processes:
        robot = start_all(processes, live)
        with WaitingClients(CLIENTS) as clients:
            began = time.monotonic()
            while not clients.begin():
                check_alive(processes, interrupts)
                if time.monotonic() - began > START_LIMIT_S:
                    raise HalError(f"no segmenter within {START_LIMIT_S:.0f} s; the logs lie in {live.logs}")
            for number in range(2 * PAIRS):
                if number % 2:
                    clients.end()
                elif number:
                    clients.begin()
                start_s = time.time()
                clients.spin(WINDOW_S)
                check_alive(processes, interrupts)
                windows.append(Window(start_s, time.time(), number % 2 == 0))
            processes.end(robot)
            clients.spin(LAST_REPORT_S)
    return windows, f"{clients.reached} goals reached, {clients.feedback} feedbacks, {clients.answered} states asked"
