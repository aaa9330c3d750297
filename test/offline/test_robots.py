"""Of several robots in one bag one is meant: it is named, or asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal_ros.bags.answer_messages import BOUNDARY_TYPE, LABEL_TYPE
from hal_ros.bags.reader import BagWriter, read_messages
from hal_ros.core.errors import BagError
from hal_ros.offline.recording import read_recording
from hal_ros.offline.robots import choose_robot, of_others
from recordings import Story, write_story

BAG = Path("two")
TWO = {
    "/action_label": LABEL_TYPE,
    "/action_boundary": BOUNDARY_TYPE,
    "/left/action_label": LABEL_TYPE,
    "/left/action_boundary": BOUNDARY_TYPE,
    "/leftover": "std_msgs/msg/String",
    "/tf": "tf2_msgs/msg/TFMessage",
}


def test_one_of_several_is_asked_for() -> None:
    with pytest.raises(BagError, match="two: holds labels of several robots, /, /left; name one with --namespace"):
        choose_robot(BAG, TWO)
    for name, robot in (("/left", "/left"), ("left", "/left"), ("/left/", "/left"), ("/", ""), ("", "")):
        assert choose_robot(BAG, TWO, name) == robot
    with pytest.raises(BagError, match="no labels of robot /right; it has those of /, /left"):
        choose_robot(BAG, TWO, "right")


def test_the_only_one_is_meant() -> None:
    left = {topic: kind for topic, kind in TWO.items() if topic.startswith("/left/")}
    assert choose_robot(BAG, left) == "/left"
    assert of_others(left | {"/tf": "x"}, "/left") == set()
    assert choose_robot(BAG, {}) is None
    with pytest.raises(BagError, match="it has none"):
        choose_robot(BAG, {}, "/left")


def test_a_topic_is_its_nearest_namespaces() -> None:
    assert of_others(TWO, "") == {"/left/action_label", "/left/action_boundary"}
    assert of_others(TWO, "/left") == {"/action_label", "/action_boundary", "/leftover", "/tf"}


def test_a_recording_of_two_robots_is_read_for_one(tmp_path: Path) -> None:
    stories = {"": Story(("a", "b"), "AABB", "AABB", "AABB"), "/left": Story(("c", "d"), "AAAB", "AAAB", "AAAB")}
    with BagWriter(tmp_path / "two") as both:
        for number, (robot, story) in enumerate(stories.items()):
            for message in read_messages(write_story(tmp_path / str(number), story)):
                both.write(robot + message.topic, message.type_name, message.data, message.receive_ns)
    with pytest.raises(BagError, match="several robots"):
        read_recording(tmp_path / "two")
    left, root = (read_recording(tmp_path / "two", name) for name in ("/left", "/"))
    assert [label.action for label in left.labels] == ["c", "c", "c", "d"]
    assert [label.action for label in root.labels] == ["a", "a", "b", "b"]
    assert (left.vocabulary, root.vocabulary) == (("c", "d"), ("a", "b"))
