"""What a person needs to know of a machine before they ask why something does not run."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from ctypes.util import find_library
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import hal_ros
from hal_ros.core.errors import HalError
from hal_ros.live import shared_memory
from hal_ros.outside.shared_files import shared_file

NEEDED = ("numpy", "opencv-python-headless", "onnxruntime", "mcap", "rosbags", "apsw", "zstandard", "PyYAML", "rich")
EXTRAS = {"mujoco": "sim", "jinja2": "report", "torch": "train", "onnx": "export", "tensorrt": "tensorrt"}
ROS = {"ROS_DISTRO": "none is sourced", "RMW_IMPLEMENTATION": "the default", "ROS_DOMAIN_ID": "0"}
RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
SMALL_SHARED_MEMORY = 256 << 20
NAMED = 5
"""Of more than so many files in shared memory their number and size are told, and no names but the largest ones'."""


class Fact(NamedTuple):
    """One line about this machine; a fault is what no command can do without."""

    name: str
    text: str
    is_fault: bool = False


def look() -> list[Fact]:
    """Return what is installed and how ROS is set up, in the order in which a person asks."""
    return [*_software(), *_ros(), *_machine()]


def _software() -> Iterator[Fact]:
    yield Fact("hal_ros", f"{hal_ros.__version__}, Python {platform.python_version()}, {platform.machine()}")
    for name in NEEDED:
        version = _version(name)
        yield Fact(name, version or f"missing; expected `pip install {name}`", not version)
    for name, extra in EXTRAS.items():
        yield Fact(name, _version(name) or f"not installed; `pip install 'hal_ros[{extra}]'` brings it")
    try:
        yield Fact("models/tabletop", str(shared_file("models/tabletop")))
    except HalError as error:
        yield Fact("models/tabletop", str(error))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "of the system" if name == "opencv-python-headless" and importlib.util.find_spec("cv2") else ""


def _ros() -> Iterator[Fact]:
    for name, usual in ROS.items():
        yield Fact(name, os.environ.get(name) or usual)
    reach = os.environ.get(RANGE) or "SUBNET: whoever is in this network hears and may speak; see SECURITY.md"
    yield Fact(RANGE, reach)
    for name in ("rclpy", "hal_msgs"):
        found = importlib.util.find_spec(name)
        is_there = found is not None and found.origin is not None  # the source folder hal_msgs/ is none
        yield Fact(name, "can be imported" if is_there else "missing: nodes and `hal demo` need it")


def _machine() -> Iterator[Fact]:
    yield Fact("EGL", "found" if find_library("EGL") else "missing: the simulated robot can't render without it")
    free_bytes = shutil.disk_usage(Path.cwd()).free
    yield Fact("disk", f"{free_bytes / 1e9:.1f} GB free in {Path.cwd()}")
    if shared_memory.FOLDER.is_dir():
        size = shutil.disk_usage(shared_memory.FOLDER)
        small = "; small for pictures: docker run --shm-size=1g" if size.total < SMALL_SHARED_MEMORY else ""
        yield Fact("shared memory", f"{size.free / 1e6:.0f} of {size.total / 1e6:.0f} MB free{small}")


def shared_memory_lines(clean: bool) -> Iterator[str]:
    """Yield what lies in shared memory that no process uses any more; with `clean` it is removed."""
    left = shared_memory.unused()
    largest = sorted(left, key=lambda name: -left[name])[:NAMED]
    for name in largest:
        yield f"left in {shared_memory.FOLDER}: {name}, {left[name] / 1e6:.1f} MB, whose process is gone"
    if more := len(left) - len(largest):
        size = sum(left.values()) / 1e6
        yield f"left in {shared_memory.FOLDER}: {more} more of such names; {len(left)} in all, {size:.1f} MB"
    if not left:
        yield f"nothing is left in {shared_memory.FOLDER} by nodes that were killed"
    elif clean:
        removed = shared_memory.remove_unused(left)
        yield f"removed {len(removed)} of {len(left)}"
    else:
        yield "`hal doctor --clean` removes what is left"
