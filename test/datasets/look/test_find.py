"""From bags of robots that nobody knows to the streams of a dataset: what is chosen, told, and refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import StoragePlugin

import robot_bags
from hal_ros.core.streams.spec import JOINT_FIELDS, JOINT_STATE, CameraSpec, StateSpec
from hal_ros.datasets import episodes
from hal_ros.datasets.episodes import Episode
from hal_ros.datasets.look import topics
from hal_ros.datasets.look.asked import read_asked
from hal_ros.datasets.look.find import FEW_BAGS
from hal_ros.train.config import load_config
from robot_bags import CUSTOM, START_NS, Sent, When, array, camera, custom, joints, text, two_arms_world, wrench
from user_folder import Workplace, write_config

FRONT, JOINTS = "/camera/color/image_raw", "/joint_states"
WRENCH = "geometry_msgs/msg/WrenchStamped"
VIEW = camera(FRONT, When(30))
ARM = joints(JOINTS, ("a", "b"), When(50))


def add(work: Workplace, name: str, sent: Sequence[Sent], plugin: StoragePlugin = StoragePlugin.MCAP) -> None:
    work.write_transcript(name, "reach", "grasp")
    robot_bags.write(work.bags / name, sent, plugin)


def episode_of(work: Workplace, name: str = "demo") -> Episode:
    (cached,) = (work.out / "cache").glob(f"*/{name}-*")
    return episodes.load(cached)


def table(work: Workplace) -> dict[str, str]:
    """What the printed table says of each topic in its last column."""
    head, *lines = work.printed.splitlines()
    return {
        line.split()[0]: line[head.index("stream") :] for line in lines if line.startswith("/") and "/mine" not in line
    }


def warnings(work: Workplace) -> list[str]:
    return [line.removeprefix("warning: ") for line in work.printed.splitlines() if line.startswith("warning: ")]


# --- what is chosen ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_robot_with_two_cameras_a_gripper_and_a_wrench_needs_no_word(work: Workplace, plugin: StoragePlugin) -> None:
    add(work, "demo", two_arms_world(), plugin)
    work.ingest()
    assert table(work) == {
        FRONT: "camera (clock)",
        "/wrist_camera/image_raw/compressed": "wrist",
        "/gripper/joint_states": "gripper",
        JOINTS: "joints",
        "/ft_sensor/wrench": "wrench",
        "/arm_controller/commands": "- looks like a command",
        "/camera/depth/image_rect_raw": "- depth, not colour (16UC1)",
    }
    streams = load_config(work.out / "train.yaml").data.streams
    assert streams.clock == "camera"
    assert streams.cameras["wrist"] == CameraSpec(("/wrist_camera/image_raw/compressed",))
    assert streams.states["gripper"] == StateSpec(
        ("/gripper/joint_states",), JOINT_STATE, ("finger",), JOINT_FIELDS[:1], 0.3
    )
    axes = [f"wrench.{kind}.{axis}" for kind in ("force", "torque") for axis in "xyz"]
    assert streams.states["wrench"] == StateSpec(("/ft_sensor/wrench",), WRENCH, (), tuple(axes), 0.1)
    episode = episode_of(work)
    assert list(episode.images) == ["camera", "wrist"]
    assert episode.image_valid[1:].all() and episode.joints_valid[1:].all()
    assert episode.joints.shape[1] == 1 + 6 + 6
    assert not warnings(work)


def test_settings_are_edited_and_followed(work: Workplace) -> None:
    """A stream that is removed is gone, a crop that is changed is cut, and what is asked for must be what is there."""
    add(work, "demo", two_arms_world())
    work.ingest()
    path = work.out / "train.yaml"
    text_before = path.read_text()
    settings = yaml.safe_load(text_before)
    del settings["data"]["streams"]["states"]["wrench"]
    settings["data"]["streams"]["cameras"]["wrist"]["crop"] = [0, 0, 8, 8]
    path.write_text(yaml.safe_dump(settings))
    work.ingest()
    assert table(work)["/ft_sensor/wrench"] == "- not in the settings"
    made = [episodes.load(folder) for folder in (work.out / "cache" / "train").iterdir()]
    assert sorted(one.joints.shape[1] for one in made) == [7, 13]
    path.write_text(text_before)
    work.ingest()
    assert len(list((work.out / "cache" / "train").iterdir())) == 2  # nothing was made anew
    assert path.read_text() == text_before


def test_a_crop_outside_the_picture_is_told(work: Workplace) -> None:
    add(work, "demo", two_arms_world())
    work.ingest()
    path = work.out / "train.yaml"
    path.write_text(path.read_text().replace("crop: centre", "crop: [8, 8, 8, 9]", 1))
    (problem,) = work.refused()
    told = f"camera: crop [8, 8, 8, 9] does not lie in the pictures of {FRONT}, which have 16x16 pixels; expected x, y,"
    assert told in problem


def test_many_bags_are_looked_at_in_processes(work: Workplace) -> None:
    for index in range(FEW_BAGS + 1):
        add(work, f"demo_{index}", camera(FRONT, When(10)))
    add(work, "broken", camera(FRONT, When(10)))
    (work.bags / "broken" / "broken.mcap").write_bytes(b"nothing")
    (problem,) = work.refused()
    assert "broken.mcap: starts with b'nothing'" in problem


def test_what_is_asked_for_is_taken_and_nothing_else(work: Workplace) -> None:
    add(work, "demo", two_arms_world())
    fields = "wrench.force.x,wrench.force.z"
    asked = read_asked(
        ["wrist=/wrist_camera/image_raw", f"front={FRONT}"],
        ["gripper=/gripper/joint_states", f"wrench=/ft_sensor/wrench:{fields}", "order=/arm_controller/commands"],
    )
    work.ingest(asked=asked)
    streams = load_config(work.out / "train.yaml").data.streams
    assert (streams.clock, list(streams.cameras)) == ("wrist", ["wrist", "front"])
    assert {name: state.fields for name, state in streams.states.items()} == {
        "gripper": ("position",),
        "wrench": tuple(fields.split(",")),
        "order": ("data[0]", "data[1]", "data[2]"),
    }
    assert table(work)[JOINTS] == "- not asked for"
    work.ingest(asked=asked)
    assert episode_of(work).joints_valid[1:].all()


def test_old_options_name_one_stream_and_leave_the_other_kind_as_it_is(work: Workplace) -> None:
    add(work, "demo", two_arms_world())
    work.ingest(asked=read_asked(joint_topic="/gripper/joint_states"))
    streams = load_config(work.out / "train.yaml").data.streams
    assert list(streams.cameras) == ["camera", "wrist"]
    assert {name: state.topic for name, state in streams.states.items()} == {"joints": ("/gripper/joint_states",)}


def test_settings_without_named_streams_work_as_before(work: Workplace) -> None:
    add(work, "demo", [*VIEW, *ARM, *wrench("/ft", When(50))])
    work.ingest(config=write_config(work))
    assert table(work) == {FRONT: "camera (clock)", JOINTS: "joints", "/ft": "- not in the settings"}
    assert episode_of(work).joints.shape[1] == 6


def test_a_robot_may_be_without_cameras_or_without_states(work: Workplace) -> None:
    add(work, "demo", ARM)
    work.ingest()
    assert (episode_of(work).images, table(work)) == ({}, {JOINTS: "joints (clock)"})


def test_cameras_alone_are_enough(work: Workplace) -> None:
    add(work, "demo", VIEW)
    work.ingest()
    assert episode_of(work).joints.shape[1] == 0
    assert episode_of(work).image_valid.all()


def test_bags_with_one_camera_each_have_one_camera_whatever_its_topic(work: Workplace) -> None:
    for name, prefix in (("demo_0", ""), ("demo_1", "/robot_2")):
        add(work, name, [*camera(f"{prefix}{FRONT}", When(30)), *joints(f"{prefix}{JOINTS}", ("a", "b"), When(50))])
    work.ingest()
    streams = load_config(work.out / "train.yaml").data.streams
    assert streams.cameras["camera"].topic == (FRONT, f"/robot_2{FRONT}")
    assert streams.states["joints"].topic == (JOINTS, f"/robot_2{JOINTS}")
    for name in ("demo_0", "demo_1"):
        assert episode_of(work, name).joints_valid[1:].all()


# --- drivers that share a topic ---------------------------------------------------------------------------------------


def test_drivers_that_take_turns_on_a_topic_are_one_state(work: Workplace) -> None:
    gripper = joints(JOINTS, ("finger",), When(4, begin_s=0.005))
    add(work, "demo", [*VIEW, *ARM, *gripper])
    work.ingest()
    state = load_config(work.out / "train.yaml").data.streams.states["joints"]
    assert (state.names, state.max_age_s) == (("a", "b", "finger"), 0.75)  # three periods of the slower one
    assert episode_of(work).joints_valid[2:].all()
    assert "missing" not in work.printed and not warnings(work)


def test_a_driver_that_speaks_up_late_in_some_bags_is_heard(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "LOOK_NS", 500_000_000)
    for name, begin_s in (("demo_0", 0.0), ("demo_1", 2.0)):
        add(work, name, [*VIEW, *ARM, *joints(JOINTS, ("finger",), When(20, begin_s=begin_s))])
    work.ingest()
    assert load_config(work.out / "train.yaml").data.streams.states["joints"].names == ("a", "b", "finger")
    assert not warnings(work)
    work.ingest(work.bags / "demo_1")
    assert not warnings(work)


def test_a_driver_without_stamps_is_refused_and_the_others_stay(work: Workplace) -> None:
    broken = joints(JOINTS, ("finger",), When(20, begin_s=0.005, stamped=False))
    add(work, "demo", [*VIEW, *ARM, *broken])
    work.ingest()
    assert load_config(work.out / "train.yaml").data.streams.states["joints"].names == ("a", "b")
    assert episode_of(work).joints_valid[1:].all()
    line = f"joints: messages on {JOINTS} have no stamp, all of finger, in demo; expected header.stamp to be set"
    assert warnings(work) == [line]
    work.ingest(config=write_config(work, joints=["a", "b", "finger"]))
    last = max((work.out / "cache" / "train").iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
    valid = episodes.load(last).joints_valid
    assert f"demo: joints: {len(broken)} messages without a stamp, joints: 31 ticks partial\n" in work.printed
    assert valid[1:, [0, 1, 3, 4, 6, 7]].all() and not valid[:, [2, 5, 8]].any()


def test_a_topic_without_any_stamp_is_no_stream(work: Workplace) -> None:
    add(work, "demo", [*VIEW, *joints(JOINTS, ("a", "b"), When(50, stamped=False))])
    work.ingest()
    assert table(work)[JOINTS] == "- no message has a stamp"
    (problem,) = work.refused(config=write_config(work))
    assert problem.endswith(
        f"joints: {JOINTS} ({JOINT_STATE}): no message has a stamp; expected header.stamp to be set"
    )


# --- states of any type -----------------------------------------------------------------------------------------------


def test_fields_of_a_type_that_only_the_bag_defines(work: Workplace) -> None:
    add(work, "demo", [*VIEW, *custom("/gripper", When(20))])
    work.ingest()
    state = load_config(work.out / "train.yaml").data.streams.states["gripper"]
    paths = ("fingers.left", "fingers.right", "amps[0]", "amps[1]", "amps[2]")
    assert (state.type, state.fields) == (CUSTOM, paths)
    episode = episode_of(work)
    assert (episode.joints[1:, 0] == -episode.joints[1:, 1]).all() and episode.joints[-1, 0] > 50


def test_messages_without_header_are_stamped_by_when_they_were_sent(work: Workplace) -> None:
    add(work, "demo", [*VIEW, *array("/sensor/values", When(10, skew_s=0.0))])
    work.ingest(asked=read_asked([f"front={FRONT}"], ["values=/sensor/values"]))
    episode = episode_of(work)
    sent = np.floor((episode.stamp_ns - START_NS) / 1e8)
    np.testing.assert_array_equal(episode.joints[:, 2] - 2, sent)


def test_wrong_fields_are_told_in_one_line(work: Workplace) -> None:
    add(work, "demo", two_arms_world())
    for field, expected in (
        (
            "wrench.forces.x",
            "wrench.forces.x: geometry_msgs/msg/Wrench has no field 'forces'; expected one of force, torque",
        ),
        (
            "wrench.force",
            "wrench.force of geometry_msgs/msg/WrenchStamped is a geometry_msgs/msg/Vector3; expected a n",
        ),
        ("wrench.force.x[2]", "x of geometry_msgs/msg/Vector3 is a single value; expected no index"),
    ):
        (problem,) = work.refused(asked=read_asked([f"front={FRONT}"], [f"ft=/ft_sensor/wrench:{field}"]))
        assert problem.startswith(f"demo: ft: /ft_sensor/wrench carries {WRENCH}: "), problem
        assert expected in problem
    (problem,) = work.refused(asked=read_asked([f"front={FRONT}"], ["ft=/ft_sensor/wrench:force x"]))
    assert "states ft fields: 'force x' is no path to a number" in problem


@pytest.mark.parametrize(
    ("cameras", "states", "text"),
    [
        (
            ["a=/gone"],
            [],
            "a: /gone is in no bag; expected a camera's topic, of which there are /camera/color/image_raw, /w",
        ),
        (["a=/joint_states"], [], f"a: /joint_states carries {JOINT_STATE}; expected a camera's topic"),
        (["a=/camera/depth/image_rect_raw"], [], "depth, not colour (16UC1); expected a colour picture"),
        (
            [],
            ["a=/gone"],
            "a: /gone is in no bag or holds no numbers; expected a state's topic, of which there are /arm_",
        ),
        ([FRONT], ["a=/gone:data[0]"], "a: no bag has /gone (any type); they have /arm_controller/commands"),
        ([], [f"a={FRONT}"], f"a: {FRONT} carries sensor_msgs/msg/Image; expected a state's topic"),
        ([], ["a=/joint_states", "a=/ft_sensor/wrench"], "expected one type for all topics of a state"),
        (["fr nt=/camera/color/image_raw"], [], "fr nt: is no stream's name; expected a letter"),
    ],
)
def test_what_can_not_be_taken_is_told(work: Workplace, cameras: list[str], states: list[str], text: str) -> None:
    add(work, "demo", two_arms_world())
    problems = work.refused(asked=read_asked(cameras, states))
    assert any(text in problem for problem in problems), problems
    assert not any("\n" in problem for problem in problems)


def test_joints_of_settings_that_a_bag_does_not_name_are_told(work: Workplace) -> None:
    add(work, "demo", two_arms_world())
    work.ingest()
    add(work, "other", [*camera(FRONT, When(30)), *joints(JOINTS, ("x", "y"), When(50))])
    (problem,) = work.refused()
    assert problem.endswith(f"joints: {JOINTS} ({JOINT_STATE}) names x, y; expected some of joint_1, joint_2")


def test_bags_that_hold_nothing_to_take_are_refused(work: Workplace) -> None:
    add(work, "demo", text("/notes", When(5)))
    (problem,) = work.refused()
    assert (
        problem == "the bags hold nothing that a model could take; expected cameras or joint states; they have /notes"
    )


# --- warnings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("skew_s", "way"), [(0.302, "behind"), (-0.298, "ahead of")])
def test_stamps_of_another_clock_are_told(work: Workplace, skew_s: float, way: str) -> None:
    add(work, "demo", [*VIEW, *ARM, *wrench("/ft", When(50, skew_s=skew_s))])
    work.ingest()
    (line,) = [line for line in warnings(work) if "stamps" in line]
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
    assert warnings(work) == [
        f"gripper: /gripper/joint_states ({JOINT_STATE}) has messages in 1 of 2 bags only; not in demo_1",
        f"wrench: /ft_sensor/wrench ({WRENCH}) has messages in 1 of 2 bags only; not in demo_1",
    ]
    assert not episode_of(work, "demo_1").joints_valid[:, 7:].any()
    assert "demo_1: gripper: 31 ticks missing, wrench: 31 ticks missing\n" in work.printed


def test_a_stream_of_few_bags_is_not_taken(work: Workplace) -> None:
    for index in range(3):
        add(work, f"demo_{index}", [*VIEW, *ARM, *(wrench("/ft", When(50)) if index == 0 else [])])
    work.ingest()
    assert table(work)["/ft"] == "- only in 1 of 3 bags"


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
    assert warnings(work) == [
        f"demo: joints ({JOINTS}, {JOINT_STATE}) stops 1.7 s before the end; expected to the last tick",
        f"demo: wrench (/ft, {WRENCH}) comes after 1.7 s; expected from the first tick on",
    ]


def test_a_clock_that_is_too_slow_is_told_with_a_rate_that_would_do(work: Workplace) -> None:
    add(work, "demo", [*camera(FRONT, When(6)), *ARM])
    work.ingest()
    (line,) = warnings(work)
    assert line.endswith(f"set data.rate_hz: 6 in {work.out}/train.yaml and call `hal ingest` again")
    path = work.out / "train.yaml"
    path.write_text(path.read_text().replace("rate_hz: 10.0", "rate_hz: 6"))
    work.ingest()
    assert not warnings(work)


def test_a_clock_that_is_so_slow_that_the_grid_begins_anew_is_told_too(work: Workplace) -> None:
    add(work, "demo", [*camera(FRONT, When(1.25, end_s=8)), *joints(JOINTS, ("a",), When(50, end_s=8))])
    work.ingest()
    (line,) = warnings(work)
    assert "the tick grid begins anew 9 times, as camera comes at about 1.25 Hz" in line
    assert "set data.rate_hz: 1 in" in line


def test_a_topic_that_changes_its_type_is_told(work: Workplace) -> None:
    changing = [*text("/ft", When(50, end_s=1.0)), *wrench("/ft", When(50, begin_s=1.0))]
    add(work, "demo", [*VIEW, *ARM, *changing])
    (problem,) = work.refused(asked=read_asked([f"front={FRONT}"], ["ft=/ft"]))
    types = f"{WRENCH}, std_msgs/msg/String"
    assert problem == f"ft: /ft carries {WRENCH}: changes its type: {types}; expected messages of one type, with stamps"
    work.ingest()
    assert table(work)["/ft"] == f"- changes its type: {types}"


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
    assert changed in warnings(work)
    assert "demo_2: wrench: 50 messages refused" in work.printed


def test_values_that_no_bag_gives_are_told(work: Workplace) -> None:
    add(work, "demo", [*VIEW, *joints(JOINTS, ("a", "b"), When(50), fields=1)])
    work.ingest(config=write_config(work))
    assert any(line.startswith("joints: no bag gives velocity, effort; expected") for line in warnings(work))
