"""One episode as a bag: messages gathered in memory, written in order of receipt by the `rosbags` library."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

TYPES = get_typestore(Stores.ROS2_HUMBLE)
IMAGE, COMPRESSED_IMAGE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
JOINT_STATE, WRENCH = "sensor_msgs/msg/JointState", "geometry_msgs/msg/WrenchStamped"
BAG_VERSION: Literal[8] = 8  # of metadata.yaml: also ROS 2 Humble reads it


class Form(NamedTuple):
    """How a bag is written: its storage, its pictures, and whether two drivers take turns on one joint topic."""

    storage: str  # mcap, sqlite3 or, each message compressed, sqlite3+zstd
    raw_pictures: bool
    turns: bool


FORMS = (
    Form("mcap", False, False),
    Form("sqlite3", False, True),
    Form("mcap", True, False),
    Form("mcap", False, True),
    Form("sqlite3", False, False),
    Form("sqlite3+zstd", True, True),
)


@dataclass(frozen=True)
class Segment:
    """One phase on the sensors' clock."""

    action: str
    start_ns: int
    end_ns: int


class _Message(NamedTuple):
    receive_ns: int
    topic: str
    type_name: str
    data: bytes


class Recording:
    """The messages and phases of one episode."""

    def __init__(self, form: Form) -> None:
        """Begin an empty episode."""
        self.form = form
        self.messages: list[_Message] = []
        self.starts: list[tuple[str, int]] = []

    def add(self, topic: str, message: Any, receive_ns: int) -> None:
        """Keep a message of the types below."""
        data = bytes(TYPES.serialize_cdr(message, message.__msgtype__))
        self.messages.append(_Message(receive_ns, topic, message.__msgtype__, data))

    def begin(self, action: str, now_ns: int) -> None:
        """Say that a phase begins; two of one name after each other are one."""
        if not self.starts or self.starts[-1][0] != action:
            self.starts.append((action, now_ns))

    def segments(self, end_ns: int) -> list[Segment]:
        """Return the phases, without gaps, up to the end."""
        ends = [start_ns for _, start_ns in self.starts[1:]] + [end_ns]
        return [Segment(action, start_ns, end) for (action, start_ns), end in zip(self.starts, ends, strict=True)]

    def write(self, folder: Path, end_ns: int) -> None:
        """Write the bag into a new folder, with transcript.txt and annotation.json beside its own files."""
        write_bag(folder, self.form.storage, self.messages)
        segments = self.segments(end_ns)
        (folder / "transcript.txt").write_text("".join(f"{segment.action}\n" for segment in segments))
        entries = [{"action": each.action, "start_ns": each.start_ns, "end_ns": each.end_ns} for each in segments]
        (folder / "annotation.json").write_text(json.dumps({"segments": entries}, indent=1) + "\n")


def write_bag(folder: Path, storage: str, messages: list[_Message]) -> None:
    """Write messages in order of receipt."""
    kind, _, compression = storage.partition("+")
    plugin = StoragePlugin.MCAP if kind == "mcap" else StoragePlugin.SQLITE3
    writer = Writer(folder, version=BAG_VERSION, storage_plugin=plugin)
    if compression:
        writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for message in sorted(messages, key=lambda each: each.receive_ns):
            if message.topic not in connections:
                connections[message.topic] = writer.add_connection(message.topic, message.type_name, typestore=TYPES)
            writer.write(connections[message.topic], message.receive_ns, message.data)


# --- messages ---------------------------------------------------------------------------------------------------------


def header(stamp_ns: int, frame_id: str) -> Any:
    """Return a std_msgs/Header."""
    stamp = TYPES.types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return TYPES.types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)


def joint_state(stamp_ns: int, names: tuple[str, ...], values: NDArray[np.float64]) -> Any:
    """Return a JointState of values (3, J): positions, velocities, efforts."""
    position, velocity, effort = (np.ascontiguousarray(row, np.float64) for row in values)
    return TYPES.types[JOINT_STATE](
        header=header(stamp_ns, ""), name=list(names), position=position, velocity=velocity, effort=effort
    )


def wrench(stamp_ns: int, frame_id: str, force: NDArray[np.float64], torque: NDArray[np.float64]) -> Any:
    """Return a WrenchStamped."""
    vector = TYPES.types["geometry_msgs/msg/Vector3"]
    parts = [vector(*(float(value) for value in part)) for part in (force, torque)]
    content = TYPES.types["geometry_msgs/msg/Wrench"](force=parts[0], torque=parts[1])
    return TYPES.types[WRENCH](header=header(stamp_ns, frame_id), wrench=content)


def raw_picture(stamp_ns: int, frame_id: str, picture: NDArray[np.uint8]) -> Any:
    """Return an Image of a picture (H, W, 3) RGB."""
    height, width, _ = picture.shape
    return TYPES.types[IMAGE](
        header=header(stamp_ns, frame_id),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=np.ascontiguousarray(picture).ravel(),
    )


def jpeg_picture(stamp_ns: int, frame_id: str, jpeg: NDArray[np.uint8]) -> Any:
    """Return a CompressedImage of JPEG bytes."""
    return TYPES.types[COMPRESSED_IMAGE](
        header=header(stamp_ns, frame_id), format="rgb8; jpeg compressed bgr8", data=np.asarray(jpeg, np.uint8).ravel()
    )
