"""What a live run cost: from its recording and from samples of its processes, both taken from outside the node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import psutil

from hal_ros.bench.rows import BenchRow, at_least, at_most, baseline, unmeasured
from hal_ros.offline.recording import Recording

SETTLE_S = 5.0  # of the samples' beginning is left out: models are read and warmed up
LATENCY_P50_LIMIT_MS, LATENCY_P99_LIMIT_MS = 25.0, 60.0
CPU_LIMIT_PERCENT, MEMORY_LIMIT_MB = 50.0, 350.0
FIRST_LABEL_LIMIT_S = 5.0
SLOPE_LIMIT_MB_PER_MINUTE = 0.2
REAL_TIME_LIMIT = 0.98
SHORT_S, FEWEST_SAMPLES = 300.0, 10


class ProcessSample(NamedTuple):
    """One look at one process: monotonic time, CPU time used so far, resident memory."""

    time_s: float
    cpu_s: float
    memory_mb: float


class Sampler:
    """Looks at running processes by name whenever it is told to."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self.samples: dict[str, list[ProcessSample]] = {name: [] for name in pids}

    def look(self, time_s: float) -> None:
        """Take one sample of each; raises psutil.Error when one has ended."""
        for name, process in self._processes.items():
            with process.oneshot():
                cpu, memory = process.cpu_times(), process.memory_info()
            self.samples[name].append(ProcessSample(time_s, cpu.user + cpu.system, memory.rss / 1e6))


def rows(
    recording: Recording, samples: Mapping[str, Sequence[ProcessSample]], first_label_s: float, camera: str
) -> list[BenchRow]:
    """Return the rows of one live run whose node is called `segmenter`, with its camera's name as of the model."""
    return [
        at_most("first label after the start", first_label_s, "s", FIRST_LABEL_LIMIT_S),
        *latency_rows(recording),
        *share_rows(recording),
        loss_row(recording, camera),
        *(row for name, taken in samples.items() for row in process_rows(name, settled(taken))),
        slope_row("segmenter", settled(samples["segmenter"])),
        robot_row(recording),
    ]


def settled(samples: Sequence[ProcessSample]) -> list[ProcessSample]:
    """Leave out the first seconds."""
    return [sample for sample in samples if sample.time_s >= samples[0].time_s + SETTLE_S]


def latency_rows(recording: Recording) -> list[BenchRow]:
    """Return how long after its image's stamp a label reached the recorder, which is in another process."""
    p50, p99 = latencies_ms(recording)
    note = f"{len(recording.labels)} labels, as received by the recorder"
    return [
        at_most("image stamp to label, p50", p50, "ms", LATENCY_P50_LIMIT_MS, note),
        at_most("image stamp to label, p99", p99, "ms", LATENCY_P99_LIMIT_MS, note),
    ]


def latencies_ms(recording: Recording) -> tuple[float, float]:
    """Return p50 and p99 of the time in ms from a label's stamp to its reception."""
    late_ms = [(label.receive_ns - label.stamp_ns) * 1e-6 for label in recording.labels]
    p50, p99 = np.percentile(late_ms, (50, 99)).tolist()
    return p50, p99


def share_rows(recording: Recording) -> list[BenchRow]:
    """Return what of that latency robot and node say is theirs; an image is stamped before it is rendered."""
    shares = (
        ("rendering in the simulated robot, newest image", "simulated_robot: simulation", "render_ms"),
        ("node, image received to label published, p50", "segmenter: model", "total_p50_ms"),
        ("node, image received to label published, p99", "segmenter: model", "total_p99_ms"),
    )
    found = ((name, status_value(recording, status, key)) for name, status, key in shares)
    return [baseline(f"of this, {name}", value, "ms") for name, value in found if value is not None]


def loss_row(recording: Recording, camera: str) -> BenchRow:
    """Return how many images of a camera the robot published that the node did not receive.

    They count from the first labelled one on: the first image after activation is always labelled, so its stamp is
    where the node's counter began. The robot says one truth per image, in reliable messages.
    """
    name, unit = "images lost between robot and node", "images"
    received = status_value(recording, f"segmenter: {camera}", "images")
    stamps = sorted({mark.stamp_ns for mark in recording.truth})
    if received is None or not stamps:
        missing = f"no diagnostics of the camera {camera!r}" if received is None else "no truth"
        return unmeasured(name, unit, "<= 0", f"the recording holds {missing}")
    if stamps[0] > recording.start_ns:
        return unmeasured(name, unit, "<= 0", "the recorder began after the first label")
    published = sum(stamp >= recording.start_ns for stamp in stamps)
    return at_most(name, max(published - int(received), 0), unit, 0, f"of {published} published")


def process_rows(name: str, samples: Sequence[ProcessSample]) -> list[BenchRow]:
    """Return CPU use, in percent of one core, and the peak of resident memory; with limits for the segmenter."""
    cpu_name, memory_name = f"CPU of {name}", f"memory of {name}, peak"
    if len(samples) < 2:
        return [unmeasured(cpu_name, "% of a core", "", f"only {len(samples)} samples after settling")]
    percent, memory_mb = usage(samples)
    if name != "segmenter":
        return [baseline(cpu_name, percent, "% of a core"), baseline(memory_name, memory_mb, "MB")]
    return [
        at_most(cpu_name, percent, "% of a core", CPU_LIMIT_PERCENT),
        at_most(memory_name, memory_mb, "MB", MEMORY_LIMIT_MB),
    ]


def usage(samples: Sequence[ProcessSample]) -> tuple[float, float]:
    """Return CPU time in percent of one core, and the largest resident memory in MB, of at least two samples."""
    first, last = samples[0], samples[-1]
    percent = 100 * (last.cpu_s - first.cpu_s) / (last.time_s - first.time_s)
    return percent, max(sample.memory_mb for sample in samples)


def slope_row(name: str, samples: Sequence[ProcessSample]) -> BenchRow:
    """Return by how much memory grows, as the slope of a straight line through the samples' second half."""
    row_name, unit = f"memory of {name}, growth", "MB/min"
    later = samples[len(samples) // 2 :]
    if len(later) < FEWEST_SAMPLES:
        reason = f"only {len(later)} samples"
        return unmeasured(row_name, unit, f"<= {SLOPE_LIMIT_MB_PER_MINUTE:g}", reason)
    minutes = (np.array([sample.time_s for sample in later]) - later[0].time_s) / 60
    slope = float(np.polyfit(minutes, [sample.memory_mb for sample in later], 1)[0])
    seconds = later[-1].time_s - later[0].time_s
    note = f"over the last {seconds:.0f} s"
    if seconds < SHORT_S / 2:
        return baseline(row_name, slope, unit, f"{note}: too short to judge; `hal bench --full` runs ten minutes")
    return at_most(row_name, slope, unit, SLOPE_LIMIT_MB_PER_MINUTE, note)


def robot_row(recording: Recording) -> BenchRow:
    """Return how fast simulated time ran against the clock of this machine."""
    factor = status_value(recording, "simulated_robot: simulation", "real_time_factor")
    name, unit = "simulated robot beside the segmenter", "x real time"
    if factor is None:
        return unmeasured(name, unit, f">= {REAL_TIME_LIMIT:g}", "the robot published no diagnostics")
    return at_least(name, factor, unit, REAL_TIME_LIMIT)


def status_value(recording: Recording, name: str, key: str) -> float | None:
    """Return a figure out of the last diagnostics of the component `name`; None where there is none."""
    values = (status.values[key] for status in recording.statuses if status.name == name and key in status.values)
    return next(map(float, values), None)
