"""The numbers that a message type holds are found, and types that hold no state are passed over."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from hal_ros.bags.definitions import BagTypes
from hal_ros.datasets.look.numbers import MOST_VALUES, number_paths

DESCRIBE = BagTypes().describe


@pytest.mark.parametrize(
    ("type_name", "paths"),
    [
        ("geometry_msgs/msg/PointStamped", ("point.x", "point.y", "point.z")),
        ("std_msgs/msg/Bool", ("data",)),
        ("geometry_msgs/msg/PoseWithCovariance", tuple(f"pose.position.{axis}" for axis in "xyz")),
        ("sensor_msgs/msg/CameraInfo", ()),
        ("tf2_msgs/msg/TFMessage", ()),
        ("std_msgs/msg/String", ()),
        ("sensor_msgs/msg/PointCloud2", None),
        ("my_robot/msg/Unknown", ()),
    ],
)
def test_paths_lead_to_numbers(type_name: str, paths: tuple[str, ...] | None) -> None:
    found = number_paths(type_name, DESCRIBE)
    assert "data" not in found if paths is None else found[: len(paths)] == paths
    assert not any("stamp" in path or "covariance" in path for path in found)


@pytest.mark.parametrize(("length", "count"), [(0, 0), (2, 2), (MOST_VALUES, MOST_VALUES), (MOST_VALUES + 1, 0)])
def test_sequences_are_as_long_as_the_message_says(length: int, count: int) -> None:
    message = SimpleNamespace(data=[0.0] * length)
    paths = number_paths("std_msgs/msg/Float64MultiArray", DESCRIBE, message)
    assert paths == tuple(f"data[{index}]" for index in range(count))
