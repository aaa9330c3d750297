"""The executor's half of a frame's walk: place a message on the tick grid, align joints, hand over. Microseconds only.

What a message can do wrong here is counted by cause; pixels are not touched, they are the worker's.
"""

from __future__ import annotations

import importlib
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sensor_msgs.msg import JointState

from hal_ros.bags.messages import to_ns
from hal_ros.bags.sensors import joint_sample
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import ConfigError
from hal_ros.core.intake import Due, Intake
from hal_ros.core.observations import JointSample
from hal_ros.ros.convert import ImageMessage


class ReceivedFrame(NamedTuple):
    """A due tick on its way to the worker, with the message that it came from and when that was received."""

    due: Due
    message: ImageMessage | None  # None in bundles without camera
    frame_id: str
    received_ns: int  # on the clock that never jumps: time.perf_counter_ns


class MessageInputs:
    """Message callbacks of one activation; `put` takes each due frame. For one thread, the executor's.

    Counters, beside those of the intake: joints_unnamed (messages that name none of the card's joints), joints_partial
    (due ticks whose joint sample had values that were absent or not finite), unpaired (images that the synchroniser
    holds back or gave up).
    """

    def __init__(self, card: ModelCard, put: Callable[[ReceivedFrame], None]) -> None:
        self.last_image_ns: int | None = None  # when received, on the clock of ReceivedFrame.received_ns
        self.last_joints_ns: int | None = None
        self.joint_names_seen: frozenset[str] = frozenset()
        self._card = card
        self._put = put
        self._intake = Intake(card)

    @property
    def counters(self) -> Counter[str]:
        """What came and what became of it, since activation."""
        return self._intake.counters

    def reset(self) -> None:
        """Let the next image start a fresh grid, and so a fresh state."""
        self._intake.reset()

    def on_image(self, message: ImageMessage) -> None:
        """Take one camera message."""
        self.last_image_ns = time.perf_counter_ns()
        due = self._intake.image(to_ns(message.header.stamp))
        if due is not None:
            self._hand_over(ReceivedFrame(due, message, message.header.frame_id, self.last_image_ns))

    def on_joints(self, message: JointState) -> None:
        """Take one joint message; a bundle without camera ticks on it."""
        self.last_joints_ns = time.perf_counter_ns()
        spec = self._card.joints
        if spec is None:
            return
        sample = joint_sample(message, spec)
        if sample is None:
            self.counters["joints_unnamed"] += 1
            self.joint_names_seen = frozenset(message.name)
            return
        due = self._intake.joints(sample)
        if due is not None:
            self._hand_over(ReceivedFrame(due, None, message.header.frame_id, self.last_joints_ns))

    def _hand_over(self, frame: ReceivedFrame) -> None:
        joints = frame.due.joints
        self.counters["joints_partial"] += joints is not None and not _complete(joints)
        self._put(frame)


def _complete(sample: JointSample) -> bool:
    return bool(np.isfinite([sample.position, sample.velocity, sample.effort]).all())


class Synchroniser:
    """Holds an image back until message_filters' ApproximateTimeSynchronizer has found it a joint state.

    Every joint state still goes to the inputs at once, and which sample a tick takes is decided there as ever: the
    newest that is not newer than the image. So the answers stay causal, whatever pairs were made.
    """

    def __init__(self, inputs: MessageInputs, slop_s: float, queue_size: int) -> None:
        filters = message_filters()
        self._inputs = inputs
        self._images, self._joints = filters.SimpleFilter(), filters.SimpleFilter()
        self._pairs = filters.ApproximateTimeSynchronizer([self._images, self._joints], queue_size, slop_s)
        self._pairs.registerCallback(partial(_on_pair, inputs))  # no method of this: that would be a circle

    def on_image(self, message: ImageMessage) -> None:
        """Take one camera message."""
        self._inputs.last_image_ns = time.perf_counter_ns()
        self._inputs.counters["unpaired"] += 1
        self._images.signalMessage(message)

    def on_joints(self, message: JointState) -> None:
        """Take one joint message."""
        self._inputs.on_joints(message)
        self._joints.signalMessage(message)


def _on_pair(inputs: MessageInputs, image: ImageMessage, _: JointState) -> None:
    inputs.counters["unpaired"] -= 1
    inputs.on_image(image)


def message_filters() -> Any:
    """Import ROS 2's message_filters; raises ConfigError when it is absent, or is the one of ROS 1."""
    try:
        module = importlib.import_module("message_filters")
    except ImportError as error:
        raise ConfigError(
            f"synchroniser is message_filters, a ROS 2 package that can't be imported ({error}); expected latest"
        ) from error
    # Registries of Python packages carry a port of the ROS 1 module under this name.
    if not hasattr(module, "rclpy"):
        raise ConfigError(f"synchroniser is message_filters, but {module.__file__} is not the one of ROS 2")
    return module
