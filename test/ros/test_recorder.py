"""The recorder's process: what was published is in the file, byte for byte and for every reader, killed or not."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import rclpy
from mcap.exceptions import McapError
from mcap.reader import NonSeekingReader, make_reader
from mcap_ros2.decoder import DecoderFactory
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader

from fakes import make_card
from hal_ros.bags.messages import header_message, known_class, serialise
from hal_ros.bags.reader import METADATA, BagNotes, read_messages
from hal_ros.bags.recover import recover
from hal_ros.core.errors import BagError
from hal_ros.ros.recorder import LOSSES, message_class
from hal_ros.ros.topic_listener import SEGMENT_BYTES
from hal_ros.runtime.bundle import save_card

pytestmark = pytest.mark.ros

DEADLINE_S = 30.0
IMAGE, JOINT_STATE, TRUTH = "sensor_msgs/msg/Image", "sensor_msgs/msg/JointState", "hal_msgs/msg/ActionTruth"
VOCABULARY = "hal_msgs/msg/Vocabulary"
CAMERA_TOPIC, JOINT_TOPIC, TRUTH_TOPIC = "/camera/color/image_raw", "/joint_states", "/simulation/action_truth"
VOCABULARY_TOPIC = "/segmenter/vocabulary"
SENSOR = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=200)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def until(holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while not (found := holds()):
        assert time.monotonic() < deadline, "the condition did not become true in time"
        threading.Event().wait(0.02)
    return found


class Robot:
    """Publishes bytes and remembers them."""

    def __init__(self, domain: int) -> None:
        self.context = Context()
        rclpy.init(args=[], context=self.context, domain_id=domain)
        self.node = rclpy.create_node("robot", context=self.context)
        self.publishers: dict[str, Any] = {}
        self.sent: dict[str, list[bytes]] = {}
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def advertise(self, topic: str, type_name: str, qos: QoSProfile) -> None:
        self.publishers[topic] = self.node.create_publisher(message_class(type_name), topic, qos)
        self.sent[topic] = []

    def publish(self, topic: str, message: Any) -> None:
        self.sent[topic].append(serialise(message))
        self.publishers[topic].publish(self.sent[topic][-1])

    def listened_to(self) -> bool:
        return all(publisher.get_subscription_count() for publisher in self.publishers.values())

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def robot(ros_domain_id: int) -> Iterator[Robot]:
    robot = Robot(ros_domain_id)
    yield robot
    robot.close()


class Recorder:
    """The process, recording to `folder`."""

    def __init__(self, folder: Path, environment: dict[str, str], *parameters: str, limit: str = "") -> None:
        self.folder = folder / "run"
        self.file = self.folder / "run_0.mcap"
        values = [f"output:={folder}", "name:=run", "diagnostics_period_s:=0.1", *parameters]
        arguments = [argument for value in values for argument in ("-p", value)]
        command = [sys.executable, "-m", "hal_ros.ros.recorder", "--ros-args", *arguments]
        if limit:
            command = ["prlimit", limit, "--", *command]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    def count(self) -> int:
        """How many sensor messages are on the disk by now."""
        if not self.file.exists() or not self.file.stat().st_size:
            return 0
        return sum(message.topic != "/diagnostics" for message in read_messages(self.file))

    def end(self, number: int = signal.SIGINT) -> str:
        """Send a signal; returns what the process wrote to stderr."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=DEADLINE_S)[1]


@pytest.fixture
def start(tmp_path: Path, child_environment: dict[str, str]) -> Iterator[Callable[..., Recorder]]:
    started: list[Recorder] = []

    def begin(*parameters: str, folder: Path = tmp_path / "recordings", **options: Any) -> Recorder:
        started.append(Recorder(folder, child_environment, *parameters, **options))
        return started[-1]

    yield begin
    for recorder in started:
        recorder.process.kill()
        recorder.process.wait()
        recorder.process.stderr.close()


def advertise_all(robot: Robot) -> None:
    robot.advertise(CAMERA_TOPIC, IMAGE, SENSOR)
    robot.advertise(JOINT_TOPIC, JOINT_STATE, RELIABLE)
    robot.advertise(TRUTH_TOPIC, TRUTH, RELIABLE)


def publish_tick(robot: Robot, number: int) -> None:
    """One image, some joint states of odd lengths, one label of odd length."""
    header = header_message(1_000_000_000 + number, "camera" * (number % 3))
    pixels = np.full(64 * 48 * 3, number % 256, np.uint8)
    robot.publish(CAMERA_TOPIC, known_class(IMAGE)(header, 48, 64, "rgb8", 0, 192, pixels))
    for _ in range(3):
        values = np.arange(number % 5, dtype=np.float64)
        robot.publish(JOINT_TOPIC, known_class(JOINT_STATE)(header, ["a", "bc"], values, values, np.array([])))
    robot.publish(TRUTH_TOPIC, known_class(TRUTH)(header, "reach" + "h" * (number % 4), number))


def publish_picture(robot: Robot) -> None:
    """A raw picture of a usual size."""
    pixels = np.zeros(720 * 1280 * 3, np.uint8)
    robot.publish(CAMERA_TOPIC, known_class(IMAGE)(header_message(1, "camera"), 720, 1280, "rgb8", 0, 3840, pixels))


def sent_count(robot: Robot) -> int:
    return sum(map(len, robot.sent.values()))


def read_with_our_reader(path: Path) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for message in read_messages(path):
        found.setdefault(message.topic, []).append(message.data)
    return found


def read_with_mcap(path: Path) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    with next(path.glob("*.mcap")).open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        assert reader.get_header().profile == "ros2"
        for schema, channel, message in reader.iter_messages():
            assert (schema.encoding, channel.message_encoding) == ("ros2msg", "cdr")
            assert "offered_qos_profiles" in channel.metadata
            assert message.publish_time < message.log_time  # the middleware's own times, not the callback's
            found.setdefault(channel.topic, []).append(message.data)
    return found


def read_with_rosbags(path: Path) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    with Reader(path) as reader:
        for connection, _, data in reader.messages():
            found.setdefault(connection.topic, []).append(bytes(data))
        assert reader.message_count == sum(map(len, found.values()))
    return found


def read_with_any_reader(path: Path) -> dict[str, list[bytes]]:
    """Without a typestore of its own: the file says all that is needed to decode it."""
    found: dict[str, list[bytes]] = {}
    with AnyReader([path]) as reader:
        for connection, _, data in reader.messages():
            assert reader.deserialize(data, connection.msgtype) is not None
            found.setdefault(connection.topic, []).append(bytes(data))
    return found


def read_with_mcap_ros2(path: Path) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    with next(path.glob("*.mcap")).open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        for _, channel, message, decoded in reader.iter_decoded_messages():
            if channel.topic == TRUTH_TOPIC:
                assert decoded.label.startswith("reach")
            found.setdefault(channel.topic, []).append(message.data)
    return found


def read_as_a_stream(path: Path, topic: str) -> list[bytes]:
    """What the mcap library reads of a file that is cut off, until it finds the cut."""
    found: list[bytes] = []
    with path.open("rb") as stream:
        messages = NonSeekingReader(stream).iter_messages(log_time_order=False)
        with contextlib.suppress(McapError, struct.error):
            found.extend(message.data for _, channel, message in messages if channel.topic == topic)
    return found


READERS = (read_with_our_reader, read_with_mcap, read_with_rosbags, read_with_any_reader, read_with_mcap_ros2)


def test_every_reader_finds_the_published_bytes(robot: Robot, start: Callable[..., Recorder]) -> None:
    advertise_all(robot)
    recorder = start()
    until(robot.listened_to)
    for number in range(40):
        publish_tick(robot, number)
        until(lambda: recorder.process.poll() is None)
        threading.Event().wait(0.005)  # a burst is not what cameras do
    until(lambda: recorder.count() == sent_count(robot))
    log = recorder.end()
    assert recorder.process.returncode == 0, log
    for read in READERS:
        found = read(recorder.folder)
        found.pop("/diagnostics", None)
        assert found == robot.sent, read.__name__


def test_what_was_latched_before_is_recorded(robot: Robot, start: Callable[..., Recorder]) -> None:
    robot.advertise(VOCABULARY_TOPIC, VOCABULARY, LATCHED)
    robot.publish(VOCABULARY_TOPIC, known_class(VOCABULARY)("tabletop", "0" * 64, ["idle"], 10.0, 4, 5))
    recorder = start()
    until(lambda: recorder.count() == 1)
    recorder.end(signal.SIGTERM)
    assert recorder.process.returncode == 0
    assert read_with_our_reader(recorder.folder)[VOCABULARY_TOPIC] == robot.sent[VOCABULARY_TOPIC]
    with Reader(recorder.folder) as reader:
        connection = next(c for c in reader.connections if c.topic == VOCABULARY_TOPIC)
        assert [qos.durability.name for qos in connection.ext.offered_qos_profiles] == ["TRANSIENT_LOCAL"]


def test_the_bundles_card_is_in_the_file(tmp_path: Path, robot: Robot, start: Callable[..., Recorder]) -> None:
    (tmp_path / "bundle").mkdir()
    bundle = save_card(make_card(), tmp_path / "bundle")
    advertise_all(robot)
    recorder = start(f"model:={bundle.folder}")
    until(robot.listened_to)
    recorder.end()
    with recorder.file.open("rb") as stream:
        record = next(iter(make_reader(stream).iter_metadata()))
    assert record.name == "bundle"
    assert record.metadata["card"] == (bundle.folder / "card.json").read_text()
    assert record.metadata["sha256"] == bundle.sha256


def test_killed_at_any_moment_it_keeps_all_but_the_last_second(
    robot: Robot, start: Callable[..., Recorder], tmp_path: Path
) -> None:
    advertise_all(robot)
    recorder = start()
    until(robot.listened_to)
    times: list[int] = []
    for number in range(150):  # three seconds
        publish_tick(robot, number)
        times.append(time.time_ns())
        threading.Event().wait(0.02)
    recorder.process.kill()
    killed_ns = time.time_ns()
    recorder.process.communicate()
    assert not (recorder.folder / METADATA).exists()
    old = sum(sent_ns < killed_ns - 1_000_000_000 for sent_ns in times)
    assert old > 50
    found = len(read_as_a_stream(recorder.file, CAMERA_TOPIC))
    assert found >= old
    notes = BagNotes()
    ours = [m.data for m in read_messages(recorder.file, [CAMERA_TOPIC], notes)]
    assert notes.cut_off
    assert ours == robot.sent[CAMERA_TOPIC][: len(ours)]
    assert len(ours) == found
    recovered = recover(recorder.folder)
    assert recovered is not None
    for read in READERS:
        assert read(recovered.folder)[CAMERA_TOPIC] == ours, read.__name__


def test_a_full_disk_ends_it_with_a_clear_error(robot: Robot, start: Callable[..., Recorder]) -> None:
    advertise_all(robot)
    errors: list[str] = []
    reports: list[Any] = []

    def listen(report: Any) -> None:
        reports.append(report)
        errors.extend(s.message for s in report.status if s.name == "recorder: file" and s.level == b"\2")

    robot.node.create_subscription(message_class("diagnostic_msgs/msg/DiagnosticArray"), "/diagnostics", listen, 10)
    recorder = start(limit="--fsize=60000")
    until(robot.listened_to)
    until(lambda: robot.executor.spin_once(timeout_sec=0.02) or reports)  # or its last report may reach nobody
    random = np.random.default_rng(0)
    number = 0
    while recorder.process.poll() is None and number < 1000:
        number += 1
        pixels = random.integers(0, 256, 64 * 48 * 3, np.uint8)  # does not compress
        header = header_message(number, "camera")
        robot.publish(CAMERA_TOPIC, known_class(IMAGE)(header, 48, 64, "rgb8", 0, 192, pixels))
        robot.executor.spin_once(timeout_sec=0.02)
    log = recorder.process.communicate(timeout=DEADLINE_S)[1]
    assert recorder.process.returncode == 1
    assert "File too large" in log
    assert "Traceback" not in log
    until(lambda: robot.executor.spin_once(timeout_sec=0.02) or errors)
    assert "File too large" in errors[-1]
    kept = [m.data for m in read_messages(recorder.file, [CAMERA_TOPIC])]
    assert kept == robot.sent[CAMERA_TOPIC][: len(kept)]


@pytest.mark.parametrize(
    "parameter",
    ["output:=/proc/nowhere", "model:=/nowhere", "queue_mib:=0", "invented:=1", 'topics:=["no topic"]'],
)
def test_what_can_not_work_is_refused_in_one_line(start: Callable[..., Recorder], parameter: str) -> None:
    recorder = start(parameter)
    log = recorder.process.communicate(timeout=DEADLINE_S)[1]
    assert recorder.process.returncode == 1
    assert "Traceback" not in log
    assert len([line for line in log.splitlines() if line.startswith("hal_ros: ")]) == 1, log


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path, start: Callable[..., Recorder]) -> None:
    (tmp_path / "taken").write_text("in the way")
    recorder = start(folder=tmp_path / "taken")
    log = recorder.process.communicate(timeout=DEADLINE_S)[1]
    assert recorder.process.returncode == 1
    assert "can't be made" in log
    assert os.fspath(tmp_path / "taken") in log


# --- losses -----------------------------------------------------------------------------------------------------------


def test_nothing_lost_ends_with_0_also_where_no_topic_is_asked_for(start: Callable[..., Recorder]) -> None:
    recorder = start("topics:=[]")
    until(lambda: recorder.file.exists())
    log = recorder.end()
    assert recorder.process.returncode == 0 and "0 messages, 0 dropped or lost" in log, log


def test_a_folder_that_is_removed_ends_it_with_an_error(robot: Robot, start: Callable[..., Recorder]) -> None:
    advertise_all(robot)
    recorder = start()
    until(robot.listened_to)
    publish_tick(robot, 0)
    shutil.rmtree(recorder.folder)
    _, log = recorder.process.communicate(timeout=DEADLINE_S)
    assert recorder.process.returncode == 1 and "was removed or replaced while it was written" in log
    assert "Traceback" not in log


def test_where_memory_is_too_short_to_hear_anybody_the_exit_code_says_so(
    ros_domain_id: int, start: Callable[..., Recorder]
) -> None:
    """Its address space ends before the shared memory that pictures come through fits into it."""
    recorder = start(f"topics:=[{CAMERA_TOPIC}]")
    until(lambda: recorder.file.exists())
    process = psutil.Process(recorder.process.pid)
    process.rlimit(psutil.RLIMIT_AS, (process.memory_info().vms + SEGMENT_BYTES // 2,) * 2)
    with contextlib.closing(Robot(ros_domain_id)) as robot:
        robot.advertise(CAMERA_TOPIC, IMAGE, SENSOR)
        until(robot.listened_to)
        publish_picture(robot)
        log = recorder.end()
    assert recorder.process.returncode == LOSSES, log
    assert f"not recorded: {CAMERA_TOPIC}: nothing comes from 1 of its publishers: memory is too short" in log


def test_topics_on_which_nothing_came_are_named(robot: Robot, start: Callable[..., Recorder]) -> None:
    robot.advertise(CAMERA_TOPIC, IMAGE, SENSOR)
    recorder = start()
    until(robot.listened_to)
    log = recorder.end()
    assert recorder.process.returncode == 0 and f"nothing came, on {CAMERA_TOPIC}" in log, log


def test_publishers_that_come_later_with_another_quality_are_recorded_too(
    robot: Robot, start: Callable[..., Recorder]
) -> None:
    robot.advertise(JOINT_TOPIC, JOINT_STATE, RELIABLE)
    robot.advertise(VOCABULARY_TOPIC, VOCABULARY, LATCHED)
    recorder = start()
    until(robot.listened_to)
    kind, header = known_class(JOINT_STATE), header_message(1_000_000_000, "")
    nothing = np.zeros(0)
    first = robot.publishers[JOINT_TOPIC]
    second = robot.node.create_publisher(message_class(JOINT_STATE), JOINT_TOPIC, SENSOR)
    volatile = robot.node.create_publisher(message_class(VOCABULARY), VOCABULARY_TOPIC, RELIABLE)
    sent: dict[str, list[bytes]] = {}

    def publish(publisher: Any, name: str) -> None:
        sent.setdefault(name, []).append(serialise(kind(header, [f"{name} {len(sent[name])}"], *[nothing] * 3)))
        publisher.publish(sent[name][-1])

    def both_are_heard() -> bool:
        publish(first, "first")
        threading.Event().wait(0.02)
        return bool(second.get_subscription_count() and volatile.get_subscription_count())

    until(both_are_heard)
    for _ in range(20):
        publish(first, "first")
        publish(second, "second")
        threading.Event().wait(0.005)
    count = len(sent["first"]) + len(sent["second"])
    until(lambda: recorder.count() == count)
    log = recorder.end()
    found = read_with_our_reader(recorder.folder)[JOINT_TOPIC]
    assert sorted(found) == sorted([*sent["first"], *sent["second"]])  # each once, though two subscriptions overlapped
    assert recorder.process.returncode == 0, log


def test_what_a_publisher_sent_before_it_could_be_heard_is_lost_and_told(
    robot: Robot, start: Callable[..., Recorder]
) -> None:
    robot.advertise(JOINT_TOPIC, JOINT_STATE, RELIABLE)
    recorder = start()
    until(robot.listened_to)
    late = robot.node.create_publisher(message_class(JOINT_STATE), JOINT_TOPIC, SENSOR)
    data = serialise(known_class(JOINT_STATE)(header_message(1, ""), [], *[np.zeros(0)] * 3))
    late.publish(data)  # nobody hears it
    until(late.get_subscription_count)
    until(lambda: late.publish(data) or recorder.count())
    log = recorder.end()
    assert recorder.process.returncode == LOSSES and " dropped or lost" in log and " 0 dropped" not in log, log


def test_a_topic_that_can_not_be_recorded_is_told_in_the_exit_code(
    robot: Robot, start: Callable[..., Recorder]
) -> None:
    robot.advertise(JOINT_TOPIC, VOCABULARY, RELIABLE)
    recorder = start()
    until(robot.listened_to)
    other = Context()  # one topic has one type in each participant
    rclpy.init(args=[], context=other, domain_id=robot.context.get_domain_id())
    node = rclpy.create_node("other", context=other)
    node.create_publisher(message_class(JOINT_STATE), JOINT_TOPIC, RELIABLE)
    lines = []
    for line in recorder.process.stderr or ():
        lines.append(line)
        if "and not what others publish there" in line:
            recorder.process.send_signal(signal.SIGINT)
    assert recorder.process.wait(DEADLINE_S) == LOSSES, lines
    node.destroy_node()
    rclpy.shutdown(context=other)


def test_events_of_services_are_named_as_what_they_are() -> None:
    with pytest.raises(BagError, match="is of a service or an action, and no message; `ros2 bag record` takes it"):
        message_class("std_srvs/srv/Trigger_Event")
