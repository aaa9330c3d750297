"""The simulated robot publishes exactly what a model takes beyond the usual."""

from __future__ import annotations

import dataclasses

import pytest

from fakes import make_streams
from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.spec import CameraSpec, StateSpec, StreamSpec
from hal_ros.live.robot_streams import TOPICS, model_topics, patience, relative_topics, robot_parameters
from hal_ros.ros.robot.parameters import RobotParameters

FRONT = CameraSpec(("/camera/color/image_raw",))
WRIST = CameraSpec(("/wrist_camera/color/image_raw/compressed",))
ARM = StateSpec(("/joint_states",), names=("joint_0",))
FINGER = StateSpec(("/gripper/joint_states",), names=("left_carriage_joint",))
WRENCH = StateSpec(("/ft_sensor/wrench",), "geometry_msgs/msg/WrenchStamped", fields=("wrench.force.x",))
POSE = StateSpec(("/tool_pose",), "geometry_msgs/msg/PoseStamped", fields=("pose.position.x",))


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (make_streams(), set()),
        (StreamSpec("front", {"front": FRONT}, {"arm": ARM}), set()),
        (StreamSpec("front", {"front": FRONT, "wrist": WRIST}, {"arm": ARM}), {"wrist_camera"}),
        (StreamSpec("front", {"front": FRONT}, {"w": WRENCH, "p": POSE}), {"wrench", "tool_pose"}),
        (StreamSpec("arm", {}, {"arm": ARM, "gripper": FINGER}), {"gripper_topic", "split_gripper"}),
        (
            StreamSpec("arm", {}, {"arm": dataclasses.replace(ARM, names=("left_carriage_joint",)), "g": FINGER}),
            {"gripper_topic"},
        ),
    ],
)
def test_the_robot_publishes_what_the_card_names(spec: StreamSpec, wanted: set[str]) -> None:
    parameters = robot_parameters(spec)
    assert set(parameters) == wanted and all(parameters.values())
    assert wanted <= {field.name for field in dataclasses.fields(RobotParameters)}


@pytest.mark.parametrize(
    ("spec", "topics"),
    [
        (make_streams(), {"/camera/color/image_raw", "/joint_states"}),
        (StreamSpec("front", {"front": FRONT, "wrist": WRIST}), {FRONT.topic[0], "/wrist_camera/color/image_raw"}),
        (StreamSpec("front", {"front": FRONT}, {"arm": StateSpec(("/theirs", "/joint_states"))}), set(TOPICS[:2])),
    ],
)
def test_the_robot_waits_for_those_who_hear_what_the_model_takes(spec: StreamSpec, topics: set[str]) -> None:
    assert model_topics(spec) == topics
    assert patience(topics)["heard_twice"] == sorted(topics)
    assert set(patience(topics)) <= {field.name for field in dataclasses.fields(RobotParameters)}


def test_a_clock_of_another_robot_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"ticks from eye on /eye; expected one of the simulated robot's /camera"):
        robot_parameters(StreamSpec("eye", {"eye": CameraSpec(("/eye",))}))


def test_a_namespace_holds_for_relative_names() -> None:
    spec = StreamSpec("front", {"front": FRONT}, {"arm": ARM, "any": StateSpec(names=("a",))})
    assert relative_topics(spec) == {"front": ["camera/color/image_raw"], "arm": ["joint_states"]}
