"""The segmenter for any robot and any model: `ros2 launch hal_ros segmenter.launch.py model:=...`.

Every parameter of the node is an argument; one that is left empty keeps what the file of parameters says. Topics are
those in the model's card, unless `topics:='{front: /eye/image_raw, gripper: [/g/joint_states]}'` or the like says
otherwise. With `autostart` the node configures and activates itself; without it, that is a lifecycle manager's task.
Nothing here sends it transitions, so never both do. All arguments are judged before anything is started.
"""

import os
import sys
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from hal_ros.ros.launch_arguments import COMMON, choose, ends_launch, parameter_arguments, read_flag, refuse_unknown

SHARE = Path(__file__).resolve().parent.parent  # share/hal_ros, or the source tree

ARGUMENTS = {
    "config": (str(SHARE / "config" / "segmenter.yaml"), "File of parameters."),
    **COMMON,
    **parameter_arguments(),
    "model": (
        str(SHARE / "models" / "tabletop"),
        "Folder of the model bundle; empty: what the file of parameters says.",
    ),
    "autostart": ("true", "Configure and activate at start; false leaves it to a lifecycle manager."),
    "record": ("false", "Record the inputs and the answers, too; see record.launch.py for where."),
}
# Of record.launch.py, which has them from the command line:
OF_THE_RECORDER = ("recorder", "recorder_config", "output", "run")


def generate_launch_description() -> LaunchDescription:
    """Describe the node and, with `record`, the recorder."""
    refuse_unknown(sys.argv, Path(__file__).name, {*ARGUMENTS, *OF_THE_RECORDER})
    arguments = [
        DeclareLaunchArgument(name, default_value=value, description=text) for name, (value, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, *large_image_profile(), OpaqueFunction(function=segmenter)])


def large_image_profile() -> list[SetEnvironmentVariable]:
    """Give Fast DDS room for images, unless the user chose a profile of his own under either name of the variable."""
    older, newer = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
    if os.environ.get(older) or os.environ.get(newer):
        return []
    name = (
        older if os.environ.get("ROS_DISTRO") in ("humble", "jazzy") else newer
    )  # the other one is ignored, or warned of
    return [SetEnvironmentVariable(name, str(SHARE / "config" / "fastdds.xml"))]


def segmenter(context: LaunchContext) -> list[Action]:
    """Make the node and the recorder, once the arguments have their values and all of them are judged.

    The recorder comes first: what is wrong with its own arguments is found before the node is started.
    """
    values = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    chosen = choose(values)
    recorder = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "record.launch.py")),
        launch_arguments=chosen.recorded.items(),
    )
    node = Node(
        package="hal_ros",
        executable="segmenter",
        name="segmenter",
        namespace=values["namespace"],
        parameters=[values["config"], chosen.parameters],
        ros_arguments=["--log-level", values["log_level"]],
        output="screen",
        respawn=read_flag("respawn", values["respawn"]),
        respawn_delay=2.0,
        on_exit=ends_launch("segmenter", "ignore" if read_flag("respawn", values["respawn"]) else values["on_exit"]),
    )
    return [recorder, node] if chosen.record else [node]
