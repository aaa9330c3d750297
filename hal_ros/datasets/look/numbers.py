"""Which numbers the messages of a type hold: the field paths that are proposed for a state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hal_ros.core.errors import HalError
from hal_ros.core.streams.paths import NUMBERS, Describe, attribute

MOST_VALUES = 64
"""More numbers than that are no state of a robot but data of another kind: a covariance, a grid, a cloud."""
DEEPEST = 6
NO_STATES = (
    *("actionlib_msgs", "action_msgs", "audio_common_msgs", "diagnostic_msgs", "hal_msgs", "lifecycle_msgs"),
    *("rcl_interfaces", "rosbag2_interfaces", "rosgraph_msgs", "shape_msgs", "statistics_msgs", "stereo_msgs"),
    *("tf2_msgs", "trajectory_msgs", "unique_identifier_msgs", "vision_msgs", "visualization_msgs"),
)
"""Packages whose messages are not of a robot's state."""
NO_STATE_TYPES = {
    *("sensor_msgs/msg/CameraInfo", "sensor_msgs/msg/RegionOfInterest", "sensor_msgs/msg/JoyFeedback"),
    *("sensor_msgs/msg/Joy", "geometry_msgs/msg/Twist", "std_msgs/msg/Header"),
}
PASSED_OVER = {"std_msgs/msg/Header", "std_msgs/msg/MultiArrayLayout", "builtin_interfaces/msg/Time"}
"""Parts of messages that are not looked into: they say when, and how, not what."""
BYTES = ("uint8", "byte", "char", "octet")


def number_paths(type_name: str, describe: Describe, message: Any = None) -> tuple[str, ...]:
    """Return the paths to all numbers of a type; () where there are none, or so many that it is no state.

    A sequence has as many entries as `message` has there.
    """
    if type_name.split("/")[0] in NO_STATES or type_name in NO_STATE_TYPES:
        return ()
    paths = []
    try:
        for path in _walk(type_name, describe, message, DEEPEST):
            paths.append(path)
            if len(paths) > MOST_VALUES:
                return ()
    except HalError:  # the definition of a part is missing
        return ()
    return tuple(paths)


def _walk(type_name: str, describe: Describe, message: Any, deep: int) -> Iterator[str]:
    for name, kind in describe(type_name).items():
        if kind.base in PASSED_OVER or "covariance" in name or name == "structure_needs_at_least_one_member":
            continue
        content = getattr(message, attribute(name), None)
        if kind.base in NUMBERS:
            if kind.length is None:
                yield name
            elif kind.length >= 0 or kind.base not in BYTES:  # a sequence of bytes is a file of some kind
                count = kind.length if kind.length >= 0 else 0 if content is None else len(content)
                yield from (f"{name}[{index}]" for index in range(min(count, MOST_VALUES + 1)))
        elif kind.length is None and deep and "/msg/" in kind.base:
            yield from (f"{name}.{path}" for path in _walk(kind.base, describe, content, deep - 1))
