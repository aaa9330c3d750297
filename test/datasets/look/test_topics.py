"""What a look at one bag sees of its topics, and how much of the bag it reads."""

from __future__ import annotations

from pathlib import Path

import pytest

import robot_bags
from hal_ros.bags.reader import BagMessage, read_messages
from hal_ros.datasets.look import topics
from hal_ros.datasets.look.topics import look_at
from robot_bags import When, array, camera, custom, joints, two_arms_world, wrench


def test_rates_skews_joints_and_fields_are_seen(tmp_path: Path) -> None:
    look = look_at(robot_bags.write(tmp_path / "bag", two_arms_world()))
    rates = {topic: round(one.rate_hz) for topic, one in look.items() if one.rate_hz}
    assert rates["/camera/color/image_raw"] == 30 and rates["/joint_states"] == 100
    skews = {topic: round(one.skew_s, 6) for topic, one in look.items() if one.skew_s is not None}
    assert skews == dict.fromkeys(look.keys() - {"/arm_controller/commands"}, 0.002)  # which has no stamps of its own
    assert look["/joint_states"].joints["joint_2"] == pytest.approx((-2, 2), abs=0.1)
    assert look["/gripper/joint_states"].fields == ("position",)
    assert look["/arm_controller/commands"].fields == ("data[0]", "data[1]", "data[2]")


@pytest.mark.parametrize(
    ("topic", "encoding", "text"),
    [
        ("/front", "rgb8", ""),
        ("/front", "mono8", ""),
        ("/front", "jpeg", ""),
        ("/front", "16UC1", "depth, not colour (16UC1)"),
        ("/front", "32FC1", "depth, not colour (32FC1)"),
        ("/depth/image", "mono16", "depth, not colour (mono16)"),
        ("/front", "16UC1; png compressed ", "depth, not colour (16UC1)"),
        ("/front", "jpeg; compressedDepth", "depth, not colour (jpeg)"),
        ("/front", "yuv999", "encoding 'yuv999' is not supported"),
    ],
)
def test_depth_and_unknown_encodings_are_no_cameras(tmp_path: Path, topic: str, encoding: str, text: str) -> None:
    look = look_at(robot_bags.write(tmp_path / "bag", camera(topic, When(10), encoding)))
    assert look[topic].fault.startswith(text) and bool(look[topic].fault) == bool(text)


def test_one_broken_picture_is_no_reason(tmp_path: Path) -> None:
    first, *others = camera("/front", When(10), "jpeg")
    broken = first._replace(data=first.data.replace(b"\xff\xd8", b"\0\0"))
    one = look_at(robot_bags.write(tmp_path / "bag", [broken, *others]))["/front"]
    assert (one.fault, one.size_px) == ("", (robot_bags.SIDE_PX, robot_bags.SIDE_PX))
    assert "can't be decoded" in look_at(robot_bags.write(tmp_path / "other", [broken]))["/front"].fault


def test_drivers_on_one_topic_are_told_apart_by_their_names(tmp_path: Path) -> None:
    sent = [*joints("/joints", ("a",), When(50)), *joints("/joints", ("b",), When(5, begin_s=0.003))]
    one = look_at(robot_bags.write(tmp_path / "bag", sent))["/joints"]
    assert (list(one.joints), round(one.rate_hz)) == (["a", "b"], 55)
    assert one.slowest_s == pytest.approx(0.2)


def test_the_beginning_is_enough_unless_a_likely_topic_comes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[BagMessage] = []

    def counted(*arguments: object) -> object:
        for message in read_messages(*arguments):  # type: ignore[arg-type]  # as they come
            seen.append(message)
            yield message

    monkeypatch.setattr(topics, "read_messages", counted)
    monkeypatch.setattr(topics, "LOOK_NS", 500_000_000)
    sent = [*camera("/front", When(10)), *array("/values", When(10, begin_s=2.5))]
    look_at(bag := robot_bags.write(tmp_path / "bag", sent))
    assert len(seen) == 7
    seen.clear()
    assert look_at(bag, ["/values"])["/values"].messages == 1
    assert len(seen) > 25
    seen.clear()
    look = look_at(robot_bags.write(tmp_path / "late", [*sent, *wrench("/ft", When(10, begin_s=2.0))]))
    assert look["/ft"].messages == 1


def test_types_of_the_bags_own_are_read(tmp_path: Path) -> None:
    look = look_at(robot_bags.write(tmp_path / "bag", custom("/gripper", When(10))))
    assert look["/gripper"].fields[:2] == ("fingers.left", "fingers.right")


def test_times_that_no_clock_gives_are_no_stamps(tmp_path: Path) -> None:
    sent = two_arms_world(1.0)
    first = next(one for one in sent if one.topic == "/joint_states")
    odd = [first._replace(data=first.data[:4] + b"\xff\xff\xff\x7f" + b"\xff" * 4 + first.data[12:])]
    look = look_at(robot_bags.write(tmp_path / "bag", [*sent, *odd]))
    assert look["/joint_states"].zero == 1 and round(look["/joint_states"].rate_hz) == 100
