"""Law: what ingest makes of a recording is what the node's own code makes of the same bytes, tick by tick."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image, JointState

from fakes import FakeBackend, make_card
from hal_ros.bags.messages import deserialise, serialise
from hal_ros.bags.reader import BagMessage, BagWriter, read_messages, topic_types
from hal_ros.bags.sensors import COMPRESSED, IMAGE, JOINT_STATE, find_topics, joints_first
from hal_ros.core.arrays import ByteArray
from hal_ros.core.card import ImageSpec, JointSpec
from hal_ros.core.segmenter import Segmenter
from hal_ros.core.step import StepInput, StepOutput
from hal_ros.datasets import episodes, user_bags
from hal_ros.datasets import folder as dataset_folder
from hal_ros.live.demo import DEMO_RECORDING
from hal_ros.ros.convert import rgb_converter
from hal_ros.ros.segmenter.inputs import MessageInputs
from hal_ros.ros.segmenter.pipeline import Pipeline, PipelinePorts

pytestmark = pytest.mark.ros

ROS_TYPES = {COMPRESSED: CompressedImage, IMAGE: Image, JOINT_STATE: JointState}
JOINT_NAMES = (*(f"joint_{index}" for index in range(6)), "left_carriage_joint")
CARD = make_card(image=ImageSpec(64), joints=JointSpec(JOINT_NAMES, 0.1))


class Row(NamedTuple):
    """What the model is given in one tick."""

    fresh: bool
    image: bytes
    joints: bytes
    joints_valid: bytes


class Recorder(FakeBackend):
    """Remembers the picture, the joints and the freshness of every step, held ones included."""

    def __init__(self) -> None:
        super().__init__(CARD)
        self.rows: list[Row] = []
        self._image: np.ndarray = np.zeros(0, np.uint8)

    def encode(self, image: ByteArray) -> np.ndarray:
        self._image = image
        return super().encode(image)

    def step(self, inputs: StepInput, state: Any) -> tuple[StepOutput, Any]:
        joints = inputs.joints.tobytes(), inputs.joints_valid.tobytes()
        self.rows.append(Row(state.ticks == 0, self._image.tobytes(), *joints))
        return super().step(inputs, state)


def recording() -> Iterator[BagMessage]:
    """Yield six seconds of what the demo records: with a gap, a long one, and a picture that can't be read."""
    messages = [m for m in read_messages(DEMO_RECORDING) if m.type_name in ROS_TYPES]
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


def node_rows(messages: list[BagMessage], bag: Path) -> list[Row]:
    """Give each message to the node's callbacks and each due frame to its pipeline."""
    backend = Recorder()
    ports = PipelinePorts(rgb_converter("native"), lambda: 0, lambda _: None, lambda _: None)
    pipeline = Pipeline(Segmenter(CARD, backend), ports)
    inputs = MessageInputs(CARD, pipeline.handle)
    topics = find_topics(topic_types(bag), CARD)
    for message in joints_first(messages, topics):  # as they reach a node that sees no joint state late
        content = deserialize_message(message.data, ROS_TYPES[message.type_name])
        (inputs.on_joints if message.type_name == JOINT_STATE else inputs.on_image)(content)
    assert pipeline.counters["unreadable"] == 1
    assert pipeline.counters["held_ticks"] > 0
    return backend.rows


def ingested_rows(bag: Path, tmp_path: Path) -> list[Row]:
    found, problems = user_bags.find_user_bags([bag])
    (own,) = found.values()
    episode_folder = dataset_folder.place_episode(own, ("reach", "grasp"), tmp_path / "mine" / "train", copy=False)
    cached = episodes.cached(episode_folder, CARD, episodes.USUAL_TOPICS, tmp_path / "cache")
    episode = episodes.load(cached)
    assert not problems
    assert episode.actions is None
    assert episode.counters["unreadable"] == 1
    columns = zip(episode.fresh, episode.images, episode.joints, episode.joints_valid, strict=True)
    return [Row(bool(fresh), *(array.tobytes() for array in arrays)) for fresh, *arrays in columns]


def test_ingest_gives_the_bytes_that_the_node_steps(tmp_path: Path) -> None:
    messages = list(recording())
    with BagWriter(tmp_path / "demo") as bag:
        for topic, type_name, receive_ns, data in messages:
            bag.write(topic, type_name, data, receive_ns)
    live, ingested = node_rows(messages, tmp_path / "demo"), ingested_rows(tmp_path / "demo", tmp_path)
    assert len(live) > 30
    assert sum(row.fresh for row in live) == 2
    assert len({row.image for row in live}) > 20
    assert ingested == live


def test_one_changed_byte_is_seen(tmp_path: Path) -> None:
    """The control: another joint value, and another picture, each change rows."""
    messages = list(recording())
    for kind in (JOINT_STATE, COMPRESSED):
        of_kind = [index for index, message in enumerate(messages) if message.type_name == kind]
        other = list(messages)
        for index in of_kind[100:110] if kind == JOINT_STATE else of_kind[8:10]:  # one of them is used by a tick
            content = deserialise(kind, other[index].data)
            if kind == JOINT_STATE:
                content.position = content.position + 1e-3
            else:
                content.data = deserialise(kind, messages[of_kind[0]].data).data
            other[index] = other[index]._replace(data=serialise(content))
        with BagWriter(tmp_path / kind.replace("/", "_")) as bag:
            for topic, type_name, receive_ns, data in other:
                bag.write(topic, type_name, data, receive_ns)
        assert ingested_rows(bag.path, tmp_path) != node_rows(messages, bag.path)
