"""`hal ingest BAGS --transcripts DIR`: what a user gets, what is refused, and that nothing is half done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter
from user_folder import (
    ACTIONS,
    CAMERA,
    JOINTS,
    PERIOD_NS,
    START_NS,
    TICKS,
    Workplace,
    messages,
    run,
    snapshot,
    write,
    write_config,
)

from hal_ros.bags.messages import deserialise, serialise, typestore
from hal_ros.bags.reader import METADATA, BagMessage
from hal_ros.bags.sensors import IMAGE, JOINT_STATE
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import ConfigError, DatasetError
from hal_ros.datasets import build as own_bags
from hal_ros.datasets import episodes, user_bags
from hal_ros.datasets.card import draft_card
from hal_ros.train.config import config_from_mapping, load_config


@pytest.fixture
def work(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A user's folder; bags are read in this process, which is quicker."""
    monkeypatch.setattr(own_bags, "in_order", lambda job, made, _: map(job, made))
    return Workplace(tmp_path, capsys)


# --- what a user gets -------------------------------------------------------------------------------------------------


def test_bags_and_transcripts_become_a_dataset_and_its_settings(work: Workplace) -> None:
    for index in range(6):
        work.add(f"demo_{index}")
    assert work.ingest() == 0
    assert work.placed() == {"train": [f"demo_{i}" for i in (0, 1, 2, 3, 5)], "validation": ["demo_4"]}
    assert f"camera: {CAMERA} in 6 bags\njoints: {JOINTS} in 6 bags\njoints of the model: a, b\n" in work.printed
    assert f"train: 5 episodes, 5 of this call: {5 * TICKS} ticks, 0 of them held" in work.printed
    assert "3 actions: grasp, lift, reach" in work.printed
    assert work.printed.endswith(f"next: hal train {work.out / 'train.yaml'}\n")
    settings = yaml.safe_load((work.out / "train.yaml").read_text())
    assert (settings["name"], settings["supervision"]) == ("mine", "transcripts")
    data = load_config(work.out / "train.yaml").data
    assert (data.folder, data.cache) == (str(work.out), str(work.out / "cache"))
    assert (data.joints, data.camera_topic) == (("a", "b"), "")
    assert work.ingest() == 0  # follows the settings that it wrote


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
            cached = episodes.cached(bag, card, episodes.USUAL_TOPICS, Path(data.cache) / split)
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
    assert work.ingest("--split", "train") == 0
    assert work.placed() == {"train": ["bare", "folder", "killed", "lone", "packed", "sqlite"]}
    assert f"{6 * TICKS} ticks" in work.printed
    assert [path.name for path in episodes.find_bags(work.out, "train")] == work.placed()["train"]


def test_a_second_call_adds_what_is_new_and_keeps_what_is_there(work: Workplace) -> None:
    for index in range(5):
        work.add(f"demo_{index}")
    config = write_config(work)
    work.ingest("--config", config)
    before = work.placed()
    assert work.ingest("--config", config) == 0
    assert work.placed() == before
    work.write_transcript("demo_0", "reach", "grasp")  # a mistake was found
    work.add("demo_5", "reach", "push")
    assert work.ingest("--config", config) == 0
    assert "push" in work.printed
    assert work.placed()["train"] == [*before["train"], "demo_5"]
    assert episodes.read_transcript(work.out / "train" / "demo_0") == ("reach", "grasp")


def test_an_action_that_is_shown_once_is_not_held_out(work: Workplace) -> None:
    for index in range(5):
        work.add(f"demo_{index}", *("reach", "grasp"), *["rare"] * (index == 4))
    assert work.ingest() == 0
    assert work.placed()["validation"] == ["demo_3"]


def test_one_bag_alone_is_trained_on_and_validation_asked_for(work: Workplace) -> None:
    work.add("demo")
    assert work.ingest() == 0
    assert work.placed() == {"train": ["demo"]}
    assert "has no validation episode yet" in work.printed


def test_a_bag_that_moves_is_missed_by_name_and_found_again(work: Workplace) -> None:
    bag, config = work.add("demo"), write_config(work)
    assert work.ingest("--config", config) == 0
    (episode,) = episodes.find_bags(work.out, "train")
    moved = work.bags.rename(work.bags.with_name("moved"))
    card = draft_card(config_from_mapping({}).data, ACTIONS)
    with pytest.raises(DatasetError, match=f"leads to {bag}/demo_0.mcap, which is gone; expected the bag there"):
        episodes.cached(episode, card, episodes.USUAL_TOPICS, work.out / "cache")
    assert work.ingest("--config", config, sources=(moved,)) == 0
    assert episode / "demo_0.mcap" in episode.iterdir()
    assert (episode / "demo_0.mcap").exists()


def test_copies_need_no_original(work: Workplace) -> None:
    work.add("demo")
    assert work.ingest("--copy") == 0
    shutil.rmtree(work.bags)
    (episode,) = episodes.find_bags(work.out, "train")
    assert not (episode / "demo_0.mcap").is_symlink()
    assert len(episodes.ingest(episode, draft_card(config_from_mapping({}).data, ACTIONS)).stamp_ns) == TICKS


def test_annotations_come_along(work: Workplace) -> None:
    bag = work.add("demo")
    segment = {"action": "reach", "start_ns": START_NS, "end_ns": START_NS + 3 * PERIOD_NS}
    (bag / episodes.ANNOTATION).write_text(json.dumps({"segments": [segment]}))
    assert work.ingest() == 0
    (cached,) = (work.out / "cache" / "train").iterdir()
    actions = episodes.load(cached).actions
    assert actions is not None
    assert actions.tolist() == [2] * 3 + [NO_ACTION] * 5
    (bag / episodes.ANNOTATION).write_text(json.dumps({"segments": [{**segment, "action": "raech"}]}))
    config = write_config(work)
    (problem,) = work.refused("--config", config)
    assert "'raech'" in problem


def test_messages_that_can_not_be_read_are_skipped_and_told(work: Workplace) -> None:
    content = messages()
    for index, size in ((5, 40), (6, 20), (7, 200)):
        content[index] = content[index]._replace(data=content[index].data[:size])
    work.add("demo", content=content)
    bag = work.add("cut", content=messages())
    (file,) = bag.glob("*.mcap")
    file.write_bytes(file.read_bytes()[:-100])
    assert work.ingest("--split", "train") == 0
    assert "demo: 3 messages malformed\n" in work.printed
    assert "cut: cut off, read up to the cut\n" in work.printed
    assert "cut: " + "cut off" in work.printed
    assert work.printed.count("malformed") == 1


def test_topics_may_be_named(work: Workplace) -> None:
    work.add("demo", content=[*messages(), *messages(camera="/other")])
    assert work.ingest("--camera-topic", "/other") == 0
    assert "camera: /other in 1 bag\n" in work.printed
    assert yaml.safe_load((work.out / "train.yaml").read_text())["data"]["camera_topic"] == "/other"


def test_joints_are_those_that_all_bags_name(work: Workplace) -> None:
    work.add("demo_0", content=messages(("b", "a", "c")))
    work.add("demo_1", content=messages(("a", "b", "d")))
    assert work.ingest() == 0
    assert "joints of the model: b, a\njoints left out: c, d\n" in work.printed


def test_links_in_a_circle_are_followed_once(work: Workplace) -> None:
    bag = work.add("demo")
    (work.bags / "deep").mkdir()
    (work.bags / "deep" / "up").symlink_to(work.bags)
    (work.bags / "itself").symlink_to(work.bags / "itself")
    assert list(user_bags._bags_in(work.bags)) == [bag]
    assert work.ingest() == 0
    assert work.placed() == {"train": ["demo"]}


def test_annotated_bags_may_come_before_any_training(work: Workplace) -> None:
    bag = work.add("demo")
    segment = {"action": "reach", "start_ns": START_NS, "end_ns": START_NS + 3 * PERIOD_NS}
    (bag / episodes.ANNOTATION).write_text(json.dumps({"segments": [segment]}))
    assert work.ingest("--split", "validation") == 0
    assert "3 actions: grasp, lift, reach" in work.printed
    work.add("other", "reach", "push", *ACTIONS)
    assert work.ingest("--split", "train", sources=(work.bags / "other",)) == 0
    assert "4 actions: grasp, lift, push, reach" in work.printed


def test_grids_that_begin_anew_are_told(work: Workplace) -> None:
    """And that training has no transcript of the parts; the beginning of every stream is none of its restarts."""
    later = [  # the same again, a minute later
        message._replace(receive_ns=message.receive_ns + 60_000_000_000, data=shifted(message, 60))
        for message in messages()
    ]
    work.add("two", content=[*messages(), *later])
    work.add("one")
    assert work.ingest("--split", "train") == 0
    assert "two: the tick grid begins anew once\n" in work.printed
    assert "two: in parts with a tick grid each, which are trained on without a transcript\n" in work.printed
    assert "one: " not in work.printed


def shifted(message: BagMessage, seconds: int) -> bytes:
    content = deserialise(message.type_name, message.data)
    content.header.stamp.sec += seconds
    return serialise(content)


# --- what is refused --------------------------------------------------------------------------------------------------


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


def test_actions_are_checked_against_the_settings(work: Workplace) -> None:
    work.add("demo_0", "reach", "graps")
    work.add("demo_1", "reach", "graps", "dance")
    near, other = work.refused("--config", write_config(work, actions=["reach", "grasp"]))
    assert near == "transcript demo_0.txt and 1 more: action 'graps' is not one of data.actions; did you mean grasp?"
    assert other == "transcript demo_1.txt: action 'dance' is not one of data.actions; expected one of reach, grasp"


def test_actions_of_validation_are_checked_against_training(work: Workplace) -> None:
    work.add("demo_0")
    config = write_config(work)
    work.ingest("--config", config, "--split", "train")
    work.add("demo_1", "reach", "lifts")
    (problem,) = work.refused("--config", config, "--split", "validation", sources=(work.bags / "demo_1",))
    assert problem.endswith("'lifts' is not one of the training transcripts' actions; did you mean lift?")


def test_actions_of_earlier_validation_are_checked_when_training_comes(work: Workplace) -> None:
    work.add("demo_0", "reach", "dance")
    config = write_config(work)
    assert work.ingest("--config", config, "--split", "validation") == 0
    work.add("demo_1", "reach", "grasp")
    (problem,) = work.refused("--config", config, "--split", "train", sources=(work.bags / "demo_1",))
    assert problem.startswith("transcript demo_0.txt: action 'dance' is not one of the training transcripts' actions")


def test_transcripts_without_a_bag_may_be_left_out(work: Workplace) -> None:
    work.add("demo")
    work.write_transcript("tomorrow", "reach")
    (problem,) = work.refused()
    assert problem.endswith("tomorrow.txt: belongs to no bag of this call (--partial leaves it out)")
    assert work.ingest("--partial") == 0


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([m for m in messages() if m.topic != CAMERA], "demo: no topic of sensor_msgs/msg/Image"),
        ([m for m in messages() if m.topic != JOINTS], "name no joint that all have"),
        ([*messages(camera="/x"), *messages(camera="/y")], "several topics carry"),
        ([m._replace(data=m.data[:30]) if m.topic == CAMERA else m for m in messages()], "gives no tick"),
    ],
)
def test_bags_that_can_not_serve_are_refused(work: Workplace, content: list[BagMessage], text: str) -> None:
    work.add("demo", content=content)
    work.add("fine")
    (problem,) = work.refused()
    assert text in problem
    assert work.placed() == {}


def test_joints_of_other_names_are_refused(work: Workplace) -> None:
    work.add("demo")
    (problem,) = work.refused("--config", write_config(work, joints=["left", "right"]))
    assert problem == f"{work.bags}/demo: /joint_states names a, b; expected some of left, right"


def test_paths_that_hold_no_bag_are_refused(work: Workplace) -> None:
    (work.bags / "notes.txt").touch()
    gone, nothing, text = work.refused(sources=(work.bags / "gone", work.bags, work.bags / "notes.txt"))
    assert gone.endswith("gone: does not exist; expected .mcap or .db3 files or rosbag2 folders")
    assert nothing == f"{work.bags}: holds no bag; expected .mcap or .db3 files or rosbag2 folders"
    assert text.startswith(f"{work.bags}/notes.txt: holds no bag")
    bag = work.add("demo")
    (bag / "demo_0.mcap").unlink()
    (problem,) = {problem for problem in work.refused() if "names" in problem}
    assert problem == f"{bag}: names demo_0.mcap, which is not there"


def test_a_name_belongs_to_one_bag(work: Workplace) -> None:
    first = work.add("demo")
    again = write(work.bags / "again" / "demo", messages(("a", "b", "c")))
    assert f"{again} and {first}: both are named demo; expected a name for each" in work.refused()
    config = write_config(work)
    assert work.ingest("--config", config, sources=(first, first / "demo_0.mcap", first)) == 1  # demo, demo_0
    work.ingest("--config", config, sources=(first,))
    (problem,) = work.refused("--config", config, sources=(again,))
    assert problem == f"{again}: is not the bag in {work.out}/train/demo; expected another name, or --replace"
    same = shutil.copytree(first, work.bags / "copy" / "demo")
    assert work.ingest("--config", config, sources=(same,)) == 0
    assert work.ingest("--config", config, "--replace", sources=(again,)) == 0
    assert (work.out / "train" / "demo" / "demo_0.mcap").resolve() == again / "demo_0.mcap"
    (problem,) = work.refused("--config", config, "--replace", "--split", "test", sources=(again,))
    assert problem == f"{again}: is in {work.out}/train/demo already; expected it there, or gone from there"


def test_a_transcripts_folder_has_to_be_one(work: Workplace) -> None:
    work.add("demo")
    shutil.rmtree(work.transcripts)
    (problem,) = work.refused()
    assert problem == f"{work.transcripts}: is no folder; expected one with <bag name>.txt for each bag"
    work.transcripts.mkdir()
    (work.transcripts / "demo.txt").write_bytes(b"\xff\xfe\x00")
    assert "can't be read as UTF-8 text" in work.refused()[0]


def test_settings_and_arguments_agree(work: Workplace, tmp_path: Path) -> None:
    work.add("demo")
    asked = (work.bags, "--transcripts", work.transcripts)
    for text, arguments in (
        ("data.folder in .* expected .*/else, where the bags go", ("--config", write_config(work), "--out", "/else")),
        ("data.camera_topic in .* is ''; expected '/x'", ("--config", write_config(work), "--camera-topic", "/x")),
        ("benchmark's own folder", ("--out", tmp_path / "tabletop-v1")),
        ("--split for bags", ("--splits", "train")),
    ):
        with pytest.raises(ConfigError, match=text):
            run(*asked, *arguments)
    with pytest.raises(ConfigError, match="'episodes', which bags become"):
        run(*asked, "--config", write_config(work, layout="auto"))
    empty = tmp_path / "empty.yaml"
    empty.write_text(f"data: {{folder: {work.out}}}")
    with pytest.raises(ConfigError, match=r"data\.joints is empty"):
        run(*asked, "--config", empty)
    with pytest.raises(ConfigError, match="or bags with --transcripts DIR"):
        run(work.bags)
    with pytest.raises(ConfigError, match="--transcripts is missing"):
        run(work.bags, "--out", tmp_path / "x")
    assert not work.out.exists()


def test_an_interrupted_call_leaves_the_dataset_as_it_was(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    work.add("demo_0")
    config = write_config(work)
    work.ingest("--config", config)
    before = snapshot(work.out)
    work.add("demo_1")

    def stop(*_: object, **__: object):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(own_bags, "_ingest_one", stop)
        with pytest.raises(KeyboardInterrupt):
            work.ingest("--config", config)
    assert snapshot(work.out) == before
    assert work.ingest("--config", config) == 0


def test_bags_are_read_in_processes_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = Workplace(tmp_path, capsys)
    work.add("demo_0")
    work.add("demo_1", content=[m._replace(data=m.data[:30]) if m.topic == CAMERA else m for m in messages()])
    assert work.refused() == [f"bag demo_1: gives no tick; expected messages on {CAMERA} ({TICKS} messages malformed)"]
