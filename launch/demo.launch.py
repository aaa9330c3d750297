"""The simulated robot with the segmenter, over launch: `ros2 launch hal_ros demo.launch.py record:=true`.

`hal demo` starts the same processes, and adds the live view and the report.
"""

import json
import sys
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node

from hal_ros.live.robot_streams import model_topics, patience, relative_topics, robot_parameters
from hal_ros.ros.launch_arguments import COMMON, check_common, ends_launch, read_flag, refuse_unknown
from hal_ros.runtime.bundle import load_bundle

SHARE = Path(__file__).resolve().parent.parent  # share/hal_ros, or the source tree

ARGUMENTS = {
    "model": (str(SHARE / "models" / "tabletop"), "Folder of the model bundle."),
    "record": ("false", "Record into one MCAP, too."),
    **{name: COMMON[name] for name in ("namespace", "log_level", "on_exit")},
}


def generate_launch_description() -> LaunchDescription:
    """Describe the robot, and include the segmenter."""
    refuse_unknown(sys.argv, Path(__file__).name, ARGUMENTS)
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=value, description=text)
                for name, (value, text) in ARGUMENTS.items()
            ),
            # Robot and segmenter share the machine: neither may take all cores.
            SetEnvironmentVariable("OMP_NUM_THREADS", "1"),
            OpaqueFunction(function=segmenter_and_robot),
        ]
    )


def segmenter_and_robot(context: LaunchContext) -> list[Action]:
    """Start both, once the arguments have their values: the robot publishes what the model takes."""
    values = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    check_common({**{name: value for name, (value, _) in COMMON.items()}, **values})
    recorded = read_flag("record", values["record"])
    streams = load_bundle(Path(values["model"]).expanduser()).card.streams
    topics = json.dumps(relative_topics(streams)) if values["namespace"].strip("/") else ""
    extras = {
        **robot_parameters(streams),
        **(patience(_in_namespace(model_topics(streams), values)) if recorded else {}),
    }
    segmenter = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "segmenter.launch.py")),
        launch_arguments={**values, "topics": topics}.items(),
    )
    robot = Node(
        package="hal_ros",
        executable="simulated_robot",
        name="simulated_robot",
        namespace=values["namespace"],
        parameters=[extras] if extras else [],
        ros_arguments=["--log-level", values["log_level"]],
        additional_env={"MUJOCO_GL": EnvironmentVariable("MUJOCO_GL", default_value="egl")},
        output="screen",
        on_exit=ends_launch("simulated_robot", values["on_exit"]),
    )
    return [segmenter, robot]  # it sets the profile for large images first, which the robot needs as well


def _in_namespace(topics: set[str], values: dict[str, str]) -> set[str]:
    return {topic.lstrip("/") for topic in topics} if values["namespace"].strip("/") else topics
