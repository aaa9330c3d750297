"""A played bag arrives over ROS with the bytes that were recorded; only stamps move, and only when asked to."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CompressedImage, JointState  # noqa: E402
from std_msgs.msg import Float64MultiArray, String  # noqa: E402

from hal_ros.bags import messages  # noqa: E402
from hal_ros.bags.reader import BagWriter  # noqa: E402
from hal_ros.bags.writer import TopicForm, qos_profile, qos_text  # noqa: E402
from hal_ros.ros.player import read_stamp, with_stamp  # noqa: E402

pytestmark = pytest.mark.ros
DEADLINE_S = 40
FIRST_NS = 1_000_000_000
PERIOD_NS = 20_000_000
COUNT = 20
IMAGE, JOINTS, NOTE, LABEL = "/camera/image_raw/compressed", "/joint_states", "/note", "/action_label"
CLOCK = "/clock"


def make_bag(path: Path, image_age_ns: int = 0) -> dict[str, list[bytes]]:
    """Write COUNT compressed images, joint states and strings, and an /action_label; return the bytes by topic.

    All lengths are multiples of four: DDS pads others. The first image was half a second late.
    """
    rng = np.random.default_rng(3)
    image_type = messages.known_class("sensor_msgs/msg/CompressedImage")
    joint_type = messages.known_class("sensor_msgs/msg/JointState")
    note_type = messages.known_class("std_msgs/msg/String")
    written: dict[str, list[bytes]] = {IMAGE: [], JOINTS: [], NOTE: []}
    with BagWriter(path) as writer:
        for index in range(COUNT):
            stamp_ns = FIRST_NS + index * PERIOD_NS
            header = messages.header_message(stamp_ns, "camera")
            values = rng.normal(size=7)
            age_ns = 500_000_000 if index == 0 else image_age_ns
            late = messages.header_message(stamp_ns - age_ns, "camera")
            for topic, message in (
                (IMAGE, image_type(late, "jpeg", rng.integers(0, 256, 500, dtype=np.uint8))),
                (JOINTS, joint_type(header, [f"j{i}" for i in range(7)], values, values, values)),
                (NOTE, note_type(f"note {index:02d}")),
            ):
                data = messages.serialise(message)
                writer.write(topic, message.__msgtype__, data, stamp_ns)
                written[topic].append(data)
        writer.write(LABEL, "std_msgs/msg/String", messages.serialise(note_type("not to be played")), stamp_ns)
    return written


class Ear:
    """Collects the raw bytes of some topics in a context of its own."""

    def __init__(self, domain: int) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node("ear", context=self.context)
        self.heard: dict[str, list[bytes]] = {}
        self.heard_ns: list[tuple[str, int]] = []
        for kind, topic in (
            (CompressedImage, IMAGE),
            (JointState, JOINTS),
            (String, NOTE),
            (String, LABEL),
            (Clock, CLOCK),
        ):
            self.heard[topic] = []
            self.node.create_subscription(kind, topic, partial(self._hear, topic), 100, raw=True)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def _hear(self, topic: str, data: bytes) -> None:
        self.heard[topic].append(data)
        self.heard_ns.append((topic, time.time_ns()))

    def listen(self, player: subprocess.Popen[str], count: int) -> None:
        """Spin until `count` messages came on every played topic, or the player has ended and nothing comes."""
        while min(len(self.heard[topic]) for topic in (IMAGE, JOINTS, NOTE)) < count:
            before = sum(map(len, self.heard.values()))
            self.executor.spin_once(timeout_sec=0.5)
            if player.poll() is not None and before == sum(map(len, self.heard.values())):
                return

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def ear(ros_domain_id: int) -> Iterator[Ear]:
    ear = Ear(ros_domain_id)
    yield ear
    ear.close()


def play(path: Path, environment: dict[str, str], **parameters: Any) -> subprocess.Popen[str]:
    parameters = {"bag": path, "wait_for_subscribers_s": 20.0, **parameters}
    arguments = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    return subprocess.Popen(
        [sys.executable, "-m", "hal_ros.ros.player", "--ros-args", *arguments],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def write_other_types(folder: Path) -> None:
    """A bag with a type that is not installed, one without header, and one that its publisher had latched."""
    force = "float64 value\n"
    arrays = messages.known_class("std_msgs/msg/Float64MultiArray")
    layout = messages.known_class("std_msgs/msg/MultiArrayLayout")([], 0)
    with BagWriter(folder) as writer:
        writer.copy_topic("/force", TopicForm("robot_msgs/msg/Force", "cdr", "ros2msg", force.encode(), {}))
        writer.add_topic("/latched", "std_msgs/msg/String", qos_text([qos_profile(durability=1, depth=1)]))
        note = messages.known_class("std_msgs/msg/String")("kept")
        writer.write("/latched", "std_msgs/msg/String", messages.serialise(note), FIRST_NS)
        for index in range(COUNT):
            stamp_ns = FIRST_NS + index * PERIOD_NS
            writer.write("/force", "robot_msgs/msg/Force", struct.pack("<4xd", index), stamp_ns)
            array = messages.serialise(arrays(layout, np.arange(4.0) + index))
            writer.write("/array", "std_msgs/msg/Float64MultiArray", array, stamp_ns, stamp_ns - 1_000_000)


def finish(player: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = player.communicate(timeout=DEADLINE_S)
    return player.returncode, errors


def test_recorded_bytes_arrive_unchanged(tmp_path: Path, ear: Ear, child_environment: dict[str, str]) -> None:
    written = make_bag(tmp_path / "bag")
    player = play(tmp_path / "bag", child_environment, restamp="false")
    ear.listen(player, COUNT)
    code, errors = finish(player)
    assert code == 0, errors
    assert {topic: ear.heard[topic] for topic in written} == written
    assert ear.heard[LABEL] == []  # what a segmenter publishes is not played


def test_the_clock_goes_forward_though_images_lag_behind(
    tmp_path: Path, ear: Ear, child_environment: dict[str, str]
) -> None:
    make_bag(tmp_path / "bag", image_age_ns=30_000_000)
    player = play(tmp_path / "bag", child_environment, clock="true")
    ear.listen(player, COUNT)
    code, errors = finish(player)
    assert code == 0, errors
    ticks = [read_stamp(data) for data in ear.heard[CLOCK]]
    assert len(ticks) > COUNT / 2 and ticks == sorted(set(ticks))


def test_restamping_moves_every_stamp_by_the_same_and_nothing_else(
    tmp_path: Path, ear: Ear, child_environment: dict[str, str]
) -> None:
    written = make_bag(tmp_path / "bag")
    player = play(tmp_path / "bag", child_environment)
    ear.listen(player, COUNT)
    code, errors = finish(player)
    assert code == 0, errors
    offsets = set()
    for topic in (IMAGE, JOINTS):
        for before, after in zip(written[topic], ear.heard[topic], strict=True):
            offsets.add(read_stamp(after) - read_stamp(before))
            assert with_stamp(after, read_stamp(before)) == before
    assert len(offsets) == 1
    offset_ns = offsets.pop()
    assert offset_ns > 10**18  # now, not the bag's time
    arrivals = [when for topic, when in ear.heard_ns if topic == JOINTS]
    assert all(read_stamp(data) <= when for data, when in zip(ear.heard[JOINTS], arrivals, strict=True))
    assert ear.heard[NOTE] == written[NOTE]  # has no header


def test_a_loop_goes_on_with_later_stamps_until_a_signal(
    tmp_path: Path, ear: Ear, child_environment: dict[str, str]
) -> None:
    make_bag(tmp_path / "bag")
    player = play(tmp_path / "bag", child_environment, loop="true", rate=4.0)
    ear.listen(player, COUNT + 1)
    player.terminate()
    code, errors = finish(player)
    assert code == 0, errors
    stamps = [read_stamp(data) for data in ear.heard[IMAGE]]
    assert stamps == sorted(set(stamps))
    breaks = [after - before for before, after in pairwise(stamps) if after - before > 1_000_000_000]
    assert len(breaks) == 1  # the two seconds before the second round


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({"bag": "/nowhere.mcap"}, "/nowhere.mcap"), ({"bag": "''"}, "bag is empty"), ({"speed": 2}, "speed")],
)
def test_wrong_parameters_end_with_one_line(
    tmp_path: Path, child_environment: dict[str, str], parameters: dict[str, Any], words: str
) -> None:
    code, errors = finish(play(tmp_path, child_environment, **parameters))
    assert code == 1
    assert words in errors
    assert "Traceback" not in errors


def test_what_is_not_installed_is_one_line_and_the_rest_plays(
    tmp_path: Path, ear: Ear, child_environment: dict[str, str]
) -> None:
    """What is without header goes out in the pace of the recording; what was latched is there for late listeners."""
    write_other_types(tmp_path / "bag")
    sent_ns: list[int] = []
    heard: list[str] = []

    def hear(_: Any, info: Any) -> None:
        sent_ns.append(info["source_timestamp"])

    ear.node.create_subscription(Float64MultiArray, "/array", hear, 100)
    player = play(tmp_path / "bag", child_environment, loop="true", wait_for_subscribers_s=0.0)
    while len(sent_ns) < COUNT:
        ear.executor.spin_once(timeout_sec=0.5)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    ear.node.create_subscription(String, "/latched", lambda message: heard.append(message.data), latched)
    while not heard:
        ear.executor.spin_once(timeout_sec=0.5)
    player.terminate()
    code, errors = finish(player)
    assert code == 0, errors
    lines = [line for line in errors.splitlines() if "robot_msgs" in line]
    assert len(lines) == 1 and "/force is not played: its type robot_msgs/msg/Force is not installed" in lines[0]
    assert 0.5 * PERIOD_NS < np.median(np.diff(sent_ns)) < 2 * PERIOD_NS


@pytest.mark.parametrize("order", ["<", ">"])
def test_stamps_of_both_byte_orders(order: str) -> None:
    flag = b"\x00\x01" if order == "<" else b"\x00\x00"
    data = flag + b"\x00\x00" + struct.pack(f"{order}iI", 5, 7) + b"rest"
    assert read_stamp(data) == 5_000_000_007
    moved = with_stamp(data, 6_000_000_001)
    assert read_stamp(moved) == 6_000_000_001
    assert moved[:4] + moved[12:] == data[:4] + data[12:]
