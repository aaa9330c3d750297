"""Topics that a person or a card names, as launch files and the recorder take them."""

from __future__ import annotations

import pytest
import yaml

from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.spec import CameraSpec, StateSpec, StreamSpec
from hal_ros.ros.stream_topics import TOPICS, input_topics, read_stream_topics
from rooms import ROOT


def test_topics_are_read_as_one_or_several() -> None:
    assert read_stream_topics("") == {}
    assert read_stream_topics("{gripper: /g, arm: [/a, b]}") == {"gripper": ["/g"], "arm": ["/a", "b"]}


@pytest.mark.parametrize("text", ["/g", "[/a]", "{arm: }", "{arm: []}", "{arm: 5}", "{arm: {a: b}}", "{arm: [1]}", "{"])
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected streams and their topics, as .gripper") as said:
        read_stream_topics(text)
    assert "\n" not in str(said.value)


def test_a_camera_is_recorded_in_both_transports_with_its_info() -> None:
    for topic in ("/eye/image", "/eye/image/compressed"):
        spec = StreamSpec("eye", {"eye": CameraSpec((topic,))}, {"arm": StateSpec(("/a", "/b"), names=("a",))})
        assert input_topics(spec) == ("/eye/image", "/eye/image/compressed", "/eye/camera_info", "/a", "/b")


def test_the_file_of_parameters_lists_the_same() -> None:
    written = yaml.safe_load((ROOT / "config" / "recorder.yaml").read_text())["/**"]["ros__parameters"]
    assert tuple(written["topics"]) == TOPICS
