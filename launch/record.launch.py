"""Record what the segmenter hears and says into one MCAP: `ros2 launch hal_ros record.launch.py`.

`recorder:=auto` takes stock rosbag2 where it is installed with MCAP storage, and this package's recorder elsewhere; it
prints which. Only this package's recorder adds the model's card, and loses at most a second when it is killed.
"""

import re
import sys
from datetime import datetime
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from hal_ros.ros.launch_arguments import (
    COMMON,
    check_recorder,
    ends_launch,
    read_flag,
    recorded_topics,
    refuse_unknown,
)

SHARE = Path(__file__).resolve().parent.parent  # share/hal_ros, or the source tree

ARGUMENTS = {
    "recorder": ("auto", "auto, hal_ros or rosbag2."),
    "recorder_config": (str(SHARE / "config" / "recorder.yaml"), "File of parameters of this package's recorder."),
    "output": ("recordings", "Folder that gets one folder per run."),
    "run": ("", "Name of this run's folder; empty: date and time."),
    "model": (
        str(SHARE / "models" / "tabletop"),
        "Folder of the model bundle whose card, and the topics that it names, are recorded; empty: none.",
    ),
    "image_topic": ("", "Camera topic, without the suffix of its transport; empty: camera/color/image_raw."),
    "joint_topic": ("", "Topic of the joint states; empty: joint_states."),
    **COMMON,
}


def generate_launch_description() -> LaunchDescription:
    """Describe the recorder."""
    refuse_unknown(sys.argv, Path(__file__).name, ARGUMENTS)
    arguments = [
        DeclareLaunchArgument(name, default_value=value, description=text) for name, (value, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=record)])


def record(context: LaunchContext) -> list[Action]:
    """Make the recorder's process, once the arguments have their values and all of them are judged."""
    values = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    check_recorder(values)
    values["run"] = values["run"] or datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    chosen = values["recorder"]
    if chosen == "auto":
        chosen = "rosbag2" if has_rosbag2() else "hal_ros"
    process = rosbag2(values) if chosen == "rosbag2" else own_recorder(values)
    return [LogInfo(msg=f"recording with {chosen} into {Path(values['output']) / values['run']}"), process]


def has_rosbag2() -> bool:
    """Say whether `ros2 bag record -s mcap` would work."""
    try:
        for package in ("ros2bag", "rosbag2_storage_mcap"):
            get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def rosbag2(values: dict[str, str]) -> ExecuteProcess:
    """Record with stock rosbag2. A regular expression is the one way to name topics that all releases share."""
    expression = "^(" + "|".join(re.escape(topic) for topic in recorded_topics(values)) + ")$"
    folder = Path(values["output"])
    folder.mkdir(parents=True, exist_ok=True)
    clock = ["--use-sim-time"] if read_flag("use_sim_time", values["use_sim_time"]) else []
    command = ["ros2", "bag", "record", "--storage", "mcap", "--output", str(folder / values["run"]), *clock]
    ended = ends_launch("ros2 bag record", values["on_exit"])
    return ExecuteProcess(cmd=[*command, "--regex", expression], output="screen", on_exit=ended)


def own_recorder(values: dict[str, str]) -> Node:
    """Record with this package's recorder."""
    parameters: dict[str, str | bool | list[str]] = {
        "output": values["output"],
        "name": values["run"],
        "model": values["model"],
        "use_sim_time": read_flag("use_sim_time", values["use_sim_time"]),
    }
    if values["image_topic"] or values["joint_topic"] or values["topics"]:  # else what the configuration file says
        parameters["topics"] = recorded_topics(values)
    return Node(
        package="hal_ros",
        executable="recorder",
        name="recorder",
        namespace=values["namespace"],
        parameters=[
            values["recorder_config"],
            {**parameters, "use_sim_time": read_flag("use_sim_time", values["use_sim_time"])},
        ],
        ros_arguments=["--log-level", values["log_level"]],
        output="screen",
        on_exit=ends_launch("recorder", values["on_exit"]),  # it is not started anew: it would begin another run
    )
