"""What lives while the segmenter is active: subscriptions, worker and pipeline, joined."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rclpy.lifecycle import LifecycleNode

from hal_ros.core.decoding.known_plan import PlanTracker
from hal_ros.core.errors import BackendError
from hal_ros.core.planning.known import LastKnown
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.streams import counts
from hal_ros.core.streams.convert import ToRgb
from hal_ros.ros.segmenter.inputs import MessageInputs, ReceivedFrame
from hal_ros.ros.segmenter.pipeline import Pipeline, PipelinePorts
from hal_ros.ros.segmenter.publishers import Publishers
from hal_ros.ros.segmenter.silence import SilenceWatch, silence_s
from hal_ros.ros.segmenter.subscriptions import Subscriptions
from hal_ros.ros.segmenter_parameters import SegmenterParameters
from hal_ros.runtime.bulletin import Lifelong
from hal_ros.runtime.bundle import Bundle
from hal_ros.runtime.worker import Worker

STOP_TIMEOUT_S = 5.0
RESET_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Opened:
    """A backend at work."""

    segmenter: Segmenter
    reason: str  # why this backend
    about: Mapping[str, str]  # what the backend says of itself

    @property
    def words(self) -> str:
        """Which backend, and why."""
        return f"{self.segmenter.backend.name} ({self.reason})"


@dataclass(frozen=True)
class Configured:
    """What lives from configure to cleanup."""

    parameters: SegmenterParameters
    bundle: Bundle
    opened: Opened | None  # None: it failed at work, and has not been opened again
    topics: Mapping[str, tuple[str, ...]]  # of each stream, as they were named
    to_rgb: ToRgb
    publishers: Publishers
    tracker: PlanTracker | None  # of the plan that is followed
    why_closed: str = ""  # why there is no backend


class Alarm:
    """Hands the worker's error on, until it is switched off.

    The worker holds this instead of the session, which holds the worker: in a circle both would wait for the garbage
    collector, and with them the state on the device.
    """

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        self.off = False
        self._on_error = on_error

    def __call__(self, error: Exception) -> None:
        """Called in the worker's thread."""
        if not self.off:
            self._on_error(error)


class Handover:
    """Gives frames to the worker, and knows the newest. No part of the session, which would hold itself in a circle."""

    def __init__(self, worker: Worker[ReceivedFrame]) -> None:
        self.newest_ns = 0  # when it was received
        self._worker = worker

    def __call__(self, frame: ReceivedFrame) -> None:
        """Hand over one frame."""
        self.newest_ns = frame.received_ns
        self._worker.put(frame)


class Session:
    """One activation. All methods are for the executor's thread; `on_error` is called in the worker's."""

    def __init__(
        self,
        node: LifecycleNode,
        ready: Configured,
        lifelong: Lifelong,
        segments: int,
        on_error: Callable[[Exception], None],
    ) -> None:
        """Subscribe and start; segment ids go on after `segments`.

        Raises ConfigError, and BackendError when there is no backend.
        """
        if ready.opened is None:
            advice = "when that is mended, clean the node up and configure it again"
            raise BackendError(f"there is no backend: {ready.why_closed}; {advice}")
        card = ready.bundle.card
        self.since_ns = time.perf_counter_ns()
        self._bulletin = lifelong.bulletin
        self.pipeline = Pipeline(ready.opened.segmenter, _ports(node, ready, lifelong), ready.tracker, segments)
        self._alarm = Alarm(on_error)
        self._worker = Worker[ReceivedFrame](self.pipeline.handle, self._alarm, "segmenter")
        self._handover = Handover(self._worker)
        timeouts = ready.parameters.image_timeout_s, ready.parameters.joint_timeout_s
        self.silence = SilenceWatch(silence_s(card.streams, *timeouts))
        self.inputs = MessageInputs(card.streams, self._handover)
        self.subscriptions = Subscriptions(node, ready.topics, ready.parameters, self.inputs)
        self._worker.start()

    def counters(self) -> Counter[str]:
        """Return all counters since activation."""
        merged = Counter(self.inputs.counters)
        merged.update(self.pipeline.counters)
        merged[counts.OVERWRITTEN] = self._worker.overwritten
        return merged

    def look_for_silence(self, now_ns: int) -> bool:
        """Close the open segment if the clock is silent by now on the ROS clock; whether it has just become so.

        The next message of the clock begins a fresh grid. While the model is still at work nothing is silent.
        """
        at_work = self._handover.newest_ns != self.pipeline.answered_ns
        if at_work or not self.silence.look(self.pipeline.counters[counts.LABELS], now_ns):
            return False
        self.inputs.counters[counts.SILENCES] += 1
        self.inputs.reset()
        self._worker.call(self.pipeline.finish, RESET_TIMEOUT_S)
        return True

    def reset(self) -> bool:
        """Close the open segment and start afresh with the next image; false when the model gives no answer."""
        self.inputs.reset()
        dropped = self._worker.discard()
        self.inputs.counters[counts.RESETS] += 1
        self.inputs.counters[counts.DISCARDED] += dropped
        self._handover.newest_ns = self.pipeline.answered_ns if dropped else self._handover.newest_ns
        return self._worker.call(self.pipeline.finish, RESET_TIMEOUT_S)

    def follow(self, tracker: PlanTracker | None) -> LastKnown:
        """Place what is confirmed after the returned label in another plan, or in none.

        Raises BackendError when the model does not return in time; nothing is changed then.
        """
        asked, found, one_at_a_time = [tracker], [LastKnown()], threading.Lock()

        def take_up() -> None:
            with one_at_a_time:
                if asked:
                    self.pipeline.follow(asked.pop())
                    found[0] = self._bulletin.newest

        self._worker.call(take_up, RESET_TIMEOUT_S)
        with one_at_a_time:
            if asked:
                asked.clear()  # it comes too late
                raise BackendError("the model gives no answer; the plan before is kept")
        return found[0]

    @property
    def stale(self) -> bool:
        """Whether there is no answer of now: none yet, or the clock fell silent."""
        return self.silence.stale or not self.pipeline.counters[counts.LABELS]

    @property
    def segments(self) -> int:
        """How many segments were opened so far."""
        return self.pipeline.segments

    def end(self, publish: bool) -> None:
        """Unsubscribe, end the worker and, with `publish`, close the open segment.

        Raises BackendError when the backend does not return.
        """
        self._alarm.off = True  # a backend that hangs and fails later must not end the next session
        self.subscriptions.destroy()
        if not self._worker.stop(STOP_TIMEOUT_S):
            raise BackendError(f"the backend did not return within {STOP_TIMEOUT_S} s")
        if publish:
            self.pipeline.close()


def _ports(node: LifecycleNode, ready: Configured, lifelong: Lifelong) -> PipelinePorts:
    clock, publishers = node.get_clock(), ready.publishers
    return PipelinePorts(
        ready.to_rgb,
        lambda: int(clock.now().nanoseconds),
        publishers.labels.publish,
        publishers.boundaries.publish,
        publishers.progress.publish,
        lifelong.bulletin,
        lifelong.life,
    )
