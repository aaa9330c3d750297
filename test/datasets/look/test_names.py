"""Names of streams are short, valid, all different, and the same in every call."""

from __future__ import annotations

import pytest

from hal_ros.core.streams.check import STREAM_NAME
from hal_ros.datasets.look.names import stream_names


@pytest.mark.parametrize(
    ("topics", "names"),
    [
        (["/anything/at/all"], ["camera"]),
        (["/camera/color/image_raw", "/wrist_camera/image_raw/compressed"], ["camera", "wrist"]),
        (["/robot/left/image", "/robot/right/image"], ["left", "right"]),
        (["/realsense/left_cam/image_raw", "/realsense/top_cam/image_raw"], ["left", "top"]),
        (["/camera/color/image_raw", "/camera/infra1/image_rect_raw"], ["camera", "infra1"]),
        (["/camera/image", "/cam/image"], ["camera_2", "camera"]),
        (["/1/image", "/2/image"], ["camera_1", "camera_2"]),
        (["/a-b/image", "/c.d/image"], ["a_b", "c_d"]),
    ],
)
def test_names_tell_topics_apart(topics: list[str], names: list[str]) -> None:
    found = stream_names(topics, "camera")
    assert [found[topic] for topic in topics] == names
    assert found == stream_names(list(reversed(topics)), "camera")
    assert all(STREAM_NAME.fullmatch(name) for name in names)


def test_names_that_are_taken_are_not_given_again() -> None:
    assert stream_names(["/x", "/y"], "joints", ["x", "x_2"]) == {"/x": "x_3", "/y": "y"}
    assert stream_names(["/x"], "joints", ["joints"]) == {"/x": "joints_2"}
