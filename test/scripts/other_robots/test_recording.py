"""What tests and simulators write as bags of other robots, `rosbags` and this package read back, in every form."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from hal_ros.bags import messages
from hal_ros.bags.reader import read_messages
from hal_ros.core import image
from hal_ros.core.answers import Segment
from hal_ros.datasets.episodes import read_annotation, read_transcript
from other_robots.layouts import LAYOUTS, CameraTopic, JointTopic
from other_robots.recording import COMPRESSED_IMAGE, FORMS, IMAGE, JOINT_STATE, Form, Recording
from other_robots_bags import START_NS, Plot, picture_of, usual_plot, write_other_robot, write_other_robots

EVERY_FORM = pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(map(str, form)))
ROBOTS = pytest.mark.parametrize("robot", sorted(LAYOUTS))


def read(bag: Path) -> list[tuple[str, int, Any]]:
    """Return topic, time of receipt and content of all messages, by the `rosbags` library."""
    with AnyReader([bag]) as reader:
        return [
            (connection.topic, receive_ns, reader.deserialize(data, connection.msgtype))
            for connection, receive_ns, data in reader.messages()
        ]


@ROBOTS
@EVERY_FORM
def test_a_bag_holds_what_the_layout_says(tmp_path: Path, robot: str, form: Form) -> None:
    found = read(write_other_robot(tmp_path, robot, form))
    types = {topic: message.__msgtype__ for topic, _, message in found}
    end_s = usual_plot(robot).end_s
    for each in LAYOUTS[robot](form.turns):
        camera = isinstance(each, CameraTopic)
        name = each.topic.name if form.raw_pictures or not camera else f"{each.topic.name}/compressed"
        if camera:
            assert types[name] == (IMAGE if form.raw_pictures else COMPRESSED_IMAGE)
        if isinstance(each, JointTopic):
            assert types[name] == JOINT_STATE
            own = [message for topic, _, message in found if topic == name and message.name[0] in each.joints.values()]
            assert abs(len(own) - end_s * each.topic.rate_hz) <= 1
    for _, receive_ns, message in found:
        stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        assert START_NS <= stamp_ns < receive_ns < stamp_ns + 150_000_000


@ROBOTS
@EVERY_FORM
def test_this_package_reads_the_same_bytes(tmp_path: Path, robot: str, form: Form) -> None:
    bag = write_other_robot(tmp_path, robot, form)
    ours = [(each.topic, each.receive_ns) for each in read_messages(bag)]
    assert sorted(ours) == sorted((topic, receive_ns) for topic, receive_ns, _ in read(bag))
    assert [receive_ns for _, receive_ns in ours] == sorted(receive_ns for _, receive_ns in ours)


@ROBOTS
def test_drivers_take_turns_on_one_topic(tmp_path: Path, robot: str) -> None:
    """In such a bag no message on the topic names all joints, and each driver soon gives way to the other."""
    bag = write_other_robot(tmp_path, robot, FORMS[1])
    names = [tuple(message.name) for topic, _, message in read(bag) if topic == "/joint_states"]
    assert FORMS[1].turns and len(set(names)) == 2
    changes = sum(one != other for one, other in pairwise(names))
    assert changes > 0.5 * len(names)


@ROBOTS
def test_without_turns_each_driver_has_its_own_topic(tmp_path: Path, robot: str) -> None:
    bag = write_other_robot(tmp_path, robot, FORMS[0])
    drivers: dict[str, set[tuple[str, ...]]] = {}
    for topic, _, message in read(bag):
        if message.__msgtype__ == JOINT_STATE and topic != "/gripper/joint_states":
            drivers.setdefault(topic, set()).add(tuple(message.name))
    assert all(len(names) == 1 for names in drivers.values())
    grippers = {name for topic, _, message in read(bag) if topic == "/gripper/joint_states" for name in message.name}
    assert grippers == {"aloha": {"left_gripper", "right_gripper"}, "panda": {"panda_finger_joint1"}}[robot]


@pytest.mark.parametrize("form", [FORMS[0], FORMS[2]])
def test_pictures_come_back(tmp_path: Path, form: Form) -> None:
    plot = Plot(("approach_red", "stack"))
    bag = write_other_robot(tmp_path, "panda", form, plot)
    front = next(each for each in LAYOUTS["panda"](False) if isinstance(each, CameraTopic))
    shots = [each for each in read_messages(bag) if each.topic.startswith(front.topic.name)]
    last = messages.deserialise(shots[-1].type_name, shots[-1].data)
    if form.raw_pictures:
        rgb = image.to_rgb(last.encoding, last.height, last.width, last.step, bool(last.is_bigendian), last.data)
    else:
        rgb = image.compressed_to_rgb(last.data)
    expected = picture_of(front, 10 / 11)  # "stack" is the last of eleven actions
    assert rgb.shape == expected.shape
    assert np.abs(rgb.astype(int) - expected).max() <= 4


def test_the_truth_lies_beside_the_bag(tmp_path: Path) -> None:
    plot = Plot(("wait", "push", "handover"), seconds=0.5)
    (bag,) = write_other_robots(tmp_path, "aloha", [plot])
    assert read_transcript(bag) == plot.actions
    half_s = 500_000_000
    assert read_annotation(bag) == tuple(
        Segment(action, START_NS + number * half_s, START_NS + (number + 1) * half_s)
        for number, action in enumerate(plot.actions)
    )


def test_two_phases_of_one_name_are_one_segment(tmp_path: Path) -> None:
    recording = Recording(FORMS[0])
    for action, now_ns in (("push", 10), ("push", 20), ("wait", 30)):
        recording.begin(action, now_ns)
    recording.write(tmp_path / "bag", 40)
    entries = json.loads((tmp_path / "bag" / "annotation.json").read_text())["segments"]
    assert [tuple(entry.values()) for entry in entries] == [("push", 10, 30), ("wait", 30, 40)]
