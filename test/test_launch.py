"""The launch files against the real launch_ros, and the files of parameters against the nodes' own lists."""

from __future__ import annotations

import dataclasses
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fakes import SIZE_PX, make_card
from hal_ros.core.errors import ConfigError, HalError
from hal_ros.core.streams.spec import CameraSpec, StateSpec, StreamSpec
from hal_ros.runtime.bundle import save_card

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "launch").glob("*.launch.py"))
OLDER, NEWER = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"


def load(name: str) -> dict[str, Any]:
    """Return what a launch file defines; skip without ROS 2's launch (PyPI has an unrelated package of that name)."""
    launch = pytest.importorskip("launch", exc_type=ImportError)
    pytest.importorskip("launch_ros", exc_type=ImportError)
    if not hasattr(launch, "LaunchDescription"):
        pytest.skip("the installed package launch is not that of ROS 2")
    return runpy.run_path(str(ROOT / "launch" / name))


def context_with(values: dict[str, str]) -> Any:
    from launch import LaunchContext

    context = LaunchContext()
    context.launch_configurations.update(values)
    return context


def defaults(module: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, (value, _) in module["ARGUMENTS"].items()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_argument_has_a_default_and_a_description(path: Path) -> None:
    module = load(path.name)
    arguments = module["generate_launch_description"]().get_launch_arguments()
    assert {argument.name for argument in arguments} >= set(module["ARGUMENTS"])
    assert all(argument.description for argument in arguments)


@pytest.mark.parametrize("chosen", [{}, {NEWER: "mine.xml"}, {OLDER: "mine.xml"}])
def test_the_users_own_profile_is_kept(chosen: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (OLDER, NEWER):
        monkeypatch.delenv(name, raising=False)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    assert len(load("segmenter.launch.py")["large_image_profile"]()) == (0 if chosen else 1)


def given_to_the_node(**arguments: str) -> dict[str, Any]:
    """Return the parameters that launch_ros makes of the segmenter's arguments, without those of the file."""
    module = load("segmenter.launch.py")
    from launch_ros.utilities import evaluate_parameters

    context = context_with({**defaults(module), **arguments})
    (node,) = module["segmenter"](context)  # nothing is recorded
    (evaluated,) = (part for part in evaluate_parameters(context, node._Node__parameters) if isinstance(part, dict))
    return evaluated


def test_every_parameter_of_a_back_end_is_an_argument() -> None:
    given = {"backend": "onnxruntime", "providers": "CUDAExecutionProvider, CPUExecutionProvider", "precision": "fp32"}
    values = given_to_the_node(**given, threads="2", build_on_start="true")
    assert {name: values[name] for name in given} == given
    assert (values["threads"], values["build_on_start"]) == (2, True)


def test_an_argument_that_is_not_given_leaves_the_file_its_say() -> None:
    assert set(given_to_the_node()) == {"model", "autostart", "use_sim_time"}
    assert set(given_to_the_node(model="")) == {"autostart", "use_sim_time"}


@pytest.mark.parametrize("folder", ["123", "2026-11-22", "1e3", "on", "my model #2", "C: [4"])
def test_a_name_is_taken_letter_by_letter(folder: str) -> None:
    assert given_to_the_node(model=folder, image_topic=folder)["model"] == folder


@pytest.mark.parametrize("wrong", [{"threads": "two"}, {"build_on_start": "perhaps"}, {"autostart": "yes please"}])
def test_what_is_no_number_or_no_yes_is_refused(wrong: dict[str, str]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ConfigError, match=f"{name}:={value}: expected "):
        given_to_the_node(**wrong)


def test_an_unknown_recorder_is_refused() -> None:
    module = load("record.launch.py")
    with pytest.raises(ConfigError, match="recorder:=tape: expected auto, hal_ros or rosbag2"):
        module["record"](context_with({**defaults(module), "recorder": "tape"}))


def test_the_recorder_is_judged_before_the_segmenter_is_started_and_hears_of_the_file(tmp_path: Path) -> None:
    module = load("segmenter.launch.py")
    file = tmp_path / "robot.yaml"
    file.write_text("/**:\n  ros__parameters:\n    image_topic: /eye\n    topics: {gripper: /g}\n")
    values = {**defaults(module), "record": "true", "config": str(file)}
    recorder, node = module["segmenter"](context_with(values))
    handed = dict(recorder.launch_arguments)
    assert (handed["image_topic"], handed["topics"]) == ("/eye", '{"gripper": "/g"}')
    assert handed["model"] == values["model"] and node.node_package == "hal_ros"
    for wrong in ({"record": "yes"}, {"model": "/nowhere"}, {"topics": "/g"}, {"namespace": "a b"}):
        with pytest.raises(HalError):
            module["segmenter"](context_with({**values, **wrong}))


def test_a_failed_node_ends_the_launch_with_a_code(tmp_path: Path) -> None:
    module = load("segmenter.launch.py")
    from launch import LaunchDescription, LaunchService
    from launch.actions import ExecuteProcess

    def run(code: int, on_exit: str) -> int:
        ended = module["ends_launch"]("segmenter", on_exit)
        service = LaunchService()
        failing = ExecuteProcess(cmd=[sys.executable, "-c", f"raise SystemExit({code})"], on_exit=ended)
        service.include_launch_description(LaunchDescription([failing]))
        return int(service.run())

    assert (run(0, "shutdown"), run(3, "shutdown"), run(3, "ignore")) == (0, 1, 0)


def two_cameras(folder: Path) -> Path:
    """A bundle that takes the simulated robot's wrist camera and its gripper's own topic."""
    cameras = {
        "front": CameraSpec(("/camera/color/image_raw",), SIZE_PX),
        "wrist": CameraSpec(("/wrist_camera/color/image_raw/compressed",), SIZE_PX),
    }
    states = {"gripper": StateSpec(("/gripper/joint_states",), names=("left_carriage_joint",))}
    folder.mkdir()
    save_card(make_card(streams=StreamSpec("front", cameras, states)), folder)
    return folder


def test_topics_are_given_to_the_node_stream_by_stream() -> None:
    given = given_to_the_node(topics="{gripper: /g/joint_states, arm: [/a, /b]}")
    assert (tuple(given["topics.gripper"]), tuple(given["topics.arm"])) == (("/g/joint_states",), ("/a", "/b"))
    with pytest.raises(ConfigError, match="expected streams and their topics"):
        given_to_the_node(topics="/g/joint_states")


@pytest.mark.parametrize(("namespace", "topics"), [("", ""), ("left", "gripper/joint_states")])
def test_the_robot_of_the_demo_publishes_what_the_model_takes(tmp_path: Path, namespace: str, topics: str) -> None:
    module = load("demo.launch.py")
    from launch_ros.utilities import evaluate_parameters

    values = {**defaults(module), "model": str(two_cameras(tmp_path / "model")), "namespace": namespace}
    context = context_with(values)
    segmenter, robot = module["segmenter_and_robot"](context)
    (given,) = evaluate_parameters(context, robot._Node__parameters)
    assert given == {"wrist_camera": True, "gripper_topic": True, "split_gripper": True}
    handed = dict(segmenter.launch_arguments)
    assert topics in handed["topics"] and bool(handed["topics"]) == bool(topics)
    assert "/gripper" not in handed["topics"] and handed["model"] == values["model"]


def test_a_model_of_the_usual_topics_needs_no_parameter() -> None:
    module = load("demo.launch.py")
    _, robot = module["segmenter_and_robot"](context_with(defaults(module)))
    assert not robot._Node__parameters


@pytest.mark.parametrize(("namespace", "topic"), [("", "/joint_states"), ("left", "joint_states")])
def test_a_robot_that_is_recorded_waits_for_its_listeners(namespace: str, topic: str) -> None:
    module = load("demo.launch.py")
    from launch_ros.utilities import evaluate_parameters

    context = context_with({**defaults(module), "record": "true", "namespace": namespace})
    _, robot = module["segmenter_and_robot"](context)
    (given,) = evaluate_parameters(context, robot._Node__parameters)
    assert given["wait_for_subscribers_s"] > 0 and topic in given["heard_twice"]


@pytest.mark.ros
@pytest.mark.parametrize("node", ["segmenter", "recorder"])
def test_files_of_parameters_name_the_nodes_parameters(node: str) -> None:
    from hal_ros.ros.recorder import RecorderParameters
    from hal_ros.ros.segmenter_parameters import SegmenterParameters

    kind = {"segmenter": SegmenterParameters, "recorder": RecorderParameters}[node]
    written = yaml.safe_load((ROOT / "config" / f"{node}.yaml").read_text())["/**"]["ros__parameters"]
    defaults_of = {field.name: field.default for field in dataclasses.fields(kind)}
    for name, value in written.items():
        default = defaults_of[name]
        assert value == (list(default) if isinstance(default, tuple) else default), name
