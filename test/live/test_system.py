"""The live system's files are found where they lie, its environment is the user's, and what it starts is there."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from fakes import make_card, make_streams
from hal_ros.bags.writer import BagWriter
from hal_ros.core.errors import BagError
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.live import system as live
from hal_ros.runtime.bundle import save_card


def test_the_users_own_environment_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"ROS_DOMAIN_ID": "42", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"})
    live.prepare_environment(tmp_path)
    assert os.environ["ROS_DOMAIN_ID"] == "42"
    assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"
    assert os.environ["OMP_NUM_THREADS"] == "1"
    assert Path(os.environ["FASTDDS_DEFAULT_PROFILES_FILE"]).exists()


def test_a_domain_is_chosen_where_the_user_set_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"ROS_DISTRO": "humble"})
    live.prepare_environment(tmp_path)
    assert 1 <= int(os.environ["ROS_DOMAIN_ID"]) <= 101
    assert Path(os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"]).exists()  # its older name


class Noted:
    """Notes what would be started."""

    def __init__(self) -> None:
        self.commands: dict[str, Sequence[str]] = {}

    def start(self, name: str, command: Sequence[str], _: Mapping[str, str]) -> str:
        self.commands[name] = command
        return name

    def given(self, name: str) -> dict[str, object]:
        """The parameters of a process."""
        pairs = (part.split(":=", 1) for part in self.commands[name] if ":=" in part)
        return {key: json.loads(value) for key, value in pairs}


def bundle(folder: Path, streams: StreamSpec) -> Path:
    folder.mkdir()
    save_card(make_card(streams=streams), folder)
    return folder


def bag_with(path: Path, topics: Mapping[str, str]) -> Path:
    with BagWriter(path) as bag:
        for topic, type_name in topics.items():
            bag.add_topic(topic, type_name)
    return path


def test_modules_that_are_there_are_started(tmp_path: Path) -> None:
    noted = Noted()
    model = bundle(tmp_path / "model", make_streams())
    robot = live.start_all(noted, live.Live(model, tmp_path / "out"))  # type: ignore[arg-type]
    assert list(noted.commands) == [robot, "segmenter", "recorder"]
    for command in noted.commands.values():
        module = command[command.index("-m") + 1]
        assert importlib.util.find_spec(module) is not None, module
    topics = ["/camera/color/image_raw", "/joint_states"]
    assert noted.given("simulated_robot") == {"wait_for_subscribers_s": 20.0, "heard_twice": topics}
    assert noted.given("segmenter") == {"model": str(model), "autostart": True}


def test_a_planner_drives_the_robot_and_ends_before_those_who_hear_it(tmp_path: Path) -> None:
    noted = Noted()
    asked = live.Live(bundle(tmp_path / "model", make_streams()), tmp_path / "out", recipe="serve")
    robot = live.start_all(noted, asked)  # type: ignore[arg-type]
    assert list(noted.commands) == [robot, "planner", live.SEGMENTER, "recorder"]
    assert noted.given("simulated_robot")["driven"] is True


@pytest.mark.parametrize("topic", ["/camera/color/image_raw", "/camera/color/image_raw/compressed", "/eye/compressed"])
def test_a_bag_is_heard_on_the_topics_that_it_has(tmp_path: Path, topic: str) -> None:
    """A card of the first format names none: then the only one that carries images is taken."""
    kind = "sensor_msgs/msg/CompressedImage" if topic.endswith("compressed") else "sensor_msgs/msg/Image"
    bag = bag_with(tmp_path / "bag", {topic: kind, "/joint_states": "sensor_msgs/msg/JointState"})
    noted, played = Noted(), live.Live(bundle(tmp_path / "model", make_streams()), tmp_path / "out", bag)
    live.check(played)
    assert live.start_all(noted, played) == "player"  # type: ignore[arg-type]
    given = noted.given("segmenter")
    assert (given["topics.camera"], given["topics.joints"]) == ([topic], ["/joint_states"])
    assert noted.given("player")["heard_twice"] == sorted([topic, "/joint_states"])
    assert {topic, "/joint_states", "action_label"} <= set(noted.given("recorder")["topics"])  # type: ignore[call-overload]


def test_a_bag_without_the_clock_is_refused(tmp_path: Path) -> None:
    bag = bag_with(tmp_path / "bag", {"/joint_states": "sensor_msgs/msg/JointState"})
    with pytest.raises(BagError, match=r"camera: colours expects .*; the bag has /joint_states; colours takes its"):
        live.check(live.Live(bundle(tmp_path / "model", make_streams()), tmp_path / "out", bag))
