"""What the simulated robot has to publish for a model, and where that is in a namespace."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hal_ros.bags.sensors import SUFFIX
from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.sim.benchmark import JOINT_NAMES
from hal_ros.sim.messages import (
    GRIPPER,
    GRIPPER_TOPIC,
    IMAGE_TOPIC,
    JOINTS_TOPIC,
    TOOL_POSE_TOPIC,
    WRENCH_TOPIC,
    WRIST_IMAGE_TOPIC,
)

SUBSCRIBERS_WAIT_S = 20.0
TOPICS = (IMAGE_TOPIC, JOINTS_TOPIC, WRIST_IMAGE_TOPIC, WRENCH_TOPIC, TOOL_POSE_TOPIC, GRIPPER_TOPIC)


def robot_parameters(spec: StreamSpec) -> dict[str, bool]:
    """Return the simulated robot's parameters with which it publishes what a model takes; {} where it always does.

    Raises ConfigError where it can't publish the model's clock.
    """
    topics = {name: {topic.removesuffix(SUFFIX) for topic in one.topic} for name, one in spec.cameras.items()}
    topics |= {name: set(one.topic) for name, one in spec.states.items()}
    if topics[spec.clock] and not topics[spec.clock] & set(TOPICS):
        raise ConfigError(
            f"the model takes its ticks from {spec.clock} on {' or '.join(sorted(topics[spec.clock]))}; expected one "
            f"of the simulated robot's {', '.join(TOPICS)}"
        )
    asked = set[str]().union(*topics.values())
    among_all = {name for state in spec.states.values() if JOINTS_TOPIC in state.topic for name in state.names}
    wanted = {
        "wrist_camera": WRIST_IMAGE_TOPIC in asked,
        "wrench": WRENCH_TOPIC in asked,
        "tool_pose": TOOL_POSE_TOPIC in asked,
        "gripper_topic": GRIPPER_TOPIC in asked,
        "split_gripper": GRIPPER_TOPIC in asked and not among_all & set(JOINT_NAMES[GRIPPER]),
    }
    return {name: True for name, value in wanted.items() if value}


def model_topics(spec: StreamSpec) -> set[str]:
    """Return the simulated robot's topics that a model takes; of a stream that names none its usual one."""
    named = {topic for camera in spec.cameras.values() for topic in camera.topic}
    named |= {topic for state in spec.states.values() for topic in state.topic}
    usual = {IMAGE_TOPIC} if any(not one.topic for one in spec.cameras.values()) else set[str]()
    usual |= {JOINTS_TOPIC} if any(not one.topic for one in spec.states.values()) else set()
    return {topic.removesuffix(SUFFIX) for topic in named | usual} & set(TOPICS)


def patience(taken: Iterable[str]) -> dict[str, Any]:
    """Return the parameters with which a robot waits until all is recorded, and what is `taken` heard by a model, too.

    So a recording lacks nothing that went into a label.
    """
    return {"wait_for_subscribers_s": SUBSCRIBERS_WAIT_S, "heard_twice": sorted(taken)}


def relative_topics(spec: StreamSpec) -> dict[str, list[str]]:
    """Return the topics that a card names, without their first slash, so that a namespace holds for them."""
    named = {name: one.topic for name, one in spec.cameras.items()}
    named |= {name: one.topic for name, one in spec.states.items()}
    return {name: [topic.lstrip("/") for topic in topics] for name, topics in named.items() if topics}
