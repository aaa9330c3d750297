"""Bags and transcripts become a dataset: what a user gets and is told, and that nothing is half done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter

from hal_ros.bags.inputs import AS_IN_THE_CARD
from hal_ros.bags.messages import deserialise, serialise, typestore
from hal_ros.bags.reader import METADATA, BagMessage
from hal_ros.bags.sensors import IMAGE
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.core.streams.spec import JOINT_FIELDS, JOINT_STATE, CameraSpec, StateSpec
from hal_ros.datasets import build as building
from hal_ros.datasets import episodes, user_bags
from hal_ros.datasets.config import draft_card
from hal_ros.datasets.look.asked import read_asked
from hal_ros.datasets.look.marks import MARKS
from hal_ros.train.config import config_from_mapping, load_config
from user_folder import (
    ACTIONS,
    CAMERA,
    JOINTS,
    PERIOD_NS,
    START_NS,
    TICKS,
    Workplace,
    messages,
    snapshot,
    write_config,
)

# --- what a user gets -------------------------------------------------------------------------------------------------


def test_bags_and_transcripts_become_a_dataset_and_its_settings(work: Workplace) -> None:
    for index in range(6):
        work.add(f"demo_{index}")
    work.ingest()
    assert work.placed() == {"train": [f"demo_{i}" for i in (0, 1, 2, 3, 5)], "validation": ["demo_4"]}
    assert [line.split() for line in work.printed.splitlines()[:4]] == [
        ["topic", "type", "Hz", "skew", "ms", "bags", "stream"],
        [CAMERA, "sensor_msgs/Image", "10.0", "0", "6/6", "camera", "(clock)"],
        [JOINTS, "sensor_msgs/JointState", "10.0", "0", "6/6", "joints"],
        ["joints:", "a,", "b"],
    ]
    assert f"train: 5 episodes, 5 of this call: {5 * TICKS} ticks, 0 of them held" in work.printed
    assert "3 actions: grasp, lift, reach" in work.printed
    assert work.printed.endswith(f"next: hal train {work.out / 'train.yaml'}\n")
    settings = yaml.safe_load((work.out / "train.yaml").read_text())
    assert (settings["name"], settings["supervision"]) == ("mine", "mixed")
    data = load_config(work.out / "train.yaml").data
    assert (data.folder, data.cache) == (str(work.out), str(work.out / "cache"))
    assert data.streams.clock == "camera"
    assert data.streams.cameras == {"camera": CameraSpec((CAMERA,), max_age_s=0.3)}
    assert data.streams.states == {"joints": StateSpec((JOINTS,), JOINT_STATE, ("a", "b"), JOINT_FIELDS, 0.3)}
    work.ingest()  # follows the settings that it wrote


def test_episodes_are_in_the_cache_that_training_looks_into(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """And stay there when new words join the vocabulary: without annotation no row depends on it."""
    work.add("demo_0")
    work.add("demo_1")
    work.ingest()
    data = load_config(work.out / "train.yaml").data
    monkeypatch.setattr(episodes, "ingest", lambda *_: pytest.fail("ingested twice"))
    for split in ("train", "validation"):
        (bag,) = episodes.find_bags(work.out, split)
        for vocabulary in (("grasp", "lift", "reach"), ("grasp", "lift", "push", "reach")):
            card = draft_card(data, vocabulary)
            cached = episodes.cached(bag, card, AS_IN_THE_CARD, Path(data.cache) / split)
            assert (episodes.load(cached).transcript, episodes.load(cached).actions) == (ACTIONS, None)


def test_every_kind_of_bag_is_taken(work: Workplace) -> None:
    work.add("lone.mcap")
    work.add("folder")
    for name, plugin, mode in (
        ("sqlite", StoragePlugin.SQLITE3, CompressionMode.NONE),
        ("packed", StoragePlugin.MCAP, CompressionMode.FILE),
    ):
        work.write_transcript(name, *ACTIONS)
        writer = RosbagsWriter(work.bags / "deep" / name, version=9, storage_plugin=plugin)
        (work.bags / "deep").mkdir(exist_ok=True)
        if mode is not CompressionMode.NONE:
            writer.set_compression(mode, CompressionFormat.ZSTD)
        with writer:
            topics = {
                topic: writer.add_connection(topic, kind, typestore=typestore())
                for topic, kind in ((CAMERA, IMAGE), (JOINTS, JOINT_STATE))
            }
            for message in messages():
                writer.write(topics[message.topic], message.receive_ns, message.data)
    (bare,) = (work.bags / "deep" / "sqlite").glob("*.db3")
    shutil.copyfile(bare, work.bags / "bare.db3")
    work.write_transcript("bare", *ACTIONS)
    killed = work.add("killed")
    (killed / METADATA).unlink()
    work.ingest(split="train")
    assert work.placed() == {"train": ["bare", "folder", "killed", "lone", "packed", "sqlite"]}
    assert f"{6 * TICKS} ticks" in work.printed
    assert [path.name for path in episodes.find_bags(work.out, "train")] == work.placed()["train"]


def test_a_second_call_adds_what_is_new_and_keeps_what_is_there(work: Workplace) -> None:
    for index in range(5):
        work.add(f"demo_{index}")
    config = write_config(work)
    work.ingest(config=config)
    before = work.placed()
    work.ingest(config=config)
    assert work.placed() == before
    work.write_transcript("demo_0", "reach", "grasp")  # a mistake was found
    work.add("demo_5", "reach", "push")
    work.ingest(config=config)
    assert "push" in work.printed
    assert work.placed()["train"] == [*before["train"], "demo_5"]
    assert episodes.read_transcript(work.out / "train" / "demo_0") == ("reach", "grasp")


def test_an_action_that_is_shown_once_is_not_held_out(work: Workplace) -> None:
    for index in range(5):
        work.add(f"demo_{index}", *("reach", "grasp"), *["rare"] * (index == 4))
    work.ingest()
    assert work.placed()["validation"] == ["demo_3"]


def test_one_bag_alone_is_trained_on_and_validation_asked_for(work: Workplace) -> None:
    work.add("demo")
    work.ingest()
    assert work.placed() == {"train": ["demo"]}
    assert "has no validation episode yet" in work.printed


def test_a_bag_that_moves_is_missed_by_name_and_found_again(work: Workplace) -> None:
    bag, config = work.add("demo"), write_config(work)
    work.ingest(config=config)
    (episode,) = episodes.find_bags(work.out, "train")
    moved = work.bags.rename(work.bags.with_name("moved"))
    card = draft_card(config_from_mapping({}).data, ACTIONS)
    with pytest.raises(DatasetError, match=f"leads to {bag}/demo_0.mcap, which is gone; expected the bag there"):
        episodes.cached(episode, card, AS_IN_THE_CARD, work.out / "cache")
    work.ingest(moved, config=config)
    assert episode / "demo_0.mcap" in episode.iterdir()
    assert (episode / "demo_0.mcap").exists()


def test_copies_need_no_original(work: Workplace) -> None:
    work.add("demo")
    work.ingest(copy=True)
    shutil.rmtree(work.bags)
    (episode,) = episodes.find_bags(work.out, "train")
    assert not (episode / "demo_0.mcap").is_symlink()
    assert len(episodes.ingest(episode, draft_card(config_from_mapping({}).data, ACTIONS)).stamp_ns) == TICKS


def test_annotations_come_along(work: Workplace) -> None:
    bag = work.add("demo")
    segment = {"action": "reach", "start_ns": START_NS, "end_ns": START_NS + 3 * PERIOD_NS}
    (bag / episodes.ANNOTATION).write_text(json.dumps({"segments": [segment]}))
    work.ingest()
    (cached,) = (work.out / "cache" / "train").iterdir()
    actions = episodes.load(cached).actions
    assert actions is not None
    assert actions.tolist() == [2] * 3 + [NO_ACTION] * 5
    (bag / episodes.ANNOTATION).write_text(json.dumps({"segments": [{**segment, "action": "raech"}]}))
    config = write_config(work)
    (problem,) = work.refused(config=config)
    assert "'raech'" in problem


def test_marks_come_along_and_what_is_told_stands_for_a_transcript(work: Workplace, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    for name in ("marked", "told", "bare"):
        work.add(name)
    (marks / "marked.csv").write_text("start_s,end_s,action\n0.3,,reach->grasp\n")
    for name in ("told", "bare"):
        (work.transcripts / f"{name}.txt").unlink()
    segment = {"action": "reach", "start_ns": START_NS, "end_ns": START_NS + 8 * PERIOD_NS}
    (work.bags / "told" / episodes.ANNOTATION).write_text(json.dumps({"segments": [segment]}))
    (problem,) = work.refused(split="train")
    assert problem.startswith("bag bare: has no transcript")
    work.ingest(split="train", marks=marks, unlabelled=True)
    there = {path.parent.name: path.read_text().split() for path in work.out.glob("train/*/transcript.txt")}
    assert there == {"marked": list(ACTIONS), "told": ["reach"], "bare": []}
    assert (work.out / "train" / "marked" / MARKS).read_bytes() == (marks / "marked.csv").read_bytes()
    cached = len(list((work.out / "cache" / "train").iterdir()))
    (marks / "marked.csv").write_text("start_s,end_s,action\n0.4,,reach->grasp\n")
    work.ingest(split="train", marks=marks, unlabelled=True)
    assert len(list((work.out / "cache" / "train").iterdir())) == cached  # new marks cost no new episode
    for line, problem in (
        ("0.4,,push", f"{marks}/marked.csv:2: action 'push' is in no transcript"),
        ("40,,reach", "marks.csv:2: lies outside the episode"),
        ("0.1,,lift", "leave no room for"),
    ):
        (marks / "marked.csv").write_text(f"start_s,end_s,action\n{line}\n")
        (found,) = work.refused(split="train", marks=marks, unlabelled=True)
        assert problem in found or "expected the order of transcript.txt" in found
    (marks / "other.csv").write_text("start_s,end_s,action\n0.4,,reach\n")
    (marks / "marked.csv").unlink()
    (found,) = work.refused(split="train", marks=marks, unlabelled=True)
    assert found.startswith(f"{marks}/other.csv: belongs to no bag of this call")


def test_messages_that_can_not_be_read_are_skipped_and_told(work: Workplace) -> None:
    content = messages()
    for index, size in ((5, 40), (6, 20), (7, 200)):
        content[index] = content[index]._replace(data=content[index].data[:size])
    work.add("demo", content=content)
    bag = work.add("cut", content=messages())
    (file,) = bag.glob("*.mcap")
    file.write_bytes(file.read_bytes()[:-100])
    work.ingest(split="train")
    assert "demo: joints: 1 message malformed, camera: 2 messages malformed\n" in work.printed
    assert "cut: cut off, read up to the cut\n" in work.printed
    assert "cut: " + "cut off" in work.printed
    assert work.printed.count("malformed") == 2


def test_topics_may_be_named(work: Workplace) -> None:
    work.add("demo", content=[*messages(), *messages(camera="/other")])
    work.ingest(asked=read_asked(camera_topic="/other"))
    data = load_config(work.out / "train.yaml").data
    assert {name: camera.topic for name, camera in data.streams.cameras.items()} == {"camera": ("/other",)}
    assert list(data.streams.states) == ["joints"]
    assert "- not asked for\n" in work.printed


def test_joints_are_those_that_all_bags_name(work: Workplace) -> None:
    work.add("demo_0", content=messages(("b", "a", "c")))
    work.add("demo_1", content=messages(("a", "b", "d")))
    work.ingest()
    assert "joints: b, a\njoints: leaves out c, d\n" in work.printed


def test_links_in_a_circle_are_followed_once(work: Workplace) -> None:
    bag = work.add("demo")
    (work.bags / "deep").mkdir()
    (work.bags / "deep" / "up").symlink_to(work.bags)
    (work.bags / "itself").symlink_to(work.bags / "itself")
    assert list(user_bags._bags_in(work.bags)) == [bag]
    work.ingest()
    assert work.placed() == {"train": ["demo"]}


def test_annotated_bags_may_come_before_any_training(work: Workplace) -> None:
    bag = work.add("demo")
    segment = {"action": "reach", "start_ns": START_NS, "end_ns": START_NS + 3 * PERIOD_NS}
    (bag / episodes.ANNOTATION).write_text(json.dumps({"segments": [segment]}))
    work.ingest(split="validation")
    assert "3 actions: grasp, lift, reach" in work.printed
    work.add("other", "reach", "push", *ACTIONS)
    work.ingest(work.bags / "other", split="train")
    assert "4 actions: grasp, lift, push, reach" in work.printed


def test_grids_that_begin_anew_are_told(work: Workplace) -> None:
    """And that training has no transcript of the parts; the beginning of every stream is none of its restarts."""
    later = [  # the same again, a minute later
        message._replace(receive_ns=message.receive_ns + 60_000_000_000, data=shifted(message, 60))
        for message in messages()
    ]
    work.add("two", content=[*messages(), *later])
    work.add("one")
    work.ingest(split="train")
    assert "two: 1 restart of the tick grid\n" in work.printed
    assert "two: in parts with a tick grid each, which are trained on without a transcript\n" in work.printed
    assert "one: " not in work.printed


def shifted(message: BagMessage, seconds: int) -> bytes:
    content = deserialise(message.type_name, message.data)
    content.header.stamp.sec += seconds
    return serialise(content)


# --- what is refused or cut off ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([m for m in messages() if m.topic != CAMERA], f"demo: camera: the dataset expects {CAMERA}"),
        ([*messages(camera="/x"), *messages(camera="/y")], f"demo: camera: the dataset expects {CAMERA}"),
        ([m._replace(data=m.data[:30]) if m.topic == CAMERA else m for m in messages()], "gives no tick"),
    ],
)
def test_bags_that_can_not_serve_are_refused(work: Workplace, content: list[BagMessage], text: str) -> None:
    work.add("demo", content=content)
    work.add("fine")
    (problem,) = work.refused()
    assert text in problem
    assert work.placed() == {}


def test_an_interrupted_call_leaves_the_dataset_as_it_was(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    work.add("demo_0")
    config = write_config(work)
    work.ingest(config=config)
    before = snapshot(work.out)
    work.add("demo_1")

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(building, "_ingest_one", stop)
        with pytest.raises(KeyboardInterrupt):
            work.ingest(config=config)
    assert snapshot(work.out) == before
    work.ingest(config=config)


def test_bags_are_read_in_processes_too(tmp_path: Path) -> None:
    work = Workplace(tmp_path)
    work.add("demo_0")
    work.add("demo_1", content=[m._replace(data=m.data[:30]) if m.topic == CAMERA else m for m in messages()])
    assert work.refused() == [
        f"bag demo_1: gives no tick; expected messages on {CAMERA} (camera: {TICKS} messages malformed)"
    ]
