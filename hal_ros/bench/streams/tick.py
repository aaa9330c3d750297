"""A tick of two cameras against one of one, all of it as the node's worker does it, by untrained models."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from hal_ros.bags.frames import BagPicture, to_rgb
from hal_ros.bags.messages import header_message
from hal_ros.bags.sensors import IMAGE
from hal_ros.bench.rows import BenchRow, at_most, baseline
from hal_ros.bench.streams import robot
from hal_ros.bench.timing import in_turns, ratio
from hal_ros.core.card import ModelCard
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.step import Backend
from hal_ros.core.streams.intake import Due
from hal_ros.core.streams.merge import Source
from hal_ros.core.streams.pictures import TimedPicture
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.runtime.backend import open_backend
from hal_ros.runtime.bundle import load_bundle
from hal_ros.sim.messages import image

LIMIT = 1.8
NAME, UNIT = "tick of two cameras against one", "times"
EXPECTED = [(NAME, UNIT, f"<= {LIMIT:g}")]


def rows(model: Path, folder: Path, rounds: int = 100) -> list[BenchRow]:
    """Compare, with the actions of the bundle `model`; the others go into `folder`. Raises HalError without torch."""
    shipped, ticks = load_bundle(model).card, dict[str, Ticker]()
    for cameras in (1, 2):
        bundle = robot.untrained_bundle(shipped, robot.streams(cameras), folder / f"cameras-{cameras}")
        ticks[str(cameras)] = Ticker(bundle.card, open_backend(bundle, "onnxruntime")[0])
    with one_thread():
        times = in_turns(ticks, rounds)
    stages = ", ".join(f"{stage} {taken:.2f}" for stage, taken in ticks["2"].stages().items())
    note = f"640x480 rgb8 to label, processor time in turns; with two, in ms of wall time: {stages}"
    return [
        at_most(NAME, ratio(times["2"], times["1"]), UNIT, LIMIT, note),
        baseline("of this, tick of one camera", float(np.median(times["1"])), "ms"),
        baseline("of this, tick of two cameras", float(np.median(times["2"])), "ms"),
    ]


class Ticker:
    """Hands a worker's pipeline one due tick after the other, with a message of each camera that it has not seen."""

    def __init__(self, card: ModelCard, backend: Backend) -> None:
        """Fill the model's window first."""
        from hal_ros.ros.segmenter.pipeline import Pipeline, PipelinePorts  # late: the other parts need no ROS

        ports = PipelinePorts(to_rgb, time.time_ns, lambda _: None, lambda _: None)
        self._card, self._tick = card, 0
        self._messages = {
            name: BagPicture(image(robot.picture(seed), header_message(1, name)), IMAGE)
            for seed, name in enumerate(card.streams.cameras)
        }
        self.pipeline = Pipeline(Segmenter(card, backend), ports)
        for _ in range(card.window_ticks):
            self()

    def __call__(self) -> None:
        """Take one tick all the way to its label's bytes."""
        from hal_ros.ros.segmenter.inputs import ReceivedFrame

        self._tick += 1
        due = due_tick(self._card.streams, self._tick, self._messages)
        self.pipeline.handle(ReceivedFrame(due, time.perf_counter_ns()))

    def stages(self) -> dict[str, float]:
        """Return the median wall time in ms of each stage of a tick."""
        found = self.pipeline.stopwatch.percentiles()
        return {stage: found[stage][0] for stage in ("convert", "encode", "step", "publish")}


def due_tick(spec: StreamSpec, tick: int, messages: dict[str, BagPicture]) -> Due:
    """Return a due tick, 1 or later, with a new picture of each camera, and everything known of the states."""
    stamp_ns, values = tick * spec.period_ns, np.ones(spec.value_count, np.float32)
    pictures = {name: TimedPicture(stamp_ns, f"/{name}", message) for name, message in messages.items()}
    sources = tuple(Source(name, f"/{name}", stamp_ns) for name in spec.names)
    return Due(stamp_ns, tick - 1, spec.period_ns, pictures, values, values, sources)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let OpenCV work on the calling thread alone, as in the node."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
