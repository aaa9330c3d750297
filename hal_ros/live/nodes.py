"""The package's ROS nodes as programs: `ros2 run hal_ros <name>`, and `hal <name>`."""

from __future__ import annotations

NODES = {
    "view": ("hal_ros.ros.view.main", "watch a running segmenter in the terminal"),
    "segmenter": ("hal_ros.ros.segmenter.main", "run the segmenter's node, as `ros2 run hal_ros segmenter`"),
    "recorder": ("hal_ros.ros.recorder", "run the recorder's node"),
    "player": ("hal_ros.ros.player", "run the node that plays a bag"),
    "simulated_robot": ("hal_ros.ros.robot.main", "run the simulated robot's node"),
}
"""Module and purpose of each; they take the arguments of ROS (--ros-args -p name:=value)."""
