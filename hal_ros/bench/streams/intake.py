"""What fast topics cost before a tick: reading messages, merging states, making the tick; and whether memory grows."""

from __future__ import annotations

import gc
import sys
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hal_ros.bags.definitions import BagTypes
from hal_ros.bench.rows import BenchRow, at_most, baseline
from hal_ros.bench.streams import robot
from hal_ros.bench.streams.arrivals import Arrival, arrivals
from hal_ros.core.arrays import ByteArray, FloatArray
from hal_ros.core.card import ModelCard
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.step import StepInput, StepOutput
from hal_ros.core.streams.intake import Due, Intake
from hal_ros.core.streams.merge import StateSample
from hal_ros.core.streams.pictures import TimedPicture
from hal_ros.core.streams.readers import Reading, make_reader
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.runtime.bundle import load_bundle

JOINTS_HZ = 1000
TICK_LIMIT_US = 50.0
ROUNDS, ROUND_S = 8, 2
UPTIME_S, UPTIME_HZ = 3600, 50  # an hour's messages of slower topics: as many ticks, and memory grows by messages too
PIPELINE_S = 600
BLOCKS_LIMIT = 1000  # an hour is 36,000 ticks and 360,000 messages: of whatever stays, there would be as many
TICK_NAME = f"intake per due tick beside joints at {JOINTS_HZ} Hz, median"
UNNAMED_NAME = f"{TICK_NAME}, one joint never sent"
INTAKE_NAME, PIPELINE_NAME = "memory of the intake, growth over an hour", "memory of the pipeline, growth in 10 minutes"
BLOCKS = "blocks"
EXPECTED = [
    (TICK_NAME, "us", f"<= {TICK_LIMIT_US:g}"),
    (INTAKE_NAME, BLOCKS, f"<= {BLOCKS_LIMIT}"),
    (PIPELINE_NAME, BLOCKS, f"<= {BLOCKS_LIMIT}"),
]


class Feeder:
    """Gives an intake what arrives, as the executor's thread does. The driver of the arm sends the named joints."""

    def __init__(self, spec: StreamSpec, names: Sequence[str] = robot.JOINTS) -> None:
        self.spec = spec
        joints = robot.joint_message(1, names)
        for field in ("position", "velocity", "effort"):
            setattr(joints, field, array("d", getattr(joints, field)))  # as rclpy's messages have them
        self._messages = {robot.ARM: joints, robot.WRENCH: robot.wrench_message(1)}
        describe = BagTypes().describe
        self._readers = {
            name: make_reader(state, robot.TYPES[name], describe) for name, state in self.spec.states.items()
        }
        self._intake = Intake(self.spec)

    def take(self, arrival: Arrival, picture: ByteArray | None = None) -> Due | None:
        """Read one message and give it to the intake; of a camera the picture is passed on."""
        stream, stamp_ns = arrival
        topic = robot.TOPICS[stream]
        if stream in self.spec.cameras:
            return self._intake.picture(stream, TimedPicture(stamp_ns, topic, picture))
        reading = self._readers[stream].read(self._messages[stream])
        assert isinstance(reading, Reading)  # it names what the model knows
        return self._intake.state(stream, StateSample(stamp_ns, topic, reading.values, reading.present))


def rows(model: Path) -> list[BenchRow]:
    """Measure on one thread, with the card of the bundle `model` for the pipeline. Raises CardError for its bundle."""
    card = replace(load_bundle(model).card, streams=robot.streams())
    one = StreamSpec(robot.FRONT, robot.streams(1).cameras, {robot.ARM: robot.streams().states[robot.ARM]})
    asked = (one, robot.JOINTS), (one, robot.JOINTS[:-1]), (robot.streams(), robot.JOINTS)
    rounds = np.array([[costs_us(Feeder(*each), ROUND_S) for each in asked] for _ in range(ROUNDS)])
    # Caches that another process has emptied double both: of the rounds' medians the lowest is the code's own cost.
    (tick_us, message_us), (partial_us, partial_message_us), (whole_us, _) = rounds.min(0).tolist()
    note = f"a camera, seven joints; the quietest of {ROUNDS} rounds of {ROUND_S} s, in turns"
    hour = f"{UPTIME_S * 10} ticks, joints at {UPTIME_HZ} Hz; a block is what Python allocates for one object"
    return [
        at_most(TICK_NAME, tick_us, "us", TICK_LIMIT_US, note),
        baseline(UNNAMED_NAME, partial_us, "us"),
        baseline("the same of two cameras, joints and a wrench, median", whole_us, "us"),
        baseline("message of joints read and merged, median", message_us, "us"),
        baseline("the same, one joint never sent", partial_message_us, "us"),
        at_most(INTAKE_NAME, intake_growth(UPTIME_S), BLOCKS, BLOCKS_LIMIT, hour),
        at_most(PIPELINE_NAME, pipeline_growth(card, PIPELINE_S), BLOCKS, BLOCKS_LIMIT, "intake included, no graphs"),
    ]


def costs_us(feeder: Feeder, seconds: int) -> tuple[float, float]:
    """Return the median wall time in microseconds of a due tick and of a message of the arm.

    Both are shorter than the scheduler's slice, and a look at the processor time would itself be part of it.
    """
    ticks, joints = [], []
    for arrival in arrivals(seconds, JOINTS_HZ):
        if arrival.stream not in feeder.spec.names:
            continue
        began_ns = time.perf_counter_ns()
        due = feeder.take(arrival)
        taken_us = (time.perf_counter_ns() - began_ns) * 1e-3
        if due is not None:
            ticks.append(taken_us)
        elif arrival.stream == robot.ARM:
            joints.append(taken_us)
    return float(np.median(ticks)), float(np.median(joints))


def intake_growth(seconds: int) -> int:
    """Return by how many blocks an intake grows, from a fifth of the time to its end."""
    feeder = Feeder(robot.streams())
    return blocks_growth(arrivals(seconds, UPTIME_HZ, UPTIME_HZ), seconds, feeder.take)


def pipeline_growth(card: ModelCard, seconds: int) -> int:
    """Return by how many blocks intake and pipeline grow together, from a fifth of the time to its end."""
    from hal_ros.ros.segmenter.inputs import ReceivedFrame  # late: the other parts need no ROS
    from hal_ros.ros.segmenter.pipeline import Pipeline, PipelinePorts

    feeder, side = Feeder(robot.streams()), card.streams.size_px
    pictures = [np.full((side, side, 3), grey, np.uint8) for grey in range(2)]
    ports = PipelinePorts(lambda message: message, time.time_ns, lambda _: None, lambda _: None)
    pipeline = Pipeline(Segmenter(card, Blank(card)), ports)

    def take(arrival: Arrival) -> None:
        due = feeder.take(arrival, pictures[arrival.stream == robot.FRONT])
        if due is not None:
            pipeline.handle(ReceivedFrame(due, time.perf_counter_ns()))

    return blocks_growth(arrivals(seconds, UPTIME_HZ, UPTIME_HZ), seconds, take)


def blocks_growth(arriving: Iterable[Arrival], seconds: int, take: Callable[[Arrival], object]) -> int:
    """Take all that arrives; return how many more blocks are allocated at the end than after a fifth of the seconds."""
    before, settled_ns = None, seconds * 10**9 // 5
    for arrival in arriving:
        if before is None and arrival.stamp_ns > settled_ns:
            before = _blocks()
        take(arrival)
    assert before is not None  # more arrives than in the first fifth
    return _blocks() - before


def _blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


class Blank:
    """A backend without graphs, whose actions take turns every five seconds."""

    name = "blank"

    def __init__(self, card: ModelCard) -> None:
        self._feature = np.zeros(card.feature_dim, np.float32)
        self._outputs = []
        for action in range(2):
            log_probs = np.full(len(card.vocabulary), -9.0, np.float32)
            log_probs[action] = 0.0
            self._outputs.append(StepOutput(log_probs, log_probs, 0.0))

    def encode(self, image: ByteArray) -> FloatArray:  # noqa: ARG002
        """Return zeros."""
        return self._feature

    def initial_state(self) -> int:
        """Return how many ticks were stepped."""
        return 0

    def step(self, inputs: StepInput, state: int) -> tuple[StepOutput, int]:  # noqa: ARG002
        """Count one tick more."""
        return self._outputs[state // 50 % 2], state + 1
