"""Topics that a person or a card names for streams, and those that belong into a recording. Without ROS, for launch."""

from __future__ import annotations

import contextlib
from pathlib import PurePosixPath
from typing import Any

import yaml

from hal_ros.bags.sensors import SUFFIX
from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.outside.yaml_text import parse_yaml

TOPICS = (
    "camera/color/image_raw",
    "camera/color/image_raw/compressed",
    "camera/color/camera_info",
    "joint_states",
    "action_label",
    "action_boundary",
    "segmenter/vocabulary",
    "segmenter/plan",
    "segmenter/plan_progress",
    "option",
    "simulation/action_truth",
    "/clock",
    "/diagnostics",
    "/tf",
    "/tf_static",
)
"""Of any robot; relative names are below the robot's namespace."""


def input_topics(spec: StreamSpec) -> tuple[str, ...]:
    """Return the topics that a model's card names, a camera's in both transports and with its camera_info."""
    pictures = (name for camera in spec.cameras.values() for topic in camera.topic for name in camera_topics(topic))
    states = (topic for state in spec.states.values() for topic in state.topic)
    return tuple(dict.fromkeys((*pictures, *states)))


def camera_topics(topic: str) -> tuple[str, str, str]:
    """Return a camera's topic raw and compressed, and that of its camera_info."""
    base = topic.removesuffix(SUFFIX)
    return base, base + SUFFIX, str(PurePosixPath(base).with_name("camera_info"))


def read_stream_topics(text: str) -> dict[str, list[str]]:
    """Read the launch argument `topics`, as {gripper: /g/joint_states, arm: [/a, /b]}; raises ConfigError."""
    read: Any = None
    with contextlib.suppress(yaml.YAMLError, ValueError):
        read = parse_yaml(text) or {}
    named: dict[Any, Any] = (
        {k: [v] if isinstance(v, str) else v for k, v in read.items()} if isinstance(read, dict) else {"": None}
    )
    if not all(isinstance(v, list) and v and all(isinstance(topic, str) for topic in v) for v in named.values()):
        raise ConfigError(f"topics is {text!r}; expected streams and their topics, as {{gripper: /g/joint_states}}")
    return {str(stream): topics for stream, topics in named.items()}
