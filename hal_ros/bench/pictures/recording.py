"""Whether the recorder loses pictures of three raw cameras, beside a plain write of the same bytes in the same run."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcap.reader import make_reader

from hal_ros.bench.live_run import check_alive
from hal_ros.bench.pictures.raw import HEIGHT_PX, WIDTH_PX, messages
from hal_ros.bench.rows import BenchRow, at_most, baseline, unmeasured
from hal_ros.core.errors import HalError
from hal_ros.live.processes import Child, Interrupts, Processes
from hal_ros.live.system import RECORDING, start_node

CAMERAS, HZ, SECONDS = 3, 30, 8
TOPICS = tuple(f"/camera_{number}/image_raw" for number in range(1, CAMERAS + 1))
LOST = f"pictures of {CAMERAS} raw cameras lost by the recorder"
UNIT = "pictures"
EXPECTED = [(LOST, UNIT, "<= 0")]


@dataclass(frozen=True)
class RecorderRun:
    """What went out, what is in the file, and how fast the same bytes could be written; counts by topic."""

    sent: Mapping[str, int]
    recorded: Mapping[str, int]
    due: int  # of all cameras together
    seconds: float
    plain_s: float  # that a plain write of all that was sent took


def rows(folder: Path, seconds: int = SECONDS) -> list[BenchRow]:
    """Record three cameras for so long. Raises HalError when a process ends by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    return loss_rows(run(Path(tempfile.mkdtemp(prefix="recorder-", dir=folder)), seconds))


def run(folder: Path, seconds: int) -> RecorderRun:
    """Run cameras and recorder, then write the same bytes plainly; what both wrote is removed again."""
    results = {topic: folder / f"camera_{number}.json" for number, topic in enumerate(TOPICS, 1)}
    with Interrupts() as interrupts, Processes(folder / "logs", interrupts) as processes:
        recorder = {"output": str(folder), "name": RECORDING, "topics": list(TOPICS), "compression": "none"}
        start_node(processes, "recorder", "recorder", recorder)
        cameras: list[Child] = []
        for topic, path in results.items():
            command = [sys.executable, "-m", "hal_ros.bench.pictures.camera", str(path), topic, str(seconds), str(HZ)]
            cameras.append(processes.start(path.stem, command, os.environ))
        while any(camera.process.poll() is None for camera in cameras):
            time.sleep(0.25)
            ended = next((camera for camera in cameras if camera.process.poll() is not None), None)
            if ended is None or ended.process.returncode:
                check_alive(processes, interrupts)
    written = {topic: json.loads(path.read_text(encoding="utf-8")) for topic, path in results.items()}
    sent = {topic: int(one["sent"]) for topic, one in written.items()}
    recorded = recorded_counts(folder / RECORDING / f"{RECORDING}_0.mcap")
    shutil.rmtree(folder / RECORDING)
    due = sum(int(one["due"]) for one in written.values())
    return RecorderRun(sent, recorded, due, seconds, plain_write_s(folder / "plain", sum(sent.values())))


def recorded_counts(file: Path) -> dict[str, int]:
    """Return how many messages of each topic a finished file has; raises HalError where it does not say so."""
    with file.open("rb") as stream:
        summary = make_reader(stream).get_summary()
    if summary is None or summary.statistics is None:
        raise HalError(f"{file}: has no summary; expected a finished recording")
    counts = summary.statistics.channel_message_counts
    return {channel.topic: counts.get(number, 0) for number, channel in summary.channels.items()}


def plain_write_s(path: Path, count: int) -> float:
    """Write so many pictures, one behind the other, and remove them; return how long it took."""
    ready, started_s = messages(), time.monotonic()
    with path.open("wb", buffering=0) as stream:
        for number in range(count):
            stream.write(ready[number % len(ready)])
    taken_s = time.monotonic() - started_s
    path.unlink()
    return taken_s


def loss_rows(found: RecorderRun) -> list[BenchRow]:
    """Return what was lost, with a verdict where a plain write keeps up, and what cameras and disk managed."""
    sent = sum(found.sent.values())
    lost = {topic: count - found.recorded.get(topic, 0) for topic, count in found.sent.items()}
    rate = sent * HEIGHT_PX * WIDTH_PX * 3e-6
    each = ", ".join(f"{count} of {found.sent[topic]} of {topic}" for topic, count in lost.items())
    note = f"{WIDTH_PX}x{HEIGHT_PX} rgb8 at {HZ} Hz, compression none: {each}"
    verdict = at_most(LOST, sum(lost.values()), UNIT, 0, note)
    if found.plain_s > found.seconds:
        slow = f"a plain write of the same bytes takes {found.plain_s:.1f} s for {found.seconds:g} s; lost: {each}"
        verdict = unmeasured(LOST, UNIT, "<= 0", slow)
    return [
        verdict,
        baseline("of those due, sent by the cameras", 100 * sent / found.due, "%"),
        baseline("of those sent, recorded", 100 * (1 - sum(lost.values()) / max(sent, 1)), "%"),
        baseline("pictures sent by the cameras", rate / found.seconds, "MB/s"),
        baseline("plain write of the same bytes", rate / found.plain_s, "MB/s"),
    ]
