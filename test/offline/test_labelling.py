"""`hal label`: the bag stays as it was, and what the node would publish stands in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mcap.records import Attachment
from mcap.writer import Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter

from fakes import JOINTS as JOINT_SPEC
from fakes import SIZE_PX, FakeBackend, make_card, make_streams, picture
from hal_ros.bags import copying, frames
from hal_ros.bags.answer_messages import LABEL_TYPE, PLAN_TYPE
from hal_ros.bags.mcap_files import McapFile
from hal_ros.bags.messages import deserialise, header_message, known_class, schema_text, serialise, typestore
from hal_ros.bags.reader import (
    METADATA,
    BagMessage,
    BagNotes,
    BagWriter,
    RawMessage,
    raw_messages,
    raw_topics,
    read_messages,
)
from hal_ros.bags.sensors import IMAGE
from hal_ros.core.errors import BagError
from hal_ros.core.streams.spec import JOINT_STATE
from hal_ros.offline import bundle
from hal_ros.offline.bundle import BundleChoice
from hal_ros.offline.labelling import ANSWER_TOPICS, LabelJob, run_label
from hal_ros.offline.replay import BOUNDARY_TOPIC, LABEL_TOPIC, PLAN_TOPIC, VOCABULARY_TOPIC
from hal_ros.runtime.bundle import save_card

CAMERA, JOINTS, CLOCK = "/camera/color/image_raw", "/joint_states", "/clock"
START_NS, PERIOD_NS = 5_000_000_000, 100_000_000
STORY = ["red"] * 5 + ["blue"] * 6 + ["green"] * 4


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle that the fake backend runs."""
    monkeypatch.setattr(bundle, "open_backend", lambda opened, *_: (FakeBackend(opened.card), "by the test"))
    monkeypatch.setattr(bundle, "check_golden", lambda *_: None)
    (tmp_path / "model").mkdir()
    return save_card(make_card(), tmp_path / "model").folder


def run(model: Path, bag: Path, out: Path | None = None, replace: bool = False, camera: str | None = None) -> None:
    run_label(LabelJob(bag, out, replace, {"camera": (camera,)} if camera else {}), BundleChoice(model))


def sensors(story: list[str] = STORY) -> list[BagMessage]:
    """Joints, then clock and image of one time, as a robot's bag holds them."""
    messages = []
    for tick, colour in enumerate(story):
        stamp_ns = START_NS + tick * PERIOD_NS
        header = header_message(stamp_ns, "camera")
        pixels = picture(colour).reshape(-1)
        image = known_class(IMAGE)(header, SIZE_PX, SIZE_PX, "rgb8", 0, 3 * SIZE_PX, pixels)
        joints = known_class(JOINT_STATE)(header, ["a", "b"], np.ones(2), np.ones(2), np.ones(2))
        clock = known_class("rosgraph_msgs/msg/Clock")(header.stamp)
        messages.append(BagMessage(JOINTS, JOINT_STATE, stamp_ns, serialise(joints)))
        messages.append(BagMessage(CAMERA, IMAGE, stamp_ns + 1, serialise(image)))
        messages.append(BagMessage(CLOCK, "rosgraph_msgs/msg/Clock", stamp_ns + 1, serialise(clock)))
    return messages


def write(path: Path, messages: list[BagMessage]) -> Path:
    with BagWriter(path, {"robot": {"name": "arm"}}) as bag:
        for topic, type_name, receive_ns, data, _ in messages:
            bag.write(topic, type_name, data, receive_ns, max(receive_ns - 1, 0), sequence=receive_ns % 1000)
    return path


def write_with_rosbags(path: Path, plugin: StoragePlugin, messages: list[BagMessage], zstd: bool = False) -> Path:
    writer = RosbagsWriter(path, version=9, storage_plugin=plugin)
    if zstd:
        writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)
    with writer:
        types = {message.topic: message.type_name for message in messages}
        topics = {t: writer.add_connection(t, kind, typestore=typestore()) for t, kind in types.items()}
        for message in messages:
            writer.write(topics[message.topic], message.receive_ns, message.data)
    return path


def split(bag: Path) -> tuple[list[BagMessage], list[BagMessage]]:
    """What the robot recorded, and the answers."""
    messages = [message._replace(publish_ns=None) for message in read_messages(bag)]  # SQLite keeps no such time
    kept = [message for message in messages if message.topic not in ANSWER_TOPICS]
    return kept, [message for message in messages if message.topic in ANSWER_TOPICS]


def test_a_bag_without_its_answers_gets_them_back(model: Path, tmp_path: Path) -> None:
    recorded = tmp_path / "recorded"
    run(model, write(tmp_path / "bare", sensors()), recorded)
    stripped = write(tmp_path / "stripped", split(recorded)[0])
    run(model, stripped)  # beside the bag
    assert list(read_messages(tmp_path / "stripped-labelled")) == list(read_messages(recorded))
    other = sensors(["green", *STORY[1:]])  # one other picture
    run(model, write(tmp_path / "other", other))
    assert split(tmp_path / "other-labelled")[1] != split(recorded)[1]


def test_all_else_stays_as_it_was(model: Path, tmp_path: Path) -> None:
    bag, out = write(tmp_path / "run", sensors()), tmp_path / "out"
    before = list(raw_messages(bag, BagNotes()))
    run(model, bag, out)
    after = list(raw_messages(out, BagNotes()))
    assert [message for message in after if message.topic not in ANSWER_TOPICS] == before
    forms = raw_topics(out)
    assert all(forms[topic] == form for topic, form in raw_topics(bag).items())
    assert [message.receive_ns for message in after] == sorted(message.receive_ns for message in after)
    assert after[0].topic == VOCABULARY_TOPIC
    for index, message in enumerate(after):
        if message.topic == LABEL_TOPIC:  # right behind all that came with its image
            assert after[index - 1].receive_ns == message.receive_ns
            assert {m.topic for m in after[:index] if m.receive_ns == message.receive_ns} >= {CAMERA, CLOCK}
    with McapFile(out / "out_0.mcap") as file:
        assert {record.name for record in file.metadata} == {"robot", "bundle", "answers"}
        assert not file.cut_off


def test_the_answers_are_those_of_the_story(model: Path, tmp_path: Path) -> None:
    run(model, write(tmp_path / "run.mcap", sensors()))
    messages = [(m.topic, deserialise(m.type_name, m.data)) for m in split(tmp_path / "run-labelled.mcap")[1]]
    assert [m.label for topic, m in messages if topic == LABEL_TOPIC] == STORY
    assert [m.to_label for topic, m in messages if topic == BOUNDARY_TOPIC] == ["red", "blue", "green", ""]
    assert [m.labels for topic, m in messages if topic == VOCABULARY_TOPIC] == [list(make_card().vocabulary)]


def test_metadata_counts_what_is_in_the_new_bag(model: Path, tmp_path: Path) -> None:
    run(model, write_with_rosbags(tmp_path / "run", StoragePlugin.MCAP, sensors()))
    information = yaml.safe_load((tmp_path / "run-labelled" / METADATA).read_text())["rosbag2_bagfile_information"]
    counts = {t["topic_metadata"]["name"]: t["message_count"] for t in information["topics_with_message_count"]}
    labels = {LABEL_TOPIC: len(STORY), BOUNDARY_TOPIC: 4, VOCABULARY_TOPIC: 1}
    assert counts == {CAMERA: len(STORY), JOINTS: len(STORY), CLOCK: len(STORY), **labels}
    assert information["message_count"] == sum(counts.values())
    assert information["relative_file_paths"] == ["run-labelled_0.mcap"]
    assert information["starting_time"]["nanoseconds_since_epoch"] == START_NS
    assert information["duration"]["nanoseconds"] == (len(STORY) - 1) * PERIOD_NS + 1


@pytest.mark.parametrize("plugin", list(StoragePlugin))
@pytest.mark.parametrize("zstd", [False, True])
def test_every_storage_is_read_and_mcap_written(model: Path, tmp_path: Path, plugin: StoragePlugin, zstd: bool) -> None:
    bag = write_with_rosbags(tmp_path / "run", plugin, sensors(), zstd)
    run(model, bag)
    kept, answers = split(tmp_path / "run-labelled")
    assert kept == sensors()
    run(model, write(tmp_path / "plain", sensors()))
    assert answers == split(tmp_path / "plain-labelled")[1]
    assert raw_topics(tmp_path / "run-labelled")[CAMERA].schema.count(b"std_msgs/Header header") == 1


def test_a_lone_sqlite_file_becomes_a_folder(model: Path, tmp_path: Path) -> None:
    (file,) = write_with_rosbags(tmp_path / "run", StoragePlugin.SQLITE3, sensors()).glob("*.db3")
    file.rename(tmp_path / "lone.db3")
    run(model, tmp_path / "lone.db3")
    assert split(tmp_path / "lone-labelled")[0] == sensors()


def test_answers_in_the_bag_are_kept_unless_asked_otherwise(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = BagMessage(LABEL_TOPIC, LABEL_TYPE, START_NS, b"\0\1\0\0of another model")
    bag = write(tmp_path / "run", [*sensors(), old])
    with pytest.raises(BagError, match="holds /action_label already; expected none of them, or --replace"):
        run(model, bag)
    assert not (tmp_path / "run-labelled").exists()
    run(model, bag, replace=True)
    assert "/action_label left out" in capsys.readouterr().out
    kept, answers = split(tmp_path / "run-labelled")
    assert kept == sensors()
    assert old not in answers
    assert len(answers) == len(STORY) + 5


def test_messages_of_no_ros_type_are_copied_too(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mixed.mcap"
    with path.open("wb") as stream:
        writer = Writer(stream)
        writer.start("ros2", "test")
        ids = {kind: writer.register_schema(kind, "ros2idl", kind.encode()) for kind in (IMAGE, JOINT_STATE)}
        ids["rosgraph_msgs/msg/Clock"] = 0
        channels = {m.topic: writer.register_channel(m.topic, "cdr", ids[m.type_name]) for m in sensors()}
        note = writer.register_channel("/note", "json", writer.register_schema("note", "jsonschema", b"{}"))
        writer.register_channel("/silent", "cdr", ids[IMAGE], {"offered_qos_profiles": "- reliability: nonsense"})
        writer.add_message(note, START_NS + 5, b'{"said": "careful"}', 7, 8)
        for message in sensors():
            writer.add_message(channels[message.topic], message.receive_ns, message.data, message.receive_ns)
        writer.add_attachment(1, 2, "notes.txt", "text/plain", b"kept")
        writer.finish()
    run(model, path, tmp_path / "out", camera=CAMERA)
    assert "messages of the bag, 1 attachments and the answers" in capsys.readouterr().out
    with McapFile(tmp_path / "out" / "out_0.mcap") as file:
        assert list(file.attachments()) == [Attachment(1, 2, "notes.txt", "text/plain", b"kept")]
    before = list(raw_messages(path, BagNotes()))
    after = [m for m in raw_messages(tmp_path / "out", BagNotes()) if m.topic not in ANSWER_TOPICS]
    assert after == before
    forms = raw_topics(tmp_path / "out")
    assert all(forms[topic] == form for topic, form in raw_topics(path).items())
    information = yaml.safe_load((tmp_path / "out" / METADATA).read_text())["rosbag2_bagfile_information"]
    topics = {t["topic_metadata"]["name"]: t["topic_metadata"] for t in information["topics_with_message_count"]}
    assert topics["/note"]["serialization_format"] == "json"
    assert topics["/silent"]["offered_qos_profiles"] == ""  # rosbag2 would refuse the whole bag for it


def test_qualities_of_service_are_numbers_in_metadata(model: Path, tmp_path: Path) -> None:
    newer = (
        "- {history: keep_last, depth: 5, reliability: best_effort, durability: volatile, deadline: {sec: 1, nsec: 0},"
    )
    newer += " lifespan: {sec: 1, nsec: 0}, liveliness: automatic, liveliness_lease_duration: {sec: 1, nsec: 0},"
    newer += " avoid_ros_namespace_conventions: false}"
    with BagWriter(tmp_path / "run") as bag:
        bag.add_topic(CAMERA, IMAGE, newer)
        for topic, type_name, receive_ns, data, _ in sensors():
            bag.write(topic, type_name, data, receive_ns)
    run(model, tmp_path / "run")
    information = yaml.safe_load((tmp_path / "run-labelled" / METADATA).read_text())["rosbag2_bagfile_information"]
    topics = {t["topic_metadata"]["name"]: t["topic_metadata"] for t in information["topics_with_message_count"]}
    (profile,) = yaml.safe_load(topics[CAMERA]["offered_qos_profiles"])
    assert (profile["history"], profile["depth"], profile["reliability"], profile["durability"]) == (1, 5, 2, 2)
    assert raw_topics(tmp_path / "run-labelled")[CAMERA].metadata["offered_qos_profiles"] == newer


def small_chunks(path: Path) -> Path:
    with path.open("wb") as stream:
        writer = Writer(stream, chunk_size=500)
        writer.start("ros2", "test")
        kinds = {m.type_name for m in sensors()}
        ids = {kind: writer.register_schema(kind, "ros2msg", schema_text(kind).encode()) for kind in kinds}
        channels = {m.topic: writer.register_channel(m.topic, "cdr", ids[m.type_name]) for m in sensors()}
        for message in sensors():
            writer.add_message(channels[message.topic], message.receive_ns, message.data, message.receive_ns)
        writer.finish()
    return path


def test_of_a_cut_off_bag_what_is_there_is_labelled(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = small_chunks(tmp_path / "run.mcap")
    bag.write_bytes(bag.read_bytes()[: bag.stat().st_size // 3])
    run(model, bag)
    assert "cut off: read up to the cut" in capsys.readouterr().out
    kept, answers = split(tmp_path / "run-labelled.mcap")
    assert 0 < len(kept) < len(sensors())
    assert kept == sensors()[: len(kept)]
    assert LABEL_TOPIC in {message.topic for message in answers}
    with McapFile(tmp_path / "run-labelled.mcap") as file:
        assert not file.cut_off


def test_what_can_not_be_read_is_counted(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = sensors()
    bad[4] = bad[4]._replace(data=bad[4].data[:30])  # the second image
    run(model, write(tmp_path / "run", bad))
    assert "camera: 1 message malformed" in capsys.readouterr().out
    assert split(tmp_path / "run-labelled")[0] == bad  # copied all the same
    bag = small_chunks(tmp_path / "hit.mcap")
    content = bytearray(bag.read_bytes())
    content[len(content) // 3] ^= 0xFF
    bag.write_bytes(content)
    run(model, bag)
    assert "1 skipped: damaged chunk" in capsys.readouterr().out


def test_what_is_not_cdr_is_counted(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def write_as_json(topic: str) -> Path:
        path = tmp_path / f"{topic[1:6]}.mcap"
        with path.open("wb") as stream:
            writer = Writer(stream)
            writer.start("ros2", "another program")
            channels: dict[str, int] = {}
            for one in sensors():
                if one.topic not in channels:
                    schema = writer.register_schema(one.type_name, "ros2msg", schema_text(one.type_name).encode())
                    encoding = "json" if one.topic == topic else "cdr"
                    channels[one.topic] = writer.register_channel(one.topic, encoding, schema)
                writer.add_message(channels[one.topic], one.receive_ns, one.data, one.receive_ns)
            writer.finish()
        return path

    run(model, write_as_json(JOINTS))
    assert f"{len(STORY)} skipped: {JOINTS} is not CDR of a named type" in capsys.readouterr().out
    with pytest.raises(
        BagError, match=rf"gives no tick .*\({CAMERA} is not CDR of a named type: {len(STORY)} messages\)"
    ):
        run(model, write_as_json(CAMERA))


def test_joints_may_be_absent(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messages = [message for message in sensors() if message.topic != JOINTS]
    run(model, write(tmp_path / "run", messages))
    assert "joints none" in capsys.readouterr().out
    assert split(tmp_path / "run-labelled")[0] == messages


def test_what_a_bag_lacks_is_told(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = [m._replace(topic="/left/joint_states") if m.topic == JOINTS else m for m in sensors()]
    named = make_card(streams=make_streams(joints=replace(JOINT_SPEC, topic=(JOINTS,))))
    save_card(named, model)
    run(model, write(tmp_path / "run", others))
    printed = capsys.readouterr().out
    assert f"camera {CAMERA}, joints none" in printed
    told = f"{tmp_path / 'run'}: joints: colours expects {JOINTS}; the bag has {CAMERA}, {CLOCK}, /left/joint_states"
    assert told in printed
    assert f"joints: {len(STORY)} ticks missing" in printed
    labels = [deserialise(m.type_name, m.data) for m in split(tmp_path / "run-labelled")[1] if m.topic == LABEL_TOPIC]
    assert len(labels) == len(STORY) and {one.stream for label in labels for one in label.inputs} == {"camera"}


def elsewhere(names: tuple[str, ...]) -> list[BagMessage]:
    """Sensors of a robot whose topics are its own, with joints of these names."""
    messages = []
    for message in sensors():
        if message.topic == JOINTS:
            content = deserialise(message.type_name, message.data)
            content.name = list(names)
            messages.append(message._replace(topic="/arm/state", data=serialise(content)))
        else:
            messages.append(message._replace(topic=message.topic.replace(CAMERA, "/top/image")))
    return messages


def test_a_bag_of_another_robot_is_refused_with_both_lists(model: Path, tmp_path: Path) -> None:
    bag = write(tmp_path / "other", elsewhere(("panda_1", "panda_2")))
    there = sorted(tmp_path.iterdir())
    with pytest.raises(BagError, match="holds nothing that the model knows") as refused:
        run(model, bag)
    text = str(refused.value)
    assert all(word in text for word in ("/arm/state, /clock, /top/image", CAMERA, JOINTS, "joints a, b", "--camera"))
    assert "\n" not in text and sorted(tmp_path.iterdir()) == there
    run(model, bag, camera="/top/image")  # somebody says that it is the camera


def test_a_bag_with_a_known_name_is_labelled_whatever_its_topics(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(model, write(tmp_path / "own", elsewhere(("a", "wheel"))))
    printed = capsys.readouterr().out
    assert "camera /top/image, joints /arm/state" in printed
    assert f"joints: {len(STORY)} ticks partial" in printed


def test_refusals_leave_nothing_behind(model: Path, tmp_path: Path) -> None:
    blind = write(tmp_path / "blind", [message for message in sensors() if message.topic != CAMERA])
    late = write(tmp_path / "late", [m._replace(data=m.data[:9]) if m.topic == CAMERA else m for m in sensors()])
    fine = write(tmp_path / "fine", sensors())
    (tmp_path / "empty.mcap").touch()
    there = sorted(tmp_path.iterdir())
    for text, bag, *arguments in (
        ("camera: colours expects a topic of .* takes its ticks from it", blind),
        ("gives no tick", late),
        ("does not exist", tmp_path / "gone"),
        ("is empty", tmp_path / "empty.mcap"),
        ("exists", fine, fine),
        ("is no MCAP", fine, tmp_path / "a.db3"),
        ("'/other' is not one of", fine, None, False, "/other"),
        ("can't be made", fine, fine / METADATA / "out"),
    ):
        with pytest.raises(BagError, match=text) as caught:
            run(model, bag, *arguments)
        assert "\n" not in str(caught.value)
        assert sorted(tmp_path.iterdir()) == there, text


def test_what_was_interrupted_never_looks_complete(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag, out, seen = write(tmp_path / "run", sensors()), tmp_path / "out", []

    def stop(path: Path, notes: BagNotes, **_: Any) -> Iterator[Any]:
        yield from list(raw_messages(path, notes))[:20]
        (file,) = tmp_path.glob("out.unfinished-*/out/*")  # as a killed process would leave it
        seen.append((file.name, out.exists()))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(copying, "raw_messages", stop)
        with pytest.raises(KeyboardInterrupt):
            run(model, bag, out)
    assert seen == [("out_0.mcap", False)]
    assert not out.exists()
    assert not list(tmp_path.glob("out.*"))
    run(model, bag, out)


def test_a_folder_of_the_usual_unfinished_name_stays(model: Path, tmp_path: Path) -> None:
    notes = tmp_path / "out.unfinished" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("by hand")
    run(model, write(tmp_path / "run", sensors()), tmp_path / "out")
    assert notes.read_text() == "by hand"


def test_the_progress_of_a_plan_is_an_answer_too(model: Path, tmp_path: Path) -> None:
    old = BagMessage(PLAN_TOPIC, PLAN_TYPE, START_NS, b"\0\1\0\0of another model")
    bag = write(tmp_path / "run", [*sensors(), old])
    with pytest.raises(BagError, match="holds /segmenter/plan_progress already"):
        run(model, bag)
    run(model, bag, replace=True)
    assert PLAN_TOPIC not in raw_topics(tmp_path / "run-labelled")
    assert list(read_messages(tmp_path / "run-labelled", [PLAN_TOPIC])) == []


@pytest.mark.parametrize(("where", "bag"), [(".", "."), ("deep", "..")])
def test_a_bag_named_by_dots_is_labelled_beside_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, bag: str
) -> None:
    folder = write(tmp_path / "run", sensors())
    (folder / "deep").mkdir()
    monkeypatch.chdir(folder / where)
    run(model, Path(bag))
    assert (tmp_path / "run-labelled" / METADATA).exists()


def test_streams_that_begin_anew_are_counted(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [message for message in sensors() if message.topic == CAMERA]
    run(model, write(tmp_path / "once", images))
    assert "restart" not in capsys.readouterr().out
    run(model, write(tmp_path / "twice", [*images, *(m._replace(receive_ns=m.receive_ns * 10) for m in images)]))
    assert "1 restart of the tick grid" in capsys.readouterr().out


def test_an_answer_is_written_before_the_bag_is_read_to_its_end(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is gathered: what is read for the answers is never far ahead of what is written."""
    seconds = 60
    bag = write(tmp_path / "run", sensors(["red", "blue"] * (5 * seconds)))
    written, ahead = [0], list[int]()
    copy, content_of = BagWriter.copy, frames.content_of

    def count(writer: BagWriter, message: RawMessage) -> None:
        written[0] += message.topic not in ANSWER_TOPICS
        copy(writer, message)

    def look(message: BagMessage, *rest: Any) -> Any:
        at = round((message.receive_ns - START_NS) / PERIOD_NS)
        ahead.append(at - written[0] // 3)
        return content_of(message, *rest)

    monkeypatch.setattr(BagWriter, "copy", count)
    monkeypatch.setattr(frames, "content_of", look)
    run(model, bag)
    assert len(ahead) == 2 * 10 * seconds and written[0] == 3 * 10 * seconds
    assert max(ahead) < 15  # ticks: a message of the clock waits for others, a second at most


def test_what_can_not_be_read_is_told_with_its_reason(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = []
    for message in sensors():
        if message.topic == CAMERA:
            content = deserialise(message.type_name, message.data)
            content.encoding = "rgb9"
            message = message._replace(data=serialise(content))
        odd.append(message)
    with pytest.raises(BagError, match=rf"{len(STORY)} messages unreadable.*encoding 'rgb9' is not supported"):
        run(model, write(tmp_path / "run", odd))
    assert not list(tmp_path.glob("run-labelled*"))
    run(model, write(tmp_path / "half", [*odd[:21], *sensors()[21:]]))
    printed = capsys.readouterr().out
    assert "camera: 7 messages unreadable" in printed
    assert "camera: unreadable, the first one because: encoding 'rgb9' is not supported" in printed


def test_messages_of_another_form_than_theirs_tell_why(model: Path, tmp_path: Path) -> None:
    """The bag lacks the definition of an older form: what is known here fits no message."""
    short = [m._replace(data=m.data[:9]) if m.topic == CAMERA else m for m in sensors()]
    with pytest.raises(BagError, match=rf"{len(STORY)} messages malformed.*9 bytes can't be read as {IMAGE}"):
        run(model, write(tmp_path / "run", short))


def test_stamps_that_are_none_are_counted(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = sensors()
    for number in (4, 7):  # the second image and the third one
        data = bytearray(bad[number].data)
        data[4:12] = b"\xff\xff\xff\x7f\xff\xff\xff\xff" if number == 4 else data[4:8] + b"\xff\xff\xff\xff"
        bad[number] = bad[number]._replace(data=bytes(data))
    run(model, write(tmp_path / "run", bad))
    printed = capsys.readouterr().out
    assert f"{len(STORY) - 2} labels" in printed and "2 messages without a stamp" in printed


def test_a_bag_in_which_nothing_was_recorded_yet_says_so(model: Path, tmp_path: Path) -> None:
    bag = small_chunks(tmp_path / "run.mcap")
    bag.write_bytes(bag.read_bytes()[:33])
    with pytest.raises(BagError, match="holds no topics: nothing was recorded in it yet"):
        run(model, bag)


def test_log_times_of_zero_do_not_count(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(model, write(tmp_path / "run", [message._replace(receive_ns=0) for message in sensors()]))
    assert f"{(len(STORY) - 1) * PERIOD_NS / 1e9:.1f} s in " in capsys.readouterr().out


def test_a_driver_without_a_clock_does_not_empty_the_others(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two drivers take turns on one topic, each with its joint; a third one stamps 0."""
    messages = []
    for message in sensors():
        if message.topic != JOINTS:
            messages.append(message)
            continue
        for name in ("a", "b", "a"):
            content = deserialise(message.type_name, message.data)
            content.name, content.position = [name], content.position[:1]
            content.velocity, content.effort = content.velocity[:1], content.effort[:1]
            if name == "a" and messages and messages[-1].topic == JOINTS:
                content.header = header_message(0, "")
            messages.append(message._replace(data=serialise(content)))
    run(model, write(tmp_path / "run", messages))
    printed = capsys.readouterr().out
    assert f"joints: {len(STORY)} messages without a stamp" in printed
    assert "missing" not in printed and "partial" not in printed
    assert split(tmp_path / "run-labelled")[0] == messages
