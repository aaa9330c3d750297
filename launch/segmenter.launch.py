"""The segmenter for any robot and any model: `ros2 launch hal_ros segmenter.launch.py model:=...`.

Topics are those in the model's card, unless `topics:='{front: /eye/image_raw, gripper: [/g/joint_states]}'` or the like
says otherwise. An argument that is left empty keeps what the configuration file says. With `autostart` the node
configures and activates itself; without it, that is a lifecycle manager's task. Nothing here sends it transitions, so
never both do.
"""

import os
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from hal_ros.ros.stream_topics import read_stream_topics

SHARE = Path(__file__).resolve().parent.parent  # share/hal_ros, or the source tree

ARGUMENTS = {
    "config": (str(SHARE / "config" / "segmenter.yaml"), "File of parameters."),
    "model": (
        str(SHARE / "models" / "tabletop"),
        "Folder of the model bundle; empty: what the file of parameters says.",
    ),
    "namespace": ("", "Namespace of node and topics."),
    "topics": ("", "Topics of streams in place of the card's, as '{gripper: /g/joint_states, arm: [/a, /b]}'."),
    "image_topic": ("", "Topic of the only camera, or of the stream camera."),
    "image_transport": ("", "auto, raw or compressed; of all cameras."),
    "joint_topic": ("", "Topic of the only joint states, or of the stream joints."),
    "backend": ("", "auto, onnxruntime, tensorrt or torch."),
    "providers": ("", "onnxruntime's execution providers by name, separated by commas."),
    "threads": ("", "Threads that the backend may use on the CPU."),
    "precision": ("", "fp16 or fp32, of tensorrt's engines."),
    "build_on_start": ("", "true: build tensorrt's engines while configuring, where they are missing."),
    "autostart": ("true", "Configure and activate at start; false leaves it to a lifecycle manager."),
    "use_sim_time": ("false", "Take time from /clock."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
    "record": ("false", "Record the inputs and the answers, too; see record.launch.py for where."),
}
# Handed to the recorder:
RECORDED = ("model", "namespace", "topics", "image_topic", "joint_topic", "use_sim_time", "log_level")
FLAGS = ("autostart", "use_sim_time", "build_on_start")
TEXTS = ("model", "image_topic", "image_transport", "joint_topic", "backend", "providers", "precision")
NUMBERS = ("threads",)


def generate_launch_description() -> LaunchDescription:
    """Describe the node and, with `record`, the recorder."""
    recorder = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "record.launch.py")),
        launch_arguments={name: LaunchConfiguration(name) for name in RECORDED}.items(),
        condition=IfCondition(LaunchConfiguration("record")),
    )
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=value, description=text)
                for name, (value, text) in ARGUMENTS.items()
            ),
            *large_image_profile(),
            OpaqueFunction(function=segmenter),
            recorder,
        ]
    )


def large_image_profile() -> list[SetEnvironmentVariable]:
    """Give Fast DDS room for images, unless the user chose a profile of his own under either name of the variable."""
    older, newer = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
    if os.environ.get(older) or os.environ.get(newer):
        return []
    name = (
        older if os.environ.get("ROS_DISTRO") in ("humble", "jazzy") else newer
    )  # the other one is ignored, or warned of
    return [SetEnvironmentVariable(name, str(SHARE / "config" / "fastdds.xml"))]


def segmenter(context: LaunchContext) -> list[Node]:
    """Make the node, once the arguments have their values."""
    values = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    kinds = dict.fromkeys(TEXTS, text) | dict.fromkeys(NUMBERS, number) | dict.fromkeys(FLAGS, flag)
    chosen: dict[str, Any] = {name: read(name, values[name]) for name, read in kinds.items() if values[name]}
    chosen |= {f"topics.{stream}": topics for stream, topics in read_stream_topics(values["topics"]).items()}
    return [
        Node(
            package="hal_ros",
            executable="segmenter",
            name="segmenter",
            namespace=values["namespace"],
            parameters=[values["config"], chosen],
            ros_arguments=["--log-level", values["log_level"]],
            output="screen",
        )
    ]


def text(_: str, value: str) -> str:
    """Take an argument letter by letter."""
    return value


def number(name: str, value: str) -> int:
    """Read a whole number; raises ValueError with the argument's name."""
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{name}:={value}: expected a whole number") from None


def flag(name: str, value: str) -> bool:
    """Read an argument as launch's own conditions do; raises ValueError with its name."""
    known = {"true": True, "1": True, "false": False, "0": False}
    if value.strip().lower() not in known:
        raise ValueError(f"{name}:={value}: expected true or false")
    return known[value.strip().lower()]
