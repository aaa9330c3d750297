"""Messages of a small robot that shows colours to a camera, and a rig that runs the segmenter in the test's process."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import WrenchStamped
from hal_msgs.msg import ActionLabel, BoundaryEvent, Vocabulary
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray

from fakes import SIZE_PX, FakeBackend, make_card, picture
from hal_ros.bags.messages import to_ns
from hal_ros.core.arrays import ByteArray
from hal_ros.core.card import ModelCard
from hal_ros.core.step import Backend
from hal_ros.core.streams.spec import CameraSpec, StateSpec, StreamSpec
from hal_ros.ros.segmenter.node import SegmenterNode
from hal_ros.runtime.bundle import save_card

DEADLINE_S = 60.0
START_NS = 5_000_000_000
STEPS_AT_END = 20  # more than any test leaves to its executor
PERIOD_NS = 100_000_000


def to_stamp(stamp_ns: int) -> Time:
    """Integer nanoseconds as a stamp."""
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def image_message(colour: str, stamp_ns: int, size_px: int = 16) -> Image:
    """An rgb8 picture of one colour."""
    message = Image(encoding="rgb8", height=size_px, width=size_px, step=3 * size_px)
    message.data = picture(colour, size_px).tobytes()
    message.header.frame_id = "camera"
    message.header.stamp = to_stamp(stamp_ns)
    return message


def wrench_message(stamp_ns: int, force_x: float = 1.0) -> WrenchStamped:
    """A wrench with one force."""
    message = WrenchStamped()
    message.header.stamp = to_stamp(stamp_ns)
    message.wrench.force.x = force_x
    return message


def joint_message(stamp_ns: int, names: tuple[str, ...] = ("a", "b"), value: float = 1.0) -> JointState:
    """Joint values that are all `value`, without velocity and effort."""
    message = JointState(name=list(names), position=[value] * len(names))
    message.header.stamp = to_stamp(stamp_ns)
    return message


ROBOT = StreamSpec(
    "front",
    {
        "front": CameraSpec(("/camera/color/image_raw",), SIZE_PX),
        "wrist": CameraSpec(("/wrist/image_raw",), SIZE_PX),
    },
    {
        "arm": StateSpec(("/joint_states",), names=("a", "b"), fields=("position",)),
        "gripper": StateSpec(("/gripper/joint_states",), names=("finger",), fields=("position",), max_age_s=0.5),
        "wrench": StateSpec(
            ("/ft_sensor/wrench",), "geometry_msgs/msg/WrenchStamped", fields=("wrench.force.x", "wrench.force.z")
        ),
        "load": StateSpec(("/load",), "std_msgs/msg/Float64MultiArray", fields=("data[1]",), max_age_s=3600.0),
    },
    max_held_ticks=3,
)
"""A robot with two cameras, a gripper on a topic of its own, a wrench, and a topic without header."""


def robot_card(*names: str, clock: str = "") -> ModelCard:
    """A card that takes some of the robot's streams; without names all but the one without header."""
    kept = names or ("front", "wrist", "arm", "gripper", "wrench")
    cameras = {name: camera for name, camera in ROBOT.cameras.items() if name in kept}
    states = {name: state for name, state in ROBOT.states.items() if name in kept}
    return make_card(streams=replace(ROBOT, clock=clock or kept[0], cameras=cameras, states=states))


class Rig:
    """A context with one executor: the segmenter and, beside it, a robot that talks and listens."""

    def __init__(self, folder: Path, domain_id: int) -> None:
        self.folder = folder / "bundle"
        self.context = Context()
        rclpy.init(args=[], context=self.context, domain_id=domain_id)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.robot = rclpy.create_node("robot", context=self.context)
        self.executor.add_node(self.robot)
        self.images = self.robot.create_publisher(Image, "camera/color/image_raw", 10)
        self.joints = self.robot.create_publisher(JointState, "joint_states", 10)
        self.awaited = [self.images, self.joints]  # publishers that the node is to listen to
        self.labels: list[ActionLabel] = []
        self.boundaries: list[BoundaryEvent] = []
        self.diagnostics: list[DiagnosticArray] = []
        self.robot.create_subscription(ActionLabel, "action_label", self.labels.append, 200)
        self.robot.create_subscription(BoundaryEvent, "action_boundary", self.boundaries.append, 200)
        self.robot.create_subscription(DiagnosticArray, "/diagnostics", self.diagnostics.append, 50)
        self.options: dict[str, Any] = {}  # of the next node, as rclpy takes them
        self.nodes: list[SegmenterNode] = []
        self.backend: Backend | None = None
        self.restarts = 0

    def segmenter(
        self, card: ModelCard | None = None, backend: Backend | None = None, **parameters: Any
    ) -> SegmenterNode:
        """A node with a bundle of `card` and a fake backend, not yet configured."""
        card = card or make_card()
        self.folder.mkdir(exist_ok=True)
        save_card(card, self.folder)
        self.backend = backend or FakeBackend(card)
        chosen = self.backend
        return self.bare_segmenter(lambda *_: (chosen, "by the test"), **parameters)

    def bare_segmenter(self, *opener: Any, **parameters: Any) -> SegmenterNode:
        """A node whose backend is opened by `opener`, by default the real one."""
        # On a machine that is busy with other things, seconds pass between two images of a test.
        patient = {"image_timeout_s": 3600.0, "joint_timeout_s": 3600.0}
        values = {"model": str(self.folder), "diagnostics_period_s": 0.05} | patient | parameters
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = SegmenterNode(*opener, context=self.context, parameter_overrides=overrides, **self.options)
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def active(self, **arguments: Any) -> SegmenterNode:
        """A node that is active and matched with the robot's publishers and subscriptions."""
        node = self.segmenter(**arguments)
        node.trigger_configure()
        node.trigger_activate()
        assert node.state == "active"
        self.until(self.matched)
        return node

    def talk(self, kind: Any, topic: str) -> Any:
        """A publisher of one more stream; `active` waits until the node listens to it."""
        self.awaited.append(self.robot.create_publisher(kind, topic, 10))
        return self.awaited[-1]

    def robot_streams(self) -> tuple[Any, Any, Any]:
        """Publishers of wrist camera, gripper and wrench."""
        named = (
            (Image, "/wrist/image_raw"),
            (JointState, "/gripper/joint_states"),
            (WrenchStamped, "/ft_sensor/wrench"),
        )
        wrist, gripper, wrench = (self.talk(kind, topic) for kind, topic in named)
        return wrist, gripper, wrench

    def load(self) -> Any:
        """A publisher of the stream whose messages have no header."""
        return self.talk(Float64MultiArray, "/load")

    def send(self, stream: str, publisher: Any, message: Any) -> None:
        """Publish, and wait until the node has taken it for a stream."""
        (node,) = self.nodes
        key = f"{stream}/received"
        count = node.counters[key]
        publisher.publish(message)
        self.until(lambda: node.counters[key] > count)

    def matched(self) -> bool:
        """Whether discovery is done, in both directions."""
        topics = ("action_label", "action_boundary")
        answers = all(self.robot.count_publishers(topic) for topic in topics)
        return answers and all(publisher.get_subscription_count() for publisher in self.awaited)

    def until(self, holds: Callable[[], Any]) -> None:
        """Spin until a condition holds."""
        deadline = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < deadline, "the condition did not become true in time"
            self.executor.spin_once(timeout_sec=0.02)

    def show(self, colour: str, tick: float, wait: bool = True) -> None:
        """Publish a picture at a tick; by default, until its label has come back."""
        self.show_message(image_message(colour, START_NS + round(tick * PERIOD_NS)), wait)

    def show_after_gap(self, colour: str, tick: float) -> None:
        """A picture whose stamp jumps, and the next one, which proves it, until the first one's label is back."""
        self.show(colour, tick, wait=False)
        self.show(colour, tick + 0.01)

    def show_message(self, message: Image, wait: bool = True) -> None:
        """Publish an image; by default, until its label has come back."""
        count = len(self.labels)
        self.images.publish(message)
        if wait:
            self.until(lambda: len(self.labels) > count)

    def count(self, node: SegmenterNode, name: str, value: int) -> None:
        """Spin until a counter of the node has reached a value; never more."""
        self.until(lambda: node.counters[name] >= value)
        assert node.counters[name] == value

    def status(self, part: str, level: bytes, text: str = "") -> DiagnosticStatus:
        """Spin until a report that comes now has this level, and this text in it, for a part; returns that status."""
        self.diagnostics.clear()
        since_ns = time.time_ns()  # what was published before may still be on its way
        found: list[DiagnosticStatus] = []

        def is_old(report: DiagnosticArray) -> bool:
            age_ns = since_ns - to_ns(report.header.stamp)
            return 0 < age_ns < 3600 * 10**9  # simulated time, of another year, tells nothing

        def seen() -> bool:
            statuses = (status for report in self.diagnostics if not is_old(report) for status in report.status)
            found[:] = [s for s in statuses if s.name.endswith(part) and s.level == level and text in s.message]
            return bool(found)

        self.until(seen)
        return found[-1]

    def late_vocabulary(self) -> Vocabulary:
        """What a listener that comes late hears."""
        heard: list[Vocabulary] = []
        qos = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
        subscription = self.robot.create_subscription(Vocabulary, "segmenter/vocabulary", heard.append, qos)
        self.until(lambda: heard)
        self.robot.destroy_subscription(subscription)
        return heard[-1]

    def close(self) -> None:
        """Take all apart, once what was begun is done: rclpy warns of results of goals that are never sent."""
        for _ in range(STEPS_AT_END if self.context.ok() else 0):
            with suppress(SystemError):  # a warning, an error in tests: a client that is gone gets no answer
                self.executor.spin_once(timeout_sec=0)
        for node in self.nodes:
            node.stop()
            self.executor.remove_node(node)
            node.destroy_node()
        self.executor.shutdown()
        self.robot.destroy_node()
        rclpy.shutdown(context=self.context)


def at(tick: float) -> int:
    return START_NS + round(tick * PERIOD_NS)


def inputs_of(label: Any) -> list[tuple[str, str, int]]:
    return [(one.stream, one.topic, to_ns(one.stamp)) for one in label.inputs]


def given(rig: Rig) -> Any:
    """What the model was given last."""
    assert isinstance(rig.backend, FakeBackend)
    return rig.backend.inputs[-1]


def with_stream(name: str, state: StateSpec, *kept: str) -> Any:
    """The card of a robot with one more state."""
    card = robot_card(*kept)
    return replace(card, streams=replace(card.streams, states={**card.streams.states, name: state}))


def values(status: DiagnosticStatus) -> dict[str, str]:
    """The key-value pairs of a status."""
    return {pair.key: pair.value for pair in status.values}


def runs(labels: list[ActionLabel]) -> list[tuple[str, int, int]]:
    """Run-length changes of the confirmed labels: (action, first stamp, segment id)."""
    changes: list[tuple[str, int, int]] = []
    for label in labels:
        if not label.confirmed_valid:
            continue
        if not changes or changes[-1][::2] != (label.confirmed_label, label.segment_id):
            changes.append((label.confirmed_label, to_ns(label.confirmed_stamp), label.segment_id))
    return changes


def random_pixels(shape: tuple[int, ...], seed: int = 0) -> ByteArray:
    """Pixels that no two conversions agree on by chance."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
