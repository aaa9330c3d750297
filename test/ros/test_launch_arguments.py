"""Arguments of the launch files are judged without launch: what is wrong is one line, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import SIZE_PX, make_card
from hal_ros.core.errors import ConfigError, HalError
from hal_ros.core.streams.spec import CameraSpec, StateSpec, StreamSpec
from hal_ros.ros.launch_arguments import (
    COMMON,
    FIELDS,
    check_recorder,
    choose,
    ends_launch,
    parameter_arguments,
    recorded_topics,
    refuse_unknown,
)
from hal_ros.runtime.bundle import save_card


@pytest.fixture
def values(tmp_path: Path) -> dict[str, str]:
    """Arguments of segmenter.launch.py, as launch gives them, with a file and a bundle."""
    cameras = {"front": CameraSpec(("/camera/color/image_raw",), SIZE_PX), "wrist": CameraSpec(("/w/compressed",), 16)}
    states = {"gripper": StateSpec(("/gripper/joint_states",), names=("left_carriage_joint",))}
    save_card(make_card(streams=StreamSpec("front", cameras, states)), tmp_path)
    (tmp_path / "robot.yaml").write_text("/**:\n  ros__parameters: {joint_topic: /arm/joints, threads: 2}\n")
    every = {**COMMON, **parameter_arguments()}
    given = {"config": str(tmp_path / "robot.yaml"), "model": str(tmp_path), "record": "true"}
    return {name: default for name, (default, _) in every.items()} | given


def test_every_parameter_of_the_node_is_an_argument_of_its_own_kind(values: dict[str, str]) -> None:
    given = {"threads": "2", "image_timeout_s": "1.5", "build_on_start": "true", "backend": "torch", "plan": "a, b"}
    chosen = choose({**values, **given}).parameters
    assert {name: chosen[name] for name in given} == {
        "threads": 2,
        "image_timeout_s": 1.5,
        "build_on_start": True,
        "backend": "torch",
        "plan": "a, b",
    }
    assert set(chosen) == {*given, "model", "use_sim_time"}  # what was not given leaves the file its say
    assert set(parameter_arguments()) == set(FIELDS)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"record": "yes"}, "record:=yes: expected true or false"),
        ({"threads": "two"}, "threads:=two: expected a whole number"),
        ({"threads": "65"}, "threads:=65: expected a whole number from 1 to 64"),
        ({"image_timeout_s": "nan"}, "image_timeout_s:=nan: expected a number from 0.1 to 3600.0"),
        ({"backend": "onnx"}, "backend:=onnx: expected auto, onnxruntime, tensorrt or torch"),
        ({"config": "/nowhere.yaml"}, "config:=/nowhere.yaml: is no file"),
        ({"namespace": "left arm"}, "namespace:=left arm: expected letters"),
        ({"use_sim_time": "maybe"}, "use_sim_time:=maybe: expected true or false"),
        ({"log_level": "loud"}, "log_level:=loud: expected debug"),
        ({"on_exit": "restart"}, "on_exit:=restart: expected shutdown or ignore"),
        ({"topics": "/g"}, "expected streams and their topics"),
        ({"model": "/nowhere"}, "/nowhere/card.json"),
    ],
)
def test_what_is_wrong_is_said_with_the_arguments_name(
    values: dict[str, str], wrong: dict[str, str], words: str
) -> None:
    with pytest.raises(HalError, match=words):
        choose({**values, **wrong})


def test_what_the_file_says_reaches_the_recorder_and_an_argument_wins(values: dict[str, str]) -> None:
    assert choose(values).recorded["joint_topic"] == "/arm/joints"
    assert choose({**values, "joint_topic": "/mine"}).recorded["joint_topic"] == "/mine"
    recorded = recorded_topics({**choose({**values, "topics": "{gripper: g}", "namespace": "left"}).recorded})
    wrist = {"/w", "/w/compressed", "/camera/color/image_raw/compressed"}  # of the card, in both transports
    assert {*wrist, "/arm/joints", "/left/g", "/left/action_label", "/diagnostics"} <= set(recorded)


def test_the_recorders_own_arguments_are_judged_too(values: dict[str, str], tmp_path: Path) -> None:
    own = {**values, "recorder": "auto", "recorder_config": values["config"]}
    check_recorder(own)
    with pytest.raises(ConfigError, match="recorder:=tape: expected auto, hal_ros or rosbag2"):
        check_recorder({**own, "recorder": "tape"})
    with pytest.raises(ConfigError, match="recorder_config:=/nowhere: is no file"):
        check_recorder({**own, "recorder_config": "/nowhere"})


def test_an_unknown_argument_is_refused_where_this_file_was_started() -> None:
    argv = ["ros2", "launch", "hal_ros", "segmenter.launch.py", "modle:=x"]
    with pytest.raises(ConfigError, match=r"modle:=x: unknown argument; did you mean model\?"):
        refuse_unknown(argv, "segmenter.launch.py", {"model", "record"})
    refuse_unknown([*argv[:-1], "model:=x"], "segmenter.launch.py", {"model"})
    refuse_unknown(["ros2", "launch", "my_robot", "robot.launch.py", "speed:=3"], "segmenter.launch.py", {"model"})


def test_a_node_that_failed_ends_the_launch_and_one_that_ended_well_does_not() -> None:
    class Event:
        def __init__(self, code: int) -> None:
            self.returncode = code

    ends_launch("segmenter", "shutdown")(Event(0), None)
    ends_launch("segmenter", "ignore")(Event(1), None)
    with pytest.raises(RuntimeError, match="segmenter ended with code 3"):
        ends_launch("segmenter", "shutdown")(Event(3), None)
