"""What a command says of a bag that went through the segmenter: inputs, counts, speed and faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from hal_ros.bags.inputs import BagInputs
from hal_ros.bags.reader import BagMessage
from hal_ros.core.streams.counts import HARMLESS, by_stream, stream_fault
from hal_ros.datasets.episodes import restarts
from hal_ros.offline.replay import BOUNDARY_TOPIC, LABEL_TOPIC

FAULTS = ("skipped", "repeated", "backwards", "zero", "missing")
"""What is counted of the clock's stamps, and ticks that can't be rebuilt."""


def inputs_lines(bag: Path, inputs: BagInputs) -> Iterator[str]:
    """Yield from which topics of a bag the streams come, and what is wrong with those that do not."""
    yield f"{bag}: {inputs}"
    for line in (*inputs.problems, *inputs.remarks):
        yield f"{bag}: {line}"


def summary_lines(answers: Sequence[BagMessage], wall_s: float, counters: Counter[str]) -> Iterator[str]:
    """Yield counts, and the speed: seconds of the robot's time per second of this machine's.

    `counters` are those of `frames.due_frames` and `replay.named_frames`.
    """
    counts = Counter(answer.topic for answer in answers)
    yield f"{counts[LABEL_TOPIC]} labels, {counts[BOUNDARY_TOPIC]} boundaries"
    if answers:
        robot_s = (answers[-1].receive_ns - answers[0].receive_ns) / 1e9
        yield f"{robot_s:.1f} s in {wall_s:.1f} s: {robot_s / wall_s:.1f} times real time"
    again = restarts(counters)
    faults = [f"{counters[name]} {name}" for name in FAULTS if counters[name]]
    faults += [stream_fault(*counted) for counted in by_stream(counters) if counted[1] not in HARMLESS]
    faults += [f"{again} restart{'' if again == 1 else 's'} of the tick grid"] * bool(again)
    if faults:
        yield f"counted: {', '.join(faults)}"
