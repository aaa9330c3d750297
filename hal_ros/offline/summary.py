"""What a command says of a bag that went through the segmenter: inputs, counts, speed and faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hal_ros.bags.inputs import BagInputs
from hal_ros.bags.messages import header_stamp_ns
from hal_ros.bags.reader import BagMessage
from hal_ros.core.streams import counts
from hal_ros.core.streams.counts import CAUSES
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.offline.replay import BOUNDARY_TOPIC, LABEL_TOPIC


def inputs_lines(bag: Path, inputs: BagInputs) -> Iterator[str]:
    """Yield from which topics of a bag the streams come, and what is wrong with those that do not."""
    yield f"{bag}: {inputs}"
    for line in (*inputs.problems, *inputs.remarks):
        yield f"{bag}: {line}"


@dataclass
class AnswerTally:
    """What went by of answers, without keeping them: how many of each topic, and the stamps of the first and last."""

    counts: Counter[str] = field(default_factory=Counter)
    first_ns: int = 0
    last_ns: int = 0

    def of(self, answers: Iterable[BagMessage]) -> Iterator[BagMessage]:
        """Count answers as they pass."""
        for answer in answers:
            self.counts[answer.topic] += 1
            if answer.topic == LABEL_TOPIC:
                self.last_ns = header_stamp_ns(answer.data) or 0
                self.first_ns = self.first_ns or self.last_ns
            yield answer


def summary_lines(
    tally: AnswerTally,
    wall_s: float,
    counters: Counter[str],
    reasons: Mapping[str, str] | None = None,
    spec: StreamSpec | None = None,
) -> Iterator[str]:
    """Yield counts, and the speed: seconds of the robot's time, by its stamps, per second of this machine's.

    `counters` and `reasons` are those of `frames.due_frames` and `named_ticks.named_frames`. With the model's streams
    it is said, too, at which rate the clock's messages come if its ticks began anew.
    """
    yield f"{tally.counts[LABEL_TOPIC]} labels, {tally.counts[BOUNDARY_TOPIC]} boundaries"
    robot_s = (tally.last_ns - tally.first_ns) / 1e9
    if robot_s > 0:
        yield f"{robot_s:.1f} s in {wall_s:.1f} s: {robot_s / wall_s:.1f} times real time"
    elif tally.counts[LABEL_TOPIC] > 1:
        yield f"done in {wall_s:.1f} s; how long it took the robot is unknown, as its stamps go back"
    if found := counts.faults(counters):
        yield f"counted: {', '.join(found)}"
    restarts = counters[counts.RESTARTS] - 1
    if spec is not None and restarts > 0 and robot_s > 0:
        between = counters[counts.key(spec.clock, counts.RECEIVED)] - 2  # the last began no grid: none came after it
        rate_hz = between / robot_s
        yield f"the tick grid began anew {restarts} times: {counts.slow_clock(spec, rate_hz)}; segments end there"
    yield from reason_lines(reasons or {})


def reason_lines(reasons: Mapping[str, str]) -> Iterator[str]:
    """Yield why messages could not be read, one line for each counter: the first of them stands for the others."""
    for key, reason in sorted(reasons.items()):
        stream, _, cause = key.partition("/")
        yield f"{stream}: {CAUSES[cause]}, the first one because: {reason}"
