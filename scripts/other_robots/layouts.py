"""What each robot publishes, and when: the same topics for the simulators and for what tests make up.

Pictures go raw or as JPEG, then with `/compressed` behind the topic. In some bags two drivers take turns on one topic
of joints: both arms of ALOHA; arm and gripper of the Panda, whose gripper still has its own topic, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Topic(NamedTuple):
    """A topic's rate, the time of its first message, and how late messages come: at the least, and on average more."""

    name: str
    rate_hz: float
    phase_s: float
    delay_s: float = 0.001
    jitter_s: float = 0.002


class JointTopic(NamedTuple):
    """One driver: the model's joints, each with the name that the driver gives it."""

    topic: Topic
    joints: Mapping[str, str]


class CameraTopic(NamedTuple):
    """One camera of the model and the size of its pictures."""

    topic: Topic
    camera: str
    width_px: int
    height_px: int


class WrenchTopic(NamedTuple):
    """The model's sensors of force and torque."""

    topic: Topic
    force: str
    torque: str
    frame_id: str


SensorTopic = JointTopic | CameraTopic | WrenchTopic

SIDES = ("left", "right")
ALOHA_LINKS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")
PANDA_JOINTS = tuple(f"robot0_joint{number}" for number in range(1, 8))
PANDA_FINGERS = ("gripper0_right_finger_joint1", "gripper0_right_finger_joint2")


def camera(name: str, rate_hz: float, phase_s: float, model_name: str, size_px: tuple[int, int]) -> CameraTopic:
    """Return a camera of a size (width, height); its pictures take some time to come."""
    return CameraTopic(Topic(f"{name}/image_raw", rate_hz, phase_s, 0.012, 0.006), model_name, *size_px)


def aloha(turns: bool) -> tuple[SensorTopic, ...]:
    """Return the topics of both arms, one topic for both grippers, and the cameras above and on both wrists."""
    topics: list[SensorTopic] = []
    for number, side in enumerate(SIDES):
        name = "/joint_states" if turns else f"/puppet_{side}/joint_states"
        links = {f"vx300s_{side}/{link}": f"{side}_{link}" for link in ALOHA_LINKS}
        finger = {f"vx300s_{side}/left_finger": f"{side}_gripper"}
        topics.append(JointTopic(Topic(name, 50.0, 0.003 + 0.009 * number), links))
        topics.append(JointTopic(Topic("/gripper/joint_states", 25.0, 0.005 + 0.021 * number), finger))
    topics.append(camera("/cam_high", 12.5, 0.011, "top", (176, 132)))
    topics.append(camera("/cam_left_wrist", 10.0, 0.034, "left_wrist", (160, 120)))
    topics.append(camera("/cam_right_wrist", 10.0, 0.057, "right_wrist", (160, 120)))
    return tuple(topics)


def panda(turns: bool) -> tuple[SensorTopic, ...]:
    """Return the topics of arm, gripper, wrench at the wrist, and the cameras in front and at the wrist."""
    arm = {joint: f"panda_joint{number}" for number, joint in enumerate(PANDA_JOINTS, 1)}
    finger = {PANDA_FINGERS[0]: "panda_finger_joint1"}
    sensors = ("gripper0_right_force_ee", "gripper0_right_torque_ee")
    topics = (
        JointTopic(Topic("/joint_states", 100.0, 0.002), arm),
        JointTopic(Topic("/gripper/joint_states", 30.0, 0.007), finger),
        WrenchTopic(Topic("/ft_sensor/wrench", 100.0, 0.005), *sensors, "panda_hand"),
        camera("/front", 12.0, 0.011, "agentview", (160, 128)),
        CameraTopic(Topic("/wrist/image_raw", 10.0, 0.031, 0.010, 0.006), "robot0_eye_in_hand", 128, 128),
    )
    return (*topics, JointTopic(Topic("/joint_states", 100.0, 0.006), finger)) if turns else topics


LAYOUTS = {"aloha": aloha, "panda": panda}
