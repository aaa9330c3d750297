"""What a person may write after --camera and --state, and what is refused."""

from __future__ import annotations

import pytest

from hal_ros.core.errors import ConfigError
from hal_ros.datasets.look.asked import AskedState, AskedStreams, read_asked


def test_names_topics_and_fields_are_read() -> None:
    asked = read_asked(["front=/f", "/c"], ["w=/ft:a.x, b[2]", "arm=/l", "arm=/r"])
    states = {"w": AskedState(("/ft",), ("a.x", "b[2]")), "arm": AskedState(("/l", "/r"))}
    assert asked == AskedStreams({"front": ("/f",), "camera": ("/c",)}, states, only=True)
    assert asked.topics == {"/f", "/c", "/ft", "/l", "/r"}


def test_the_older_options_stand_for_camera_and_joints() -> None:
    asked = read_asked(camera_topic="/c", joint_topic="/j")
    assert asked == AskedStreams({"camera": ("/c",)}, {"joints": AskedState(("/j",))}, only=False)
    assert read_asked() == AskedStreams()


@pytest.mark.parametrize(
    ("cameras", "states", "text"),
    [
        (["=/x"], [], "--camera =/x: has no name or no topic; expected --camera front=/topic"),
        (["x="], [], "--camera x=: has no name or no topic"),
        ([], ["/x"], "--state /x: has no name or no topic; expected --state gripper=/topic or"),
        ([], ["x=:a"], "--state x=:a: has no name or no topic"),
        ([], ["x=/a:b", "x=/c:d"], "--state x=/c:d: x has fields b before; expected the same"),
    ],
)
def test_what_is_not_written_so_is_refused(cameras: list[str], states: list[str], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_asked(cameras, states)
    assert text in str(caught.value)
