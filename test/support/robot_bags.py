"""Bags of robots with several cameras and state topics, written by the `rosbags` library and not by us."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from hal_ros.core.streams.spec import JOINT_STATE
from user_folder import Workplace

START_NS = 1_700_000_000_000_000_000
SECONDS = 3.0
SIDE_PX = 16
STORE = get_typestore(Stores.ROS2_KILTED)
CUSTOM = "my_robot/msg/GripperState"
STORE.register(
    {
        **get_types_from_msg("float32 left\nfloat32 right\n", "my_robot/msg/Fingers"),
        **get_types_from_msg("std_msgs/Header header\nFingers fingers\nint16[3] amps\nstring mode\n", CUSTOM),
    }
)


class Sent(NamedTuple):
    """A message on its way into a bag."""

    topic: str
    type_name: str
    receive_ns: int
    data: bytes


class When(NamedTuple):
    """When messages are sent, and how their stamps lie to that."""

    rate_hz: float
    begin_s: float = 0.0
    end_s: float = SECONDS
    skew_s: float = 0.002  # receipt - stamp
    stamped: bool = True

    @property
    def stamps_ns(self) -> list[int]:
        count = round((self.end_s - self.begin_s) * self.rate_hz)
        return [START_NS + round(1e9 * (self.begin_s + index / self.rate_hz)) for index in range(count)]


def send(topic: str, type_name: str, when: When, make: Any) -> list[Sent]:
    """Send what `make(header, index)` makes."""
    header_type, time_type = STORE.types["std_msgs/msg/Header"], STORE.types["builtin_interfaces/msg/Time"]
    sent = []
    for index, stamp_ns in enumerate(when.stamps_ns):
        told_ns = stamp_ns if when.stamped else 0
        header = header_type(time_type(*divmod(told_ns, 1_000_000_000)), "robot")
        data = bytes(STORE.serialize_cdr(make(header, index), type_name))
        sent.append(Sent(topic, type_name, stamp_ns + round(1e9 * when.skew_s), data))
    return sent


def camera(topic: str, when: When, encoding: str = "rgb8") -> list[Sent]:
    """Pictures whose brightness tells their number."""
    if encoding in ("jpeg", "16UC1; png compressed ", "jpeg; compressedDepth"):
        kind = "sensor_msgs/msg/CompressedImage"

        def compressed(header: Any, index: int) -> Any:
            pixels = np.full((SIDE_PX, SIDE_PX, 3), index, np.uint8)
            return STORE.types[kind](header, encoding, cv2.imencode(".jpg", pixels)[1].reshape(-1))

        return send(topic, kind, when, compressed)
    kind, size = "sensor_msgs/msg/Image", {"rgb8": 3, "mono8": 1, "16UC1": 2, "32FC1": 4, "mono16": 2}.get(encoding, 3)

    def raw(header: Any, index: int) -> Any:
        pixels = np.full(SIDE_PX * SIDE_PX * size, index, np.uint8)
        return STORE.types[kind](header, SIDE_PX, SIDE_PX, encoding, 0, SIDE_PX * size, pixels)

    return send(topic, kind, when, raw)


def joints(topic: str, names: Sequence[str], when: When, offset: float = 0.0, fields: int = 3) -> list[Sent]:
    """Joint states that move; the first so many fields are filled."""

    def make(header: Any, index: int) -> Any:
        values = offset + np.sin(index / 10) * np.arange(1, len(names) + 1)
        filled = [values if place < fields else np.zeros(0) for place in range(3)]
        return STORE.types[JOINT_STATE](header, list(names), *filled)

    return send(topic, JOINT_STATE, when, make)


def wrench(topic: str, when: When) -> list[Sent]:
    """Forces (index, 1, 2), torques (3, 4, 5)."""
    kind = "geometry_msgs/msg/WrenchStamped"
    vector, both = STORE.types["geometry_msgs/msg/Vector3"], STORE.types["geometry_msgs/msg/Wrench"]
    return send(
        topic, kind, when, lambda header, i: STORE.types[kind](header, both(vector(i, 1.0, 2.0), vector(3.0, 4.0, 5.0)))
    )


def array(topic: str, when: When, length: int = 3) -> list[Sent]:
    """std_msgs/Float64MultiArray, which has no header."""
    kind = "std_msgs/msg/Float64MultiArray"
    layout = STORE.types["std_msgs/msg/MultiArrayLayout"]([], 0)
    return send(topic, kind, when, lambda _, index: STORE.types[kind](layout, np.arange(length) + float(index)))


def custom(topic: str, when: When) -> list[Sent]:
    """A type that only the bag defines."""
    fingers = STORE.types["my_robot/msg/Fingers"]
    return send(
        topic,
        CUSTOM,
        when,
        lambda header, index: STORE.types[CUSTOM](header, fingers(index, -index), np.zeros(3, np.int16), "open"),
    )


def text(topic: str, when: When) -> list[Sent]:
    """std_msgs/String."""
    return send(topic, "std_msgs/msg/String", when, lambda *_: STORE.types["std_msgs/msg/String"]("word"))


def two_arms_world(seconds: float = SECONDS) -> list[Sent]:
    """Two cameras, one raw and one compressed, a depth image, an arm, its gripper on a topic of its own, a wrench."""
    return [
        *camera("/camera/color/image_raw", When(30, end_s=seconds)),
        *camera("/wrist_camera/image_raw/compressed", When(15, end_s=seconds), "jpeg"),
        *camera("/camera/depth/image_rect_raw", When(15, end_s=seconds), "16UC1"),
        *joints("/joint_states", ("joint_1", "joint_2"), When(100, end_s=seconds)),
        *joints("/gripper/joint_states", ("finger",), When(10, end_s=seconds), fields=1),
        *wrench("/ft_sensor/wrench", When(50, end_s=seconds)),
        *array("/arm_controller/commands", When(50, end_s=seconds)),
    ]


def write(path: Path, sent: Sequence[Sent], plugin: StoragePlugin = StoragePlugin.MCAP) -> Path:
    """Write a bag in the order of receipt."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with RosbagsWriter(path, version=9, storage_plugin=plugin) as writer:
        connections: dict[tuple[str, str], Any] = {}
        for message in sorted(sent, key=lambda one: one.receive_ns):
            key = message.topic, message.type_name
            if key not in connections:
                connections[key] = writer.add_connection(*key, typestore=STORE)
            writer.write(connections[key], message.receive_ns, message.data)
    return path


def add(work: Workplace, name: str, sent: Sequence[Sent], plugin: StoragePlugin = StoragePlugin.MCAP) -> None:
    """Put a bag and its transcript into a user's folder."""
    work.write_transcript(name, "reach", "grasp")
    write(work.bags / name, sent, plugin)
