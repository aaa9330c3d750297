"""The node beside two raw cameras and fast topics, as processes: a bag is played, and the node's cost is sampled."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hal_ros.bags.messages import header_message, serialise
from hal_ros.bags.sensors import IMAGE
from hal_ros.bench.live import (
    SETTLE_S,
    SLOPE_LIMIT_MB_PER_MINUTE,
    ProcessSample,
    Sampler,
    latencies_ms,
    slope_row,
    status_value,
    usage,
)
from hal_ros.bench.live_run import check_alive
from hal_ros.bench.rows import BenchRow, at_most, baseline, unmeasured
from hal_ros.bench.streams import robot
from hal_ros.bench.streams.arrivals import CAMERA_HZ, WRENCH_HZ, SentTopic, arrivals, states, write_bag
from hal_ros.live.processes import Interrupts, Processes
from hal_ros.live.robot_streams import SUBSCRIBERS_WAIT_S
from hal_ros.live.system import LAST_REPORT_S, RECORDING, Live, start_node
from hal_ros.offline.recording import Recording, read_recording
from hal_ros.runtime.bundle import load_bundle
from hal_ros.sim.messages import image

SECONDS, JOINTS_HZ = 20, 500
PICTURES = 4  # that differ, of each camera
SAMPLE_PERIOD_S = 0.25
CPU_LIMIT_PERCENT, MEMORY_LIMIT_MB = 60.0, 450.0
ROBOT = "two cameras"
NODE = f"segmenter, {ROBOT}"
CPU_NAME, MEMORY_NAME, LOSS_NAME = f"CPU of {NODE}", f"memory of {NODE}, peak", f"messages lost on the way, {ROBOT}"
CPU_UNIT, LOSS_UNIT = "% of a core", "messages"
EXPECTED = [
    (CPU_NAME, CPU_UNIT, f"<= {CPU_LIMIT_PERCENT:g}"),
    (MEMORY_NAME, "MB", f"<= {MEMORY_LIMIT_MB:g}"),
    (LOSS_NAME, LOSS_UNIT, "<= 0"),
]
SOAK_S = 600.0
SOAK_NAME = f"memory of {NODE}, growth over ten minutes"
SOAK_EXPECTED = [(SOAK_NAME, "MB/min", f"<= {SLOPE_LIMIT_MB_PER_MINUTE:g}")]
RECORDED = ("action_label", "segmenter/vocabulary", "/diagnostics")  # to write pictures down would load the machine


def rows(model: Path, folder: Path, seconds: int = SECONDS) -> list[BenchRow]:
    """Run an untrained model with the actions of `model` for so long; bag, bundle and logs go into `folder`.

    Raises HalError without torch, and when a process ends by itself or no label comes.
    """
    live, sent = prepare(model, folder, seconds)
    samples, recording = run(live)
    busy = while_busy(samples, recording)
    return [*cost_rows(busy), slope_row(NODE, busy), loss_row(recording, sent), *latency_rows(recording)]


def soak_rows(model: Path, folder: Path) -> list[BenchRow]:
    """Play the bag again and again for ten minutes; return how memory grows. Raises as `rows` does."""
    live, _ = prepare(model, folder, SECONDS)
    return [replace(slope_row(NODE, while_busy(*run(live, SOAK_S))), name=SOAK_NAME)]


def prepare(model: Path, folder: Path, seconds: int) -> tuple[Live, dict[str, int]]:
    """Write bundle and bag; return what is to run, and how many messages of each stream the bag has."""
    bundle = robot.untrained_bundle(load_bundle(model).card, robot.streams(), folder / "cameras-2")
    carried = states() | {name: raw_camera(name, seed) for seed, name in enumerate(bundle.card.streams.cameras)}
    shutil.rmtree(folder / "bag", ignore_errors=True)
    sent = write_bag(folder / "bag", carried, arrivals(seconds, JOINTS_HZ))
    return Live(bundle.folder, Path(tempfile.mkdtemp(prefix="live-", dir=folder)), folder / "bag"), sent


def raw_camera(name: str, seed: int) -> SentTopic:
    """Return a camera's pictures as raw messages."""
    header = header_message(1, name)
    pictures = [robot.picture(PICTURES * seed + number) for number in range(PICTURES)]
    return SentTopic(robot.TOPICS[name], IMAGE, [serialise(image(pixels, header)) for pixels in pictures])


def while_busy(samples: Sequence[ProcessSample], recording: Recording) -> list[ProcessSample]:
    """Return the samples between the first label, with time to settle, and the last one."""
    first_s, last_s = (recording.labels[index].receive_ns * 1e-9 for index in (0, -1))
    return [sample for sample in samples if first_s + SETTLE_S <= sample.time_s <= last_s]


def cost_rows(samples: Sequence[ProcessSample]) -> list[BenchRow]:
    """Return what the node took of a core, and its memory."""
    if len(samples) < 2:
        reason = f"only {len(samples)} samples between labels, after settling"
        return [unmeasured(*row, reason) for row in EXPECTED[:2]]
    percent, memory_mb = usage(samples)
    note = f"640x480 rgb8 at {CAMERA_HZ} Hz, joints at {JOINTS_HZ} Hz, wrench at {WRENCH_HZ} Hz"
    return [
        at_most(CPU_NAME, percent, CPU_UNIT, CPU_LIMIT_PERCENT, note),
        at_most(MEMORY_NAME, memory_mb, "MB", MEMORY_LIMIT_MB),
    ]


def loss_row(recording: Recording, sent: Mapping[str, int]) -> BenchRow:
    """Return how many of the messages that were sent the node did not take, of all streams together."""
    lost = {}
    for stream, count in sent.items():
        key = "images" if stream in robot.streams().cameras else "messages"
        taken = status_value(recording, f"segmenter: {stream}", key)
        if taken is None:
            reason = f"the recording holds no diagnostics of {stream}"
            return unmeasured(LOSS_NAME, LOSS_UNIT, "<= 0", reason)
        lost[stream] = count - int(taken)
    each = ", ".join(f"{count} of {sent[stream]} of {stream}" for stream, count in lost.items())
    return at_most(LOSS_NAME, sum(lost.values()), LOSS_UNIT, 0, each)


def latency_rows(recording: Recording) -> list[BenchRow]:
    """Return how long after its image's stamp a label reached the recorder."""
    p50, p99 = latencies_ms(recording)
    note = f"{len(recording.labels)} labels"
    return [
        baseline(f"image stamp to label, p50, {ROBOT}", p50, "ms", note),
        baseline(f"image stamp to label, p99, {ROBOT}", p99, "ms", note),
    ]


def run(live: Live, loop_s: float = 0.0) -> tuple[Sequence[ProcessSample], Recording]:
    """Play the bag to its end, or again and again for so long; return samples of the segmenter by wall time.

    Segmenter and recorder run beside it. Raises HalError when one of the three ends by itself, or no label came.
    """
    ends_s = time.monotonic() + (loop_s or math.inf)
    with Interrupts() as interrupts, Processes(live.logs, interrupts) as processes:
        playing = {"bag": str(live.bag), "loop": loop_s > 0, "wait_for_subscribers_s": SUBSCRIBERS_WAIT_S}
        player = start_node(processes, "player", "player", playing)
        segmenter = start_node(processes, "segmenter", "segmenter.main", {"model": str(live.model), "autostart": True})
        recording = {"output": str(live.folder), "name": RECORDING, "topics": RECORDED}
        start_node(processes, "recorder", "recorder", recording)
        sampler = Sampler({"segmenter": segmenter.process.pid})
        while player.process.poll() is None and time.monotonic() < ends_s:
            check_alive(processes, interrupts, player)
            sampler.look(time.time())
            time.sleep(SAMPLE_PERIOD_S)
        check_alive(processes, interrupts, player)
        processes.end(player)
        time.sleep(LAST_REPORT_S)
    return sampler.samples["segmenter"], read_recording(live.recording)
