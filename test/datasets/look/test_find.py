"""From bags of robots that nobody knows to the streams of a dataset: what is chosen, told, and refused."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import StoragePlugin

from hal_ros.core.streams.spec import JOINT_FIELDS, JOINT_STATE, CameraSpec, StateSpec
from hal_ros.datasets import episodes
from hal_ros.datasets.look import topics
from hal_ros.datasets.look.asked import read_asked
from hal_ros.datasets.look.find import FEW_BAGS
from hal_ros.train.config import load_config
from robot_bags import CUSTOM, START_NS, When, add, array, camera, custom, joints, text, two_arms_world, wrench
from user_folder import Workplace, write_config

FRONT, JOINTS = "/camera/color/image_raw", "/joint_states"
WRENCH = "geometry_msgs/msg/WrenchStamped"
VIEW = camera(FRONT, When(30))
ARM = joints(JOINTS, ("a", "b"), When(50))


# --- what is chosen ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_robot_with_two_cameras_a_gripper_and_a_wrench_needs_no_word(work: Workplace, plugin: StoragePlugin) -> None:
    add(work, "demo", two_arms_world(), plugin)
    work.ingest()
    assert work.table() == {
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
    episode = work.cached_episode()
    assert list(episode.images) == ["camera", "wrist"]
    assert episode.image_valid[1:].all() and episode.joints_valid[1:].all()
    assert episode.joints.shape[1] == 1 + 6 + 6
    assert not work.warnings()


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
    assert work.table()["/ft_sensor/wrench"] == "- not in the settings"
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
    assert work.table()[JOINTS] == "- not asked for"
    work.ingest(asked=asked)
    assert work.cached_episode().joints_valid[1:].all()


def test_old_options_name_one_stream_and_leave_the_other_kind_as_it_is(work: Workplace) -> None:
    add(work, "demo", two_arms_world())
    work.ingest(asked=read_asked(joint_topic="/gripper/joint_states"))
    streams = load_config(work.out / "train.yaml").data.streams
    assert list(streams.cameras) == ["camera", "wrist"]
    assert {name: state.topic for name, state in streams.states.items()} == {"joints": ("/gripper/joint_states",)}


def test_settings_without_named_streams_work_as_before(work: Workplace) -> None:
    add(work, "demo", [*VIEW, *ARM, *wrench("/ft", When(50))])
    work.ingest(config=write_config(work))
    assert work.table() == {FRONT: "camera (clock)", JOINTS: "joints", "/ft": "- not in the settings"}
    assert work.cached_episode().joints.shape[1] == 6


def test_a_robot_may_be_without_cameras_or_without_states(work: Workplace) -> None:
    add(work, "demo", ARM)
    work.ingest()
    assert (work.cached_episode().images, work.table()) == ({}, {JOINTS: "joints (clock)"})


def test_cameras_alone_are_enough(work: Workplace) -> None:
    add(work, "demo", VIEW)
    work.ingest()
    assert work.cached_episode().joints.shape[1] == 0
    assert work.cached_episode().image_valid.all()


def test_bags_with_one_camera_each_have_one_camera_whatever_its_topic(work: Workplace) -> None:
    for name, prefix in (("demo_0", ""), ("demo_1", "/robot_2")):
        add(work, name, [*camera(f"{prefix}{FRONT}", When(30)), *joints(f"{prefix}{JOINTS}", ("a", "b"), When(50))])
    work.ingest()
    streams = load_config(work.out / "train.yaml").data.streams
    assert streams.cameras["camera"].topic == (FRONT, f"/robot_2{FRONT}")
    assert streams.states["joints"].topic == (JOINTS, f"/robot_2{JOINTS}")
    for name in ("demo_0", "demo_1"):
        assert work.cached_episode(name).joints_valid[1:].all()


# --- drivers that share a topic ---------------------------------------------------------------------------------------


def test_drivers_that_take_turns_on_a_topic_are_one_state(work: Workplace) -> None:
    gripper = joints(JOINTS, ("finger",), When(4, begin_s=0.005))
    add(work, "demo", [*VIEW, *ARM, *gripper])
    work.ingest()
    state = load_config(work.out / "train.yaml").data.streams.states["joints"]
    assert (state.names, state.max_age_s) == (("a", "b", "finger"), 0.75)  # three periods of the slower one
    assert work.cached_episode().joints_valid[2:].all()
    assert "missing" not in work.printed and not work.warnings()


def test_a_driver_that_speaks_up_late_in_some_bags_is_heard(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "LOOK_NS", 500_000_000)
    for name, begin_s in (("demo_0", 0.0), ("demo_1", 2.0)):
        add(work, name, [*VIEW, *ARM, *joints(JOINTS, ("finger",), When(20, begin_s=begin_s))])
    work.ingest()
    assert load_config(work.out / "train.yaml").data.streams.states["joints"].names == ("a", "b", "finger")
    assert not work.warnings()
    work.ingest(work.bags / "demo_1")
    assert not work.warnings()


def test_a_driver_without_stamps_is_refused_and_the_others_stay(work: Workplace) -> None:
    broken = joints(JOINTS, ("finger",), When(20, begin_s=0.005, stamped=False))
    add(work, "demo", [*VIEW, *ARM, *broken])
    work.ingest()
    assert load_config(work.out / "train.yaml").data.streams.states["joints"].names == ("a", "b")
    assert work.cached_episode().joints_valid[1:].all()
    line = f"joints: messages on {JOINTS} have no stamp, all of finger, in demo; expected header.stamp to be set"
    assert work.warnings() == [line]
    work.ingest(config=write_config(work, joints=["a", "b", "finger"]))
    last = max((work.out / "cache" / "train").iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
    valid = episodes.load(last).joints_valid
    assert f"demo: joints: {len(broken)} messages without a stamp, joints: 31 ticks partial\n" in work.printed
    assert valid[1:, [0, 1, 3, 4, 6, 7]].all() and not valid[:, [2, 5, 8]].any()


def test_a_topic_without_any_stamp_is_no_stream(work: Workplace) -> None:
    add(work, "demo", [*VIEW, *joints(JOINTS, ("a", "b"), When(50, stamped=False))])
    work.ingest()
    assert work.table()[JOINTS] == "- no message has a stamp"
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
    episode = work.cached_episode()
    assert (episode.joints[1:, 0] == -episode.joints[1:, 1]).all() and episode.joints[-1, 0] > 50


def test_messages_without_header_are_stamped_by_when_they_were_sent(work: Workplace) -> None:
    add(work, "demo", [*VIEW, *array("/sensor/values", When(10, skew_s=0.0))])
    work.ingest(asked=read_asked([f"front={FRONT}"], ["values=/sensor/values"]))
    episode = work.cached_episode()
    sent = np.floor((episode.stamp_ns - START_NS) / 1e8)
    np.testing.assert_array_equal(episode.joints[:, 2] - 2, sent)


def test_an_entry_that_no_array_has_is_named(work: Workplace) -> None:
    add(work, "demo", [*VIEW, *array("/sensor/values", When(10, skew_s=0.0))])
    work.ingest(asked=read_asked([f"front={FRONT}"], ["values=/sensor/values:data[70]"]))
    (line,) = work.warnings()
    assert "has no value at any tick; expected one at most" in line and line.endswith(" stamp, with data[70]")


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
