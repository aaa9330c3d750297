"""Law: what ingest makes of a recording is what the node's own code makes of the same bytes, tick by tick."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from rclpy.serialization import deserialize_message

from fakes import FakeBackend, make_card
from hal_ros.bags.inputs import AS_IN_THE_CARD, find_inputs
from hal_ros.bags.messages import deserialise, header_message, known_class, serialise
from hal_ros.bags.reader import BagMessage, BagWriter, read_messages
from hal_ros.bags.sensors import COMPRESSED, IMAGE, in_clock_order
from hal_ros.core.arrays import ByteArray, FloatArray
from hal_ros.core.card import ModelCard
from hal_ros.core.image import ENCODINGS
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.step import StepInput, StepOutput
from hal_ros.core.streams.spec import JOINT_STATE, CameraSpec, StateSpec, StreamSpec, single
from hal_ros.datasets import episodes, user_bags
from hal_ros.datasets import folder as dataset_folder
from hal_ros.live.demo import DEMO_RECORDING
from hal_ros.ros.convert import rgb_converter
from hal_ros.ros.message_types import message_class
from hal_ros.ros.segmenter.inputs import MessageInputs, TopicPort
from hal_ros.ros.segmenter.pipeline import Pipeline, PipelinePorts
from hal_ros.ros.segmenter.topics import Form, WantedTopic

pytestmark = pytest.mark.ros

JOINT_NAMES = (*(f"joint_{index}" for index in range(6)), "left_carriage_joint")
DEMO = make_card(streams=single(CameraSpec(size_px=64), StateSpec(names=JOINT_NAMES)))


class Row(NamedTuple):
    """What the model is given in one tick."""

    fresh: bool
    pictures: bytes  # a hash of each camera's, zeros where there is none
    image_valid: bytes
    joints: bytes
    joints_valid: bytes


def digest(picture: ByteArray) -> FloatArray:
    """Three numbers that no two pictures share."""
    found = hashlib.blake2b(picture.tobytes(), digest_size=6).digest()
    return np.frombuffer(found, np.uint16).astype(np.float32) / np.float32(2**16)


class Recorder(FakeBackend):
    """Remembers pictures, state values and the freshness of every step, held ones included."""

    def __init__(self, card: ModelCard) -> None:
        super().__init__(card)
        self.rows: list[Row] = []

    def encode(self, image: ByteArray) -> FloatArray:
        self.encoded += 1
        return digest(image)

    def step(self, inputs: StepInput, state: Any) -> tuple[StepOutput, Any]:
        self.rows.append(Row(state.ticks == 0, *(array.tobytes() for array in inputs)))
        return super().step(inputs, state)


def node_rows(bag: Path, card: ModelCard) -> list[Row]:
    """Give each message to the node's callbacks and each due frame to its pipeline."""
    backend = Recorder(card)
    ports = PipelinePorts(rgb_converter("native"), lambda: 0, lambda _: None, lambda _: None)
    pipeline = Pipeline(Segmenter(card, backend), ports)
    inputs = MessageInputs(card.streams, pipeline.handle)
    found = find_inputs(bag, card.streams, card.name)
    topics = {topic: _port(inputs, topic, found) for topic in found.all_topics}
    for message in in_clock_order(read_messages(bag), found):  # as they reach a node that sees none late
        if message.topic not in topics:
            continue
        port = topics[message.topic]
        content = deserialize_message(message.data, message_class(message.type_name))
        if port.headed:
            port.on_message(content)
        else:
            port.on_message_with_info(content, {"source_timestamp": message.publish_ns})
    assert pipeline.counters["held_ticks"] > 0
    assert sum(pipeline.counters[f"{camera}/unreadable"] for camera in card.streams.cameras) == 1
    return backend.rows


def _port(inputs: MessageInputs, topic: str, found: Any) -> TopicPort:
    streams = tuple(stream for stream, topics in found.topics.items() if topic in topics)
    return inputs.port(WantedTopic(Form(topic, topic, found.type_names[topic]), streams))


def ingested_rows(bag: Path, card: ModelCard, tmp_path: Path) -> list[Row]:
    bags, problems = user_bags.find_user_bags([bag])
    (own,) = bags.values()
    episode_folder = dataset_folder.place_episode(own, ("reach", "grasp"), tmp_path / "mine" / "train", copy=False)
    episode = episodes.load(episodes.cached(episode_folder, card, AS_IN_THE_CARD, tmp_path / "cache"))
    assert not problems
    assert episode.actions is None
    rows = []
    for tick, fresh in enumerate(episode.fresh):
        pictures = [
            digest(images[tick]) if episode.image_valid[tick, camera] else np.zeros(3, np.float32)
            for camera, images in enumerate(episode.images.values())
        ]
        values = (episode.image_valid[tick], episode.joints[tick], episode.joints_valid[tick])
        rows.append(Row(bool(fresh), np.concatenate(pictures).tobytes(), *(array.tobytes() for array in values)))
    return rows


def write(path: Path, messages: Iterable[BagMessage]) -> Path:
    with BagWriter(path) as bag:
        for topic, type_name, receive_ns, data, publish_ns in messages:
            bag.write(topic, type_name, data, receive_ns, publish_ns)
    return path


# --- the demo's recording ---------------------------------------------------------------------------------------------


def demo_messages() -> Iterator[BagMessage]:
    """Yield six seconds of what the demo records: with a gap, a long one, and a picture that can't be read."""
    messages = [m for m in read_messages(DEMO_RECORDING) if m.type_name in (COMPRESSED, JOINT_STATE)]
    first_ns, images = messages[0].receive_ns, 0
    for message in messages:
        if message.receive_ns - first_ns > 6_000_000_000:
            return
        if message.type_name == JOINT_STATE:
            yield message
            continue
        images += 1
        content = deserialise(message.type_name, message.data)
        if images == 12:
            content.data = content.data[: len(content.data) // 50]
        if images not in range(20, 24) and images not in range(40, 60):
            yield message._replace(data=serialise(content))


def test_ingest_gives_the_bytes_that_the_node_steps(tmp_path: Path) -> None:
    bag = write(tmp_path / "demo", demo_messages())
    live, ingested = node_rows(bag, DEMO), ingested_rows(bag, DEMO, tmp_path)
    assert len(live) > 30
    assert sum(row.fresh for row in live) == 2
    assert len({row.pictures for row in live}) > 20
    assert ingested == live


@pytest.mark.parametrize("kind", [JOINT_STATE, COMPRESSED])
def test_one_changed_byte_is_seen(tmp_path: Path, kind: str) -> None:
    """The control: another joint value, and another picture, each change rows."""
    messages = list(demo_messages())
    bag = write(tmp_path / "demo", messages)
    of_kind = [index for index, message in enumerate(messages) if message.type_name == kind]
    for index in of_kind[100:110] if kind == JOINT_STATE else of_kind[8:10]:  # one of them is used by a tick
        content = deserialise(kind, messages[index].data)
        if kind == JOINT_STATE:
            content.position = content.position + 1e-3
        else:
            content.data = deserialise(kind, messages[of_kind[0]].data).data
        messages[index] = messages[index]._replace(data=serialise(content))
    other = write(tmp_path / "other", messages)
    assert ingested_rows(other, DEMO, tmp_path) != node_rows(bag, DEMO)


# --- every type that the model may take -------------------------------------------------------------------------------

START_NS, PERIOD_NS = 1_700_000_000_000_000_000, 100_000_000
WRENCH, POSE, ARRAY = (
    "geometry_msgs/msg/WrenchStamped",
    "geometry_msgs/msg/PoseStamped",
    "std_msgs/msg/Float64MultiArray",
)
ROTATION = tuple(f"pose.orientation.{axis}" for axis in "xyzw")
STREAMS = StreamSpec(
    "front",
    {
        "front": CameraSpec(("/front",), 16, crop=(2, 2, 20, 16)),
        "wrist": CameraSpec(("/wrist/compressed",), 16, crop="full", max_age_s=0.12),
    },
    {
        "arm": StateSpec(("/left", "/right"), names=("a", "b", "c")),
        "gripper": StateSpec(("/left",), names=("finger",), fields=("position",), max_age_s=0.3),
        "wrench": StateSpec(("/wrench",), WRENCH, fields=("wrench.force.x", "wrench.torque.z")),
        "pose": StateSpec(("/pose",), POSE, fields=("pose.position.y", *ROTATION)),
        "load": StateSpec(("/load",), ARRAY, fields=("data[0]", "data[3]"), max_age_s=0.25),
    },
    max_held_ticks=2,
)
ROBOT = make_card(streams=STREAMS)
CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "yuv422_yuy2": 2, "mono16": 2}


def raw_image(rng: np.random.Generator, number: int, header: Any) -> Any:
    """Every encoding in turn, with rows that are padded and now and then big-endian."""
    encoding = list(ENCODINGS)[number % len(ENCODINGS)]
    height, width = 24, 32
    step = width * CHANNELS.get(encoding, 1) + 4 * (number % 2)
    data = rng.integers(0, 256, height * step, np.uint8)
    if number == 6:
        data = data[:-1]  # can't be read
    return known_class(IMAGE)(header, height, width, encoding, number // 11 % 2, step, data)


def robot_messages() -> Iterator[BagMessage]:
    """Yield three seconds of a robot: lost pictures, drivers in turn, values that are missing, times of sending."""
    rng = np.random.default_rng(0)
    vector, quaternion = known_class("geometry_msgs/msg/Vector3"), known_class("geometry_msgs/msg/Quaternion")
    layout = known_class("std_msgs/msg/MultiArrayLayout")([], 0)

    def message(topic: str, content: Any, stamp_ns: int, delay_ns: int = 1_000_000) -> BagMessage:
        return BagMessage(topic, content.__msgtype__, stamp_ns + delay_ns, serialise(content), stamp_ns)

    for number in range(34):
        for part in range(5):
            stamp_ns = START_NS + number * PERIOD_NS + part * 20_000_000 + int(rng.integers(0, 5_000_000))
            header, random = header_message(stamp_ns, "base"), rng.normal(size=12)
            names = [["a", "b"], ["c", "a", "other"], ["finger", "b"], ["c"], ["finger", "a", "b", "c"]][part]
            position, velocity = random[: len(names)], random[3 : 3 + len(names)]
            position[0] = np.nan if number % 7 == 3 else position[0]
            effort = random[6 : 6 + (number + part) % 4]
            yield message(
                "/left" if part % 2 == 0 else "/right",
                known_class(JOINT_STATE)(header, names, position, velocity, effort),
                stamp_ns,
            )
            wrench = known_class("geometry_msgs/msg/Wrench")(vector(*random[:3]), vector(*random[3:6]))
            yield message("/wrench", known_class(WRENCH)(header, wrench), stamp_ns + 1)
            pose = known_class("geometry_msgs/msg/Pose")(
                known_class("geometry_msgs/msg/Point")(*random[:3]), quaternion(*random[4:8])
            )
            yield message("/pose", known_class(POSE)(header, pose), stamp_ns + 2)
            if part == number % 5:
                yield message("/load", known_class(ARRAY)(layout, random[: 2 + number % 4]), stamp_ns + 3, 4_000_000)
        header = header_message(stamp_ns := START_NS + (number + 1) * PERIOD_NS - 12_000_000, "wrist")
        if number % 4:
            pixels = rng.integers(0, 256, (20, 30, 3), np.uint8)
            data = cv2.imencode(".png" if number % 3 else ".jpg", pixels)[1].reshape(-1)
            yield message("/wrist/compressed", known_class(COMPRESSED)(header, "png", data), stamp_ns)
        if number not in (10, 11, 20, 21, 22, 23):
            header = header_message(stamp_ns + 8_000_000, "front")
            yield message("/front", raw_image(rng, number, header), stamp_ns + 8_000_000)


def test_every_type_is_read_alike(tmp_path: Path) -> None:
    bag = write(tmp_path / "robot", robot_messages())
    live, ingested = node_rows(bag, ROBOT), ingested_rows(bag, ROBOT, tmp_path)
    assert len(live) > 25 and sum(row.fresh for row in live) == 2
    valid = np.array([np.frombuffer(row.joints_valid, np.float32) for row in live])
    assert valid.any(0).all() and valid.all(1).any() and not valid.all()  # each value was there; not always all
    flags = [np.array(flags, np.float32).tobytes() for flags in ((1, 1), (1, 0))]
    assert {row.image_valid for row in live} == set(flags)
    for number, (one, other) in enumerate(zip(ingested, live, strict=True)):
        assert one == other, number


@pytest.mark.parametrize("topic", ["/front", "/wrist/compressed", "/left", "/right", "/wrench", "/pose", "/load"])
def test_every_topic_matters(tmp_path: Path, topic: str) -> None:
    """The control: without the last third of a topic's messages the rows are others."""
    messages = list(robot_messages())
    bag = write(tmp_path / "robot", messages)
    until_ns = messages[-1].receive_ns - 1_000_000_000
    other = write(tmp_path / "other", (m for m in messages if m.topic != topic or m.receive_ns < until_ns))
    assert node_rows(other, ROBOT) != ingested_rows(bag, replace(ROBOT, name="robot"), tmp_path)
