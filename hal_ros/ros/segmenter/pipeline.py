"""The worker's half of a frame's walk: pixels, step, publish. It owns the model's state: one thread at a time."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hal_ros.bags.answer_messages import boundary_message, label_message, plan_message
from hal_ros.bags.messages import serialise
from hal_ros.core.answers import NO_ACTION, ActionEstimate, BoundaryEstimate
from hal_ros.core.arrays import ByteArray, FloatArray
from hal_ros.core.decoding.known_plan import PlanTracker
from hal_ros.core.observations import Observation
from hal_ros.core.planning.known import LastKnown
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.step import Backend, StepInput, StepOutput
from hal_ros.core.streams import counts
from hal_ros.core.streams.convert import PictureConverter, ToRgb
from hal_ros.core.streams.intake import Due
from hal_ros.ros.segmenter.inputs import ReceivedFrame
from hal_ros.runtime.bulletin import Bulletin

WINDOW = 600
"""Newest durations of each stage that percentiles are taken over: a minute at 10 Hz."""

COUNTERS = (counts.LABELS, counts.BOUNDARIES, counts.HELD, counts.OVERRUNS)

STAGES = ("wait", "convert", "encode", "step", "publish", "total")
"""Waiting for the worker; pixels; encoder; step graph, each held tick alone; messages; reception to published."""


@dataclass(frozen=True)
class PipelinePorts:
    """What a pipeline has of its node: how pixels are read, the ROS clock, and where serialised answers go."""

    to_rgb: ToRgb
    clock_ns: Callable[[], int]
    publish_label: Callable[[bytes], None]
    publish_boundary: Callable[[bytes], None]
    publish_plan: Callable[[bytes], None] = lambda _: None
    bulletin: Bulletin = field(default_factory=Bulletin)
    life: int = 0  # ActionLabel.session


class Stopwatch:
    """Durations in ms by stage, over a window; `latency` is from a frame's stamp to its label, on the ROS clock."""

    def __init__(self) -> None:
        self._windows = {stage: deque[float](maxlen=WINDOW) for stage in (*STAGES, "latency")}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Time the body of a with statement."""
        start_ns = time.perf_counter_ns()
        yield
        self.add(stage, time.perf_counter_ns() - start_ns)

    def add(self, stage: str, duration_ns: int) -> None:
        """Add one duration."""
        self._windows[stage].append(duration_ns / 1e6)

    def percentiles(self) -> dict[str, tuple[float, float, float]]:
        """Return p50, p95 and p99 in ms of each stage that has durations."""
        copies = {stage: list(window) for stage, window in self._windows.items() if window}
        return {stage: tuple(np.percentile(values, (50, 95, 99)).tolist()) for stage, values in copies.items()}


class TimedBackend:
    """A backend that tells a stopwatch what its two graphs cost."""

    def __init__(self, backend: Backend, stopwatch: Stopwatch) -> None:
        self.name = backend.name
        self._backend = backend
        self._stopwatch = stopwatch

    def encode(self, image: ByteArray) -> FloatArray:
        """Return the feature (D,) of one picture."""
        with self._stopwatch.measure("encode"):
            return self._backend.encode(image)

    def initial_state(self) -> Any:
        """Return the state of a stream that has seen nothing."""
        return self._backend.initial_state()

    def step(self, inputs: StepInput, state: Any) -> tuple[StepOutput, Any]:
        """Advance the stream by one tick."""
        with self._stopwatch.measure("step"):
            return self._backend.step(inputs, state)


class Pipeline:
    """Turns frames into published answers.

    Counters: COUNTERS, and <camera>/unreadable; of the clock the ticks of such pictures are held or lost.
    """

    def __init__(
        self, segmenter: Segmenter, ports: PipelinePorts, tracker: PlanTracker | None = None, segments: int = 0
    ) -> None:
        """Take the parts; with a tracker, each confirmed answer is also placed in the plan.

        Segment ids go on after `segments`.
        """
        # All keys from the start: the executor reads these counters while the worker adds to them.
        unreadable = [counts.key(camera, counts.UNREADABLE) for camera in segmenter.card.streams.cameras]
        self.counters = Counter(dict.fromkeys((*COUNTERS, *unreadable), 0))
        self.stopwatch = Stopwatch()
        self.converter = PictureConverter(segmenter.card.streams, ports.to_rgb, self.counters)
        self._card = segmenter.card
        self._segmenter = Segmenter(segmenter.card, TimedBackend(segmenter.backend, self.stopwatch))
        self._ports = ports
        self._state = self._segmenter.start(segments)
        self._tracker = tracker
        self._plan = None if tracker is None else tracker.start()
        self._newest: Due | None = None
        self.answered_ns = 0  # when the newest frame was received of all that were handled

    @property
    def segments(self) -> int:
        """How many segments were opened so far: the newest segment_id."""
        return self._state.segments

    def handle(self, frame: ReceivedFrame) -> None:
        """Take one frame all the way to its published label, and first the tick that had to wait for it, if any.

        Raises what the backend raises.
        """
        self.stopwatch.add("wait", time.perf_counter_ns() - frame.received_ns)
        for due in frame.due.in_order:
            self._answer(due, frame.received_ns)
        self.answered_ns = frame.received_ns

    def _answer(self, due: Due, received_ns: int) -> None:
        with self.stopwatch.measure("convert"):
            pictures = self.converter.convert(due)
        if pictures is None:
            return
        self._count_overrun(due)
        observation = Observation(due.stamp_ns, due.tick, due.origin_ns, pictures, due.values, due.valid)
        estimate, boundaries, self._state = self._segmenter.step(observation, self._state)
        self.counters[counts.HELD] += estimate.held_ticks
        with self.stopwatch.measure("publish"):
            label = label_message(estimate, due, self._card, due.frame_id, self._ports.life)
            self._ports.publish_label(serialise(label))
            self.counters[counts.LABELS] += 1
            self._publish(boundaries, due)
            self._follow_plan(estimate, due)
        self._newest = due
        self._ports.bulletin.tell(LastKnown(self._state.segment, due.stamp_ns, due.frame_id))
        self.stopwatch.add("total", time.perf_counter_ns() - received_ns)
        self.stopwatch.add("latency", self._ports.clock_ns() - due.stamp_ns)

    def finish(self) -> None:
        """Close the open segment and start a fresh stream; segment ids go on."""
        self.close()
        self._state = self._segmenter.start(self._state.segments)
        self._plan = None if self._tracker is None else self._tracker.start()

    def close(self) -> None:
        """Close the open segment: the last that a pipeline does, also when its backend is gone."""
        self._publish(self._segmenter.close(self._state))
        self._ports.bulletin.close()

    def follow(self, tracker: PlanTracker | None) -> None:
        """Place the next confirmed answer, and those after it, in another plan, or in none."""
        self._tracker = tracker
        self._plan = None if tracker is None else tracker.start()

    def _follow_plan(self, estimate: ActionEstimate, due: Due) -> None:
        if self._tracker is None or self._plan is None:
            return
        progress, self._plan = self._tracker.follow(estimate, due.origin_ns, self._plan)
        if progress is not None:
            self._ports.publish_plan(serialise(plan_message(progress, self._card.vocabulary, due.frame_id)))

    def _count_overrun(self, due: Due) -> None:
        before = self._newest
        if before is not None and before.origin_ns == due.origin_ns:
            self.counters[counts.OVERRUNS] += due.tick - before.tick - 1 > self._card.max_held_ticks

    def _publish(self, boundaries: tuple[BoundaryEstimate, ...], due: Due | None = None) -> None:
        """Publish the events of a tick; one that closes a segment is still of the tick before."""
        for boundary in boundaries:
            of = self._newest if due is None or boundary.to_action == NO_ACTION else due
            message = boundary_message(
                boundary, self._card.vocabulary, "" if of is None else of.frame_id, self._ports.life
            )
            self._ports.publish_boundary(serialise(message))
            self.counters[counts.BOUNDARIES] += 1
