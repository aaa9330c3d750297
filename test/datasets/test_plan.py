"""What is decided about a user's bags, and what is refused before anything is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hal_ros.core.errors import ConfigError, DatasetError
from hal_ros.datasets.look.asked import read_asked
from hal_ros.datasets.look.settings_text import settings_text
from hal_ros.datasets.plan import USUAL_OUT, Plan, Request, plan, vocabulary_of
from hal_ros.datasets.user_bags import likely_slips
from user_folder import ACTIONS, CAMERA, JOINTS, Workplace, messages, write, write_config


def test_settings_and_arguments_agree(work: Workplace, tmp_path: Path) -> None:
    work.add("demo")
    config = write_config(work)
    for text, asked in (
        ("data.folder in .* expected .*/else, where the bags go", {"config": config, "out": Path("/else")}),
        ("data.camera_topic in .* is ''; expected '/x'", {"config": config, "asked": read_asked(camera_topic="/x")}),
        ("data.joint_topic in .* is ''; expected '/y'", {"config": config, "asked": read_asked(joint_topic="/y")}),
        (
            "has no stream 'wrist' among its cameras; expected one of .*; write it there",
            {"config": config, "asked": read_asked(["wrist=/x"])},
        ),
        ("benchmark's own folder", {"out": tmp_path / "tabletop-v1"}),
    ):
        with pytest.raises(ConfigError, match=text):
            plan(work.request(**asked))
    with pytest.raises(ConfigError, match="'episodes', which bags become"):
        plan(work.request(config=write_config(work, layout="auto", rate_hz=10)))
    empty = tmp_path / "empty.yaml"
    empty.write_text(f"data: {{folder: {work.out}}}")
    with pytest.raises(ConfigError, match=r"data\.joints is empty"):
        plan(work.request(config=empty))
    assert not work.out.exists()


def test_a_plan_says_what_will_be_done_and_does_nothing(work: Workplace) -> None:
    for name in ("demo_0", "demo_1"):
        work.add(name)
    planned = plan(work.request(asked=read_asked(camera_topic=CAMERA), copy=True))
    assert isinstance(planned, Plan)
    assert not work.out.exists()
    assert (planned.out, planned.config, planned.copy) == (work.out, work.out / "train.yaml", True)
    assert planned.splits == {"demo_0": "train", "demo_1": "validation"}
    assert planned.transcripts == {"demo_0": ACTIONS, "demo_1": ACTIONS}
    topics = {"camera": (CAMERA,), "joints": (JOINTS,)}
    assert [found.inputs.topics for found in planned.contents.values()] == [topics, topics]
    assert (planned.streams.states["joints"].names, planned.data.folder) == (("a", "b"), str(work.out))
    assert vocabulary_of(planned) == ("grasp", "lift", "reach")


def test_the_usual_places_are_taken(tmp_path: Path) -> None:
    asked = Request((), tmp_path)
    assert asked.config_path == USUAL_OUT / "train.yaml"
    assert Request((), tmp_path, out=tmp_path).config_path == tmp_path / "train.yaml"
    assert Request((), tmp_path, out=tmp_path, config=tmp_path / "my.yaml").config_path == tmp_path / "my.yaml"


def test_all_problems_of_a_call_are_told_at_once(work: Workplace) -> None:
    for index in range(5):
        work.add(f"demo_{index}")
    (work.transcripts / "demo_1.txt").rename(work.transcripts / "demo1.txt")
    work.write_transcript("demo_2", "reach", "Grasp")
    work.write_transcript("demo_3")
    (work.bags / "empty.mcap").touch()
    work.write_transcript("empty", "reach")
    problems = work.refused()
    for text in (
        f"bag demo_1: has no transcript; expected {work.transcripts}/demo_1.txt; did you mean demo1.txt?",
        f"{work.transcripts}/demo1.txt: belongs to no bag of this call; did you mean demo_1?",
        "transcript demo_2.txt: action 'Grasp' is 'grasp' in transcript demo_0.txt and 1 more; expected one spelling",
        f"{work.transcripts}/demo_3.txt: is empty; expected one action a line",
        f"{work.bags}/empty.mcap: is empty",
    ):
        assert sum(text in problem for problem in problems) == 1, text
    assert len(problems) == 5


@pytest.mark.parametrize(
    "line",
    ["1. reach", "12) reach", "- reach", "* reach", "# by Anna", "// x", "0.5,2.1,reach", "0:07 reach", "[x] reach"],
)
def test_lines_of_a_list_a_comment_or_a_table_are_no_actions(work: Workplace, line: str) -> None:
    work.add("demo_0", "grasp", line, line + "ed")
    (problem,) = work.refused()
    assert problem.startswith(f"transcript demo_0.txt: {line!r} and 1 more looks like a list, a comment or a time")
    named = write_config(work, actions=[line, "grasp", line + "ed"])
    assert isinstance(plan(work.request(config=named)), Plan), "whoever means it says so"


def test_names_with_numbers_and_signs_are_actions(work: Workplace) -> None:
    names = ("2 fingers", "3d_scan", "pick#1", "-1", "step 1. reach", "10")
    work.add("demo_0", *names)
    assert isinstance(plan(work.request()), Plan)


def test_a_slip_of_the_pen_is_asked_about() -> None:
    usual = ("approach_green", "approach_red", "drawer_1")
    told = {"a": usual, "b": usual, "c": ("aproach_green", "approach_red", "drawer_2")}
    (line,) = likely_slips(told)
    assert line == "action 'aproach_green' is in transcript c.txt alone; 'approach_green' in 2"
    assert not likely_slips({"a": ("grasp",), "b": ("grasps",)}), "neither is the usual one"


def test_actions_are_checked_against_the_settings(work: Workplace) -> None:
    work.add("demo_0", "reach", "graps")
    work.add("demo_1", "reach", "graps", "dance")
    near, other = work.refused(config=write_config(work, actions=["reach", "grasp"]))
    assert near == "transcript demo_0.txt and 1 more: action 'graps' is not one of data.actions; did you mean grasp?"
    assert other == "transcript demo_1.txt: action 'dance' is not one of data.actions; expected one of reach, grasp"


def test_actions_of_validation_are_checked_against_training(work: Workplace) -> None:
    work.add("demo_0")
    config = write_config(work)
    work.ingest(config=config, split="train")
    work.add("demo_1", "reach", "lifts")
    (problem,) = work.refused(work.bags / "demo_1", config=config, split="validation")
    assert problem.endswith("'lifts' is not one of the training transcripts' actions; did you mean lift?")


def test_actions_of_earlier_validation_are_checked_when_training_comes(work: Workplace) -> None:
    work.add("demo_0", "reach", "dance")
    config = write_config(work)
    work.ingest(config=config, split="validation")
    work.add("demo_1", "reach", "grasp")
    (problem,) = work.refused(work.bags / "demo_1", config=config, split="train")
    assert problem.startswith("transcript demo_0.txt: action 'dance' is not one of the training transcripts' actions")


def test_transcripts_without_a_bag_may_be_left_out(work: Workplace) -> None:
    work.add("demo")
    work.write_transcript("tomorrow", "reach")
    (problem,) = work.refused()
    assert problem.endswith("tomorrow.txt: belongs to no bag of this call (--partial leaves it out)")
    work.ingest(partial=True)


def test_joints_of_other_names_are_refused(work: Workplace) -> None:
    work.add("demo")
    (problem,) = work.refused(config=write_config(work, joints=["left", "right"]))
    expected = "joints: /joint_states (sensor_msgs/msg/JointState) names a, b; expected some of left, right"
    assert problem == f"{work.bags}/demo: {expected}"


def test_paths_that_hold_no_bag_are_refused(work: Workplace) -> None:
    (work.bags / "notes.txt").touch()
    gone, nothing, text = work.refused(work.bags / "gone", work.bags, work.bags / "notes.txt")
    assert gone.endswith("gone: does not exist; expected .mcap or .db3 files or rosbag2 folders")
    assert nothing == f"{work.bags}: holds no bag; expected .mcap or .db3 files or rosbag2 folders"
    assert text.startswith(f"{work.bags}/notes.txt: holds no bag")
    bag = work.add("demo")
    (bag / "demo_0.mcap").unlink()
    (problem,) = {problem for problem in work.refused() if "names" in problem}
    assert problem == f"{bag}: names demo_0.mcap, which is not there"


def test_numbered_files_of_a_folder_are_one_recording_unless_bags_lie_below(work: Workplace) -> None:
    folder = work.bags / "kitchen"
    folder.mkdir()
    work.add("kitchen/kitchen_0.mcap")
    work.add("kitchen/kitchen_1.mcap")
    problem, *_ = work.refused(folder)
    assert problem.startswith("bag kitchen: has no transcript; expected ")
    assert problem.endswith("are one recording: where each is a bag, give the files")
    work.add("kitchen/kitchen_2")
    planned = plan(work.request(folder))
    assert isinstance(planned, Plan) and list(planned.bags) == ["kitchen_0", "kitchen_1", "kitchen_2"]


def test_a_transcripts_folder_has_to_be_one(work: Workplace) -> None:
    work.add("demo")
    shutil.rmtree(work.transcripts)
    (problem,) = work.refused()
    assert problem == f"{work.transcripts}: is no folder; expected one with <bag name>.txt for each bag"
    work.transcripts.mkdir()
    (work.transcripts / "demo.txt").write_bytes(b"\xff\xfe\x00")
    assert "can't be read as UTF-8 text" in work.refused()[0]


def test_a_name_belongs_to_one_bag(work: Workplace) -> None:
    first = work.add("demo")
    again = write(work.bags / "again" / "demo", messages(("a", "b", "c")))
    assert f"{again} and {first}: both are named demo; expected a name for each" in work.refused()
    config = write_config(work)
    work.refused(first, first / "demo_0.mcap", first, config=config)  # demo, demo_0
    work.ingest(first, config=config)
    (problem,) = work.refused(again, config=config)
    assert problem == f"{again}: is not the bag in {work.out}/train/demo; expected another name, or --replace"
    same = shutil.copytree(first, work.bags / "copy" / "demo")
    work.ingest(same, config=config)
    work.ingest(again, config=config, replace=True)
    assert (work.out / "train" / "demo" / "demo_0.mcap").resolve() == again / "demo_0.mcap"
    (problem,) = work.refused(again, config=config, replace=True, split="test")
    assert problem == f"{again}: is in {work.out}/train/demo already; expected it there, or gone from there"


def test_whole_groups_go_to_validation_and_settings_remember_the_file(work: Workplace, tmp_path: Path) -> None:
    users = {"demo_0": "anna", "demo_1": "bert", "demo_2": "bert"}
    groups = tmp_path / "groups.csv"
    groups.write_text("bag,user\n" + "".join(f"{name},{user}\n" for name, user in users.items()))
    for name in users:
        work.add(name)
    planned = plan(work.request(groups=groups))
    assert isinstance(planned, Plan)
    assert planned.splits == {"demo_0": "train", "demo_1": "validation", "demo_2": "validation"}
    assert planned.data.groups == str(groups)
    text = settings_text("mine", planned.data, {})
    assert f"  groups: {groups}  # who is seen in which bag\n" in text
    groups.write_text("demo_0 anna\ndemo_1 bert\n")
    with pytest.raises(DatasetError, match=r"groups.csv: 1 of 3 have no group: demo_2"):
        plan(work.request(groups=groups))
    assert not work.out.exists()


def test_another_file_of_groups_than_the_settings_name_is_refused(work: Workplace) -> None:
    work.add("demo")
    with pytest.raises(ConfigError, match=r"data.groups in .* is ''; expected 'users.csv', as asked"):
        plan(work.request(config=write_config(work), groups=Path("users.csv")))
