"""A recording that was cut off or damaged is finished; what can be read of it comes along, and the rest is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mcap.reader import make_reader
from mcap.writer import Writer
from rosbags.highlevel import AnyReader

from bag_layouts import LAYOUTS, STRING, make_messages, write_mcap, write_parts
from hal_ros.bags import copying
from hal_ros.bags.mcap_files import McapFile
from hal_ros.bags.messages import header_message, known_class, schema_text, serialise
from hal_ros.bags.reader import METADATA, BagMessage, BagNotes, BagWriter, raw_messages, read_messages
from hal_ros.bags.recover import recover
from hal_ros.core.errors import BagError

TRUTH = "hal_msgs/msg/ActionTruth"
TOPIC = "/simulation/action_truth"


def truth(number: int) -> bytes:
    return serialise(known_class(TRUTH)(header_message(number, "camera"), "reach" * (number % 3), number))


def messages(count: int) -> list[BagMessage]:
    return [BagMessage(TOPIC, TRUTH, 1_000 + number, truth(number)) for number in range(count)]


def write(path: Path, bag: list[BagMessage]) -> Path:
    with BagWriter(path) as writer:
        for message in bag:
            writer.write(*message[:2], message.data, message.receive_ns)
    return writer.file


def test_recover_finishes_a_cut_file_and_keeps_what_is_in_it(tmp_path: Path) -> None:
    bag = messages(40)
    whole = tmp_path / "whole.mcap"
    with whole.open("wb") as stream:
        writer = Writer(stream, chunk_size=200)
        writer.start("ros2", "test")
        writer.add_metadata("bundle", {"card": "{}"})
        schema = writer.register_schema(TRUTH, "ros2msg", schema_text(TRUTH).encode())
        channel = writer.register_channel(TOPIC, "cdr", schema, {"offered_qos_profiles": "[]"})
        for message in bag:
            writer.add_message(channel, message.receive_ns, message.data, message.receive_ns - 1)
        writer.finish()
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    expected = list(read_messages(cut))
    assert 0 < len(expected) < len(bag)
    recovered = recover(cut)
    assert recovered is not None
    assert recovered.folder == tmp_path / "cut-recovered"
    assert recovered.messages == len(expected)
    notes = BagNotes()
    assert list(read_messages(recovered.folder, notes=notes)) == expected
    assert not notes.cut_off
    assert (recovered.folder / METADATA).exists()
    with McapFile(recovered.folder / "cut-recovered_0.mcap") as file:
        assert [(record.name, record.metadata) for record in file.metadata] == [("bundle", {"card": "{}"})]
        assert {c.metadata["offered_qos_profiles"] for c in file.channels.values()} == {"[]"}
        assert all(m.message.publish_time == m.message.log_time - 1 for m in file.messages())


def test_recover_leaves_a_complete_recording_alone(tmp_path: Path) -> None:
    write(tmp_path / "run", messages(3))
    assert recover(tmp_path / "run") is None
    assert recover(tmp_path / "run" / "run_0.mcap") is None


def test_recover_writes_missing_metadata(tmp_path: Path) -> None:
    write(tmp_path / "run", messages(3))
    (tmp_path / "run" / METADATA).unlink()
    recovered = recover(tmp_path / "run")
    assert recovered is not None
    assert list(read_messages(recovered.folder)) == messages(3)


def test_recover_refuses_a_folder_without_a_recording(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="holds neither"):
        recover(tmp_path)


@pytest.mark.parametrize("with_json", [False, True])
def test_a_cut_file_opens_in_other_readers_when_it_is_finished(tmp_path: Path, with_json: bool) -> None:
    """Its schema is IDL; beside it may lie a channel of JSON, which rosbags opens nowhere."""
    idl = (
        b"=" * 80 + b"\nIDL: std_msgs/msg/String\nmodule std_msgs { module msg { struct String { string data; }; }; };"
    )
    with (tmp_path / "whole.mcap").open("wb") as stream:
        writer = Writer(stream, chunk_size=300)
        writer.start("ros2", "test")
        writer.add_attachment(1, 2, "notes.txt", "text/plain", b"kept")
        chat = writer.register_channel("/chat", "cdr", writer.register_schema(STRING, "ros2idl", idl))
        note = chat
        if with_json:
            note = writer.register_channel("/note", "json", writer.register_schema("note", "jsonschema", b"{}"))
        for at in range(40):
            writer.add_message(note if with_json and at % 4 == 1 else chat, at, make_messages()[0].data, at)
        writer.finish()
    data = (tmp_path / "whole.mcap").read_bytes()
    (tmp_path / "cut.mcap").write_bytes(data[: len(data) // 2])
    done = recover(tmp_path / "cut.mcap", tmp_path / "out.mcap")
    assert done is not None and done.attachments == 1 and 0 < done.messages < 40
    assert str(done.notes) == "was cut off; what is behind the cut is lost"
    before = list(raw_messages(tmp_path / "cut.mcap", BagNotes()))
    assert list(raw_messages(tmp_path / "out.mcap", BagNotes())) == before
    assert {one.topic for one in before} == {"/chat", *["/note"] * with_json}
    with (tmp_path / "out.mcap").open("rb") as stream:
        read = [(channel.topic, message.data) for _, channel, message in make_reader(stream).iter_messages()]
    assert read == [(one.topic, one.data) for one in before]
    if not with_json:
        with AnyReader([tmp_path / "out.mcap"]) as reader:
            opened: list[Any] = [reader.deserialize(data, one.msgtype) for one, _, data in reader.messages()]
        assert [message.data for message in opened] == ["said 0"] * len(before)


def test_a_split_bag_is_mended_as_one(tmp_path: Path) -> None:
    bag = write_parts(tmp_path / "run_2024.01")
    last = bag / "run_2024.01_2.mcap"
    last.write_bytes(last.read_bytes()[:700])
    done = recover(bag)
    assert done is not None and done.folder == tmp_path / "run_2024.01-recovered"
    assert list(read_messages(done.folder)) == list(read_messages(bag))
    assert len(make_messages()) * 2 // 3 < done.messages < len(make_messages())
    with pytest.raises(BagError, match="exists"):
        recover(bag)


def test_a_finished_file_with_a_damaged_chunk_is_not_complete(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "a.mcap", make_messages())
    content = bytearray(file.read_bytes())
    content[content.index(b"\x28\xb5\x2f\xfd", 700) + 12] ^= 0xFF
    file.write_bytes(content)
    done = recover(file)
    assert done is not None
    assert done.notes.skipped == {"damaged chunk": 1}
    assert 0 < done.messages < len(make_messages())
    assert recover(done.folder) is None


def test_an_interrupted_call_leaves_nothing_and_the_next_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_mcap(tmp_path / "a.mcap", make_messages())
    file.write_bytes(file.read_bytes()[:900])

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(copying, "raw_messages", stop)
        with pytest.raises(KeyboardInterrupt):
            recover(file)
    assert sorted(tmp_path.iterdir()) == [file]
    assert recover(file) is not None


def test_a_bag_is_named_by_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bag = write_parts(tmp_path / "run")
    (bag / METADATA).unlink()
    monkeypatch.chdir(bag)
    done = recover(Path())
    assert done is not None and done.folder == tmp_path / "run-recovered"


def test_what_sqlite_had_not_finished_is_written_as_mcap(tmp_path: Path) -> None:
    bag = LAYOUTS["sqlite, -wal beside"].write(tmp_path)
    done = recover(bag)
    assert done is not None and done.messages == 2 * len(make_messages())
    assert recover(done.folder) is None


def test_nothing_is_recovered_of_what_nobody_recorded(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "a.mcap", make_messages())
    file.write_bytes(file.read_bytes()[:33])
    done = recover(file)
    assert done is not None and done.messages == 0
    file.write_bytes(b"")
    with pytest.raises(BagError, match="is empty"):
        recover(file)
