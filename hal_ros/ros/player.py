"""The node `player`: publishes what a bag holds, in real time, without rosbag2.

The bytes of a message go out as they were recorded. Only its header.stamp may be moved, so that a node without
simulated time sees a live robot.
"""

from __future__ import annotations

import signal
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import rclpy
import yaml
from builtin_interfaces.msg import Time
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock

from hal_ros.bags.reader import BagMessage, raw_topics, read_messages
from hal_ros.bags.writer import TopicForm
from hal_ros.core.errors import BagError, ConfigError, HalError
from hal_ros.core.ticks import BACKWARD_JUMP_NS
from hal_ros.outside.yaml_text import parse_yaml
from hal_ros.ros import subscribers
from hal_ros.ros.params import declare, read, resolve_topic
from hal_ros.ros.printable_logs import PrintableLogs
from hal_ros.ros.recorder import message_class
from hal_ros.ros.segmenter_parameters import parameter

LOOP_GAP_NS = 2_000_000_000  # between two rounds; long enough that listeners see a break, not a jump of the scene
CLOCK_PERIOD_NS = 5_000_000
DEPTHS = {"sensor_msgs/msg/Image": 10, "sensor_msgs/msg/PointCloud2": 10}
DEPTH = 100  # messages that a subscriber which matched late can still fetch; few of the large ones
SAME_CLOCK_NS = 10_000_000_000  # a message older than this when it is recorded was stamped by another clock
LATCHED = ("1", "transient_local")  # as older and newer releases of rosbag2 write it
_CDR_STAMP = {0: ">iI", 1: "<iI"}  # by the second byte of the encapsulation; the stamp follows its four bytes
_CDR_STAMP_OFFSET = 4


@dataclass(frozen=True)
class PlayerParameters:
    """What a user sets."""

    bag: str = parameter("", "An .mcap file, a rosbag2 folder or a .db3 file. Required.")
    rate: float = parameter(1.0, "Speed against real time.", (0.01, 100.0))
    loop: bool = parameter(False, "Start again at the end, two seconds later.")
    restamp: bool = parameter(
        True, "Move all header.stamp by the time between recording and playing; otherwise they stay as recorded."
    )
    clock: bool = parameter(False, "Publish /clock, with the time of the stamps that are published.")
    wait_for_subscribers_s: float = parameter(0.0, subscribers.WAIT, (0.0, 600.0))
    heard_twice: tuple[str, ...] = parameter((), subscribers.TWICE)
    excluded_topics: tuple[str, ...] = parameter(
        (
            *("/action_label", "/action_boundary", "/segmenter/vocabulary", "/segmenter/plan_progress"),
            *("/segmenter/plan", "/diagnostics", "/rosout", "/parameter_events"),
        ),
        "Topics that are not played: what the segmenter itself, or any node, publishes anew.",
    )


class Channel(NamedTuple):
    """One topic that is played; stamped says whether its type begins with a std_msgs/Header."""

    publisher: Publisher[Any]
    stamped: bool


class Player(PrintableLogs, Node):
    """Plays one bag, until `stopped` says so. Raises ConfigError for wrong parameters, BagError for an unusable bag."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        super().__init__("player")
        locked = ""
        declare(self, PlayerParameters, lambda: locked)
        locked = "parameters of the player are read once, at its start"
        self.parameters = read(self, PlayerParameters)
        if not self.parameters.bag:
            raise ConfigError("parameter bag is empty: expected the path of a bag")
        self.published = 0
        self._path = Path(self.parameters.bag).expanduser()
        self._channels: dict[str, Channel] = {}
        self._clock_publisher = self.create_publisher(Clock, "/clock", 10) if self.parameters.clock else None
        self._clock_ns = 0
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._stopped = stopped

    def play(self) -> None:
        """Publish the whole bag, once or for ever."""
        self._open_channels()
        self._wait_for_subscribers()
        started_ns = offset_ns = None
        while not self._stopped():
            first_ns = last_ns = None
            for message in read_messages(self._path, self._channels.keys()):
                first_ns = message.receive_ns if first_ns is None else first_ns
                started_ns = time.monotonic_ns() if started_ns is None else started_ns
                last_ns = message.receive_ns
                due_ns = started_ns + round((message.receive_ns - first_ns) / self.parameters.rate)
                if not self._spin_until(due_ns):
                    return
                offset_ns = self._publish(message, due_ns, offset_ns)
            if first_ns is None or last_ns is None or started_ns is None:
                raise BagError(f"{self._path}: nothing to play; expected messages on other topics than those excluded")
            if not self.parameters.loop:
                return
            round_ns = last_ns - first_ns + LOOP_GAP_NS
            started_ns += round(round_ns / self.parameters.rate)
            offset_ns = None if offset_ns is None else offset_ns + round_ns

    def _open_channels(self) -> None:
        excluded = {*self.parameters.excluded_topics, "/clock"}
        if not (self.parameters.restamp or self.parameters.clock):
            excluded.discard("/clock")  # the recorded clock still fits the recorded stamps
        for topic, form in raw_topics(self._path).items():
            channel = None if topic in excluded or not form.type_name else self._open(topic, form)
            if channel is not None:
                self._channels[topic] = channel

    def _open(self, topic: str, form: TopicForm) -> Channel | None:
        try:
            kind = message_class(form.type_name)
        except BagError as error:
            self.get_logger().warning(f"{topic} is not played: {error}")
            return None
        qos = QoSProfile(depth=DEPTHS.get(form.type_name, DEPTH))  # reliable, so that it fits every subscriber
        if topic.endswith("tf_static") or was_latched(form):
            qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
        stamped = next(iter(kind.get_fields_and_field_types().values()), "") == "std_msgs/Header"
        return Channel(self.create_publisher(kind, topic, qos), stamped)

    def _wait_for_subscribers(self) -> None:
        twice = {resolve_topic(self, topic, "parameter heard_twice") for topic in self.parameters.heard_twice}
        wait_s = self.parameters.wait_for_subscribers_s
        publishers = [channel.publisher for channel in self._channels.values()]
        if wait_s and (fault := subscribers.wait_for_subscribers(publishers, twice, wait_s, self._pause)):
            self.get_logger().warning(fault)

    def _pause(self) -> bool:
        self._executor.spin_once(timeout_sec=0.05)
        return self._stopped()

    def _spin_until(self, due_ns: int) -> bool:
        while not self._stopped():
            remaining_s = (due_ns - time.monotonic_ns()) * 1e-9
            if remaining_s <= 0:
                return True
            self._executor.spin_once(timeout_sec=min(remaining_s, 0.05))
        return False

    def _publish(self, message: BagMessage, due_ns: int, offset_ns: int | None) -> int | None:
        """Publish one message; return by how much stamps are moved, None until a stamped message came."""
        channel = self._channels[message.topic]
        data = message.data
        if channel.stamped:
            stamp_ns = read_stamp(data)
            if self.parameters.restamp:
                if offset_ns is None:
                    offset_ns = time.time_ns() - (time.monotonic_ns() - due_ns) - _played_from(message, stamp_ns)
                stamp_ns += offset_ns
                data = with_stamp(data, stamp_ns)
            self._publish_clock(stamp_ns)
        channel.publisher.publish(data)
        self.published += 1
        return offset_ns

    def _publish_clock(self, stamp_ns: int) -> None:
        ahead_ns = stamp_ns - self._clock_ns
        # Topics lag behind each other, but time goes forward; only a bag that begins anew sets it back.
        if self._clock_publisher is None or -BACKWARD_JUMP_NS <= ahead_ns < CLOCK_PERIOD_NS:
            return
        self._clock_ns = stamp_ns
        self._clock_publisher.publish(Clock(clock=Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)))


def was_latched(form: TopicForm) -> bool:
    """Whether a publisher of a recorded topic kept its messages for those who come later."""
    try:
        offered = parse_yaml(form.metadata.get("offered_qos_profiles", ""), by_people=False) or ()
        return any(str(profile["durability"]) in LATCHED for profile in offered)
    except (yaml.YAMLError, ValueError, TypeError, KeyError, RecursionError):
        return False  # other recorders keep other texts there


def _played_from(message: BagMessage, stamp_ns: int) -> int:
    """Return the time in the stamps' clock at which a message was recorded.

    Mostly that is when it was received, so that ages stay as they were. Where stamps are of another clock, such as
    simulated time in a bag of a real recorder, the message counts as fresh.
    """
    return message.receive_ns if abs(message.receive_ns - stamp_ns) <= SAME_CLOCK_NS else stamp_ns


def read_stamp(data: bytes) -> int:
    """Return header.stamp in ns of a serialised message whose type begins with a std_msgs/Header."""
    seconds, nanoseconds = struct.unpack_from(_CDR_STAMP[data[1] & 1], data, _CDR_STAMP_OFFSET)
    return int(seconds) * 10**9 + int(nanoseconds)


def with_stamp(data: bytes, stamp_ns: int) -> bytes:
    """Return the serialised message with another header.stamp; everything else stays."""
    changed = bytearray(data)
    struct.pack_into(_CDR_STAMP[data[1] & 1], changed, _CDR_STAMP_OFFSET, stamp_ns // 10**9, stamp_ns % 10**9)
    return bytes(changed)


def main(args: list[str] | None = None) -> int:
    """Run the node until the bag has ended, or a signal came; 1 and one line for a bag that can't be played."""
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stopped.append(received))
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    player: Player | None = None
    try:
        player = Player(lambda: bool(stopped))
        player.play()
        player.get_logger().info(f"played {player.published} messages of {player.parameters.bag}")
    except HalError as error:
        print(f"hal_ros: {error}", file=sys.stderr)
        return 1
    finally:
        if player is not None:
            player.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
