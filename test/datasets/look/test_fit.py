"""What a user is told of streams that are not in all bags as they should be."""

from __future__ import annotations

import pytest

from hal_ros.core.streams.spec import JOINT_STATE
from hal_ros.datasets.look.asked import read_asked
from robot_bags import When, add, camera, joints, text, two_arms_world, wrench
from user_folder import Workplace, write_config

FRONT, JOINTS = "/camera/color/image_raw", "/joint_states"
WRENCH = "geometry_msgs/msg/WrenchStamped"
VIEW = camera(FRONT, When(30))
ARM = joints(JOINTS, ("a", "b"), When(50))


@pytest.mark.parametrize(("skew_s", "way"), [(0.302, "behind"), (-0.298, "ahead of")])
def test_stamps_of_another_clock_are_told(work: Workplace, skew_s: float, way: str) -> None:
    add(work, "demo", [*VIEW, *ARM, *wrench("/ft", When(50, skew_s=skew_s))])
    work.ingest()
    (line,) = [line for line in work.warnings() if "stamps" in line]
    assert line.startswith(
        f"wrench: stamps of /ft are up to 0.30 s {way} the other streams', by the time of receipt, in d"
    )


def test_streams_of_some_bags_only_are_told(work: Workplace) -> None:
    add(work, "demo_0", two_arms_world())
    add(
        work,
        "demo_1",
        [one for one in two_arms_world() if one.topic not in ("/ft_sensor/wrench", "/gripper/joint_states")],
    )
    work.ingest()
    assert work.warnings() == [
        f"gripper: /gripper/joint_states ({JOINT_STATE}) has messages in 1 of 2 bags only; not in demo_1",
        f"wrench: /ft_sensor/wrench ({WRENCH}) has messages in 1 of 2 bags only; not in demo_1",
    ]
    assert not work.cached_episode("demo_1").joints_valid[:, 7:].any()
    assert "demo_1: gripper: 31 ticks missing, wrench: 31 ticks missing\n" in work.printed


def test_a_stream_of_few_bags_is_not_taken(work: Workplace) -> None:
    for index in range(3):
        add(work, f"demo_{index}", [*VIEW, *ARM, *(wrench("/ft", When(50)) if index == 0 else [])])
    work.ingest()
    assert work.table()["/ft"] == "- only in 1 of 3 bags"


def test_a_bag_without_the_clock_is_refused(work: Workplace) -> None:
    add(work, "demo_0", two_arms_world())
    work.ingest()
    add(work, "demo_1", ARM)
    (problem,) = work.refused()
    assert f"demo_1: camera: the dataset expects {FRONT}; the bag has {JOINTS}" in problem


def test_streams_that_come_late_or_stop_are_told(work: Workplace) -> None:
    late, ends = wrench("/ft", When(50, begin_s=1.6)), joints(JOINTS, ("a",), When(50, end_s=1.2))
    add(work, "demo", [*VIEW, *late, *ends])
    work.ingest()
    assert work.warnings() == [
        f"demo: joints ({JOINTS}, {JOINT_STATE}) stops 1.7 s before the end; expected to the last tick",
        f"demo: wrench (/ft, {WRENCH}) comes after 1.7 s; expected from the first tick on",
    ]


def test_a_clock_that_is_too_slow_is_told_with_a_rate_that_would_do(work: Workplace) -> None:
    add(work, "demo", [*camera(FRONT, When(6)), *ARM])
    work.ingest()
    (line,) = work.warnings()
    assert line.endswith(f"set data.rate_hz: 6 in {work.out}/train.yaml and call `hal ingest` again")
    path = work.out / "train.yaml"
    path.write_text(path.read_text().replace("rate_hz: 10.0", "rate_hz: 6"))
    work.ingest()
    assert not work.warnings()


def test_a_clock_that_is_so_slow_that_the_grid_begins_anew_is_told_too(work: Workplace) -> None:
    add(work, "demo", [*camera(FRONT, When(1.25, end_s=8)), *joints(JOINTS, ("a",), When(50, end_s=8))])
    work.ingest()
    (line,) = work.warnings()
    assert "the tick grid begins anew 8 times, as camera comes at about 1.25 Hz" in line
    assert "set data.rate_hz: 1 in" in line


def test_a_topic_that_changes_its_type_is_told(work: Workplace) -> None:
    changing = [*text("/ft", When(50, end_s=1.0)), *wrench("/ft", When(50, begin_s=1.0))]
    add(work, "demo", [*VIEW, *ARM, *changing])
    (problem,) = work.refused(asked=read_asked([f"front={FRONT}"], ["ft=/ft"]))
    types = f"{WRENCH}, std_msgs/msg/String"
    assert problem == f"ft: /ft carries {WRENCH}: changes its type: {types}; expected messages of one type, with stamps"
    work.ingest()
    assert work.table()["/ft"] == f"- changes its type: {types}"


def test_a_stream_whose_type_changes_in_a_later_bag_is_told(work: Workplace) -> None:
    add(work, "demo_0", [*VIEW, *ARM, *wrench("/ft", When(50))])
    work.ingest()
    add(work, "demo_1", [*VIEW, *ARM, *text("/ft", When(50))])
    (problem,) = work.refused()
    assert problem == f"demo_1: wrench: /ft carries std_msgs/msg/String; expected {WRENCH}"
    (work.bags / "demo_1").rename(work.bags.parent / "aside")
    (work.transcripts / "demo_1.txt").unlink()
    add(work, "demo_2", [*VIEW, *ARM, *text("/ft", When(50, end_s=1)), *wrench("/ft", When(50, begin_s=1))])
    work.ingest()
    changed = f"demo_2: wrench: /ft changes its type: 50 of std_msgs/msg/String; expected {WRENCH} alone"
    assert changed in work.warnings()
    assert "demo_2: wrench: 50 messages refused" in work.printed


def test_values_that_no_bag_gives_are_told(work: Workplace) -> None:
    add(work, "demo", [*VIEW, *joints(JOINTS, ("a", "b"), When(50), fields=1)])
    work.ingest(config=write_config(work))
    assert any(line.startswith("joints: no bag gives velocity, effort; expected") for line in work.warnings())
