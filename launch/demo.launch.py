"""The simulated robot with the segmenter, over launch: `ros2 launch hal_ros demo.launch.py record:=true`.

`hal demo` starts the same processes, and adds the live view and the report.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node

SHARE = Path(__file__).resolve().parent.parent  # share/hal_ros, or the source tree

ARGUMENTS = {
    "model": (str(SHARE / "models" / "tabletop"), "Folder of the model bundle."),
    "namespace": ("", "Namespace of all nodes and topics."),
    "record": ("false", "Record into one MCAP, too."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
}


def generate_launch_description() -> LaunchDescription:
    """Describe the robot, and include the segmenter."""
    segmenter = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "segmenter.launch.py")),
        launch_arguments={name: LaunchConfiguration(name) for name in ARGUMENTS}.items(),
    )
    robot = Node(
        package="hal_ros",
        executable="simulated_robot",
        name="simulated_robot",
        namespace=LaunchConfiguration("namespace"),
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        additional_env={"MUJOCO_GL": EnvironmentVariable("MUJOCO_GL", default_value="egl")},
        output="screen",
    )
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=value, description=text)
                for name, (value, text) in ARGUMENTS.items()
            ),
            # Robot and segmenter share the machine: neither may take all cores.
            SetEnvironmentVariable("OMP_NUM_THREADS", "1"),
            segmenter,  # first: it sets the profile for large images, which the robot needs as well
            robot,
        ]
    )
