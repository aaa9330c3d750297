"""Bags are read in receive order, whatever wrote them and wherever they end."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcap.writer import CompressionType, Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter

from hal_ros.bags.messages import header_message, known_class, schema_text, serialise, typestore
from hal_ros.bags.reader import METADATA, BagMessage, BagNotes, BagWriter, bag_files, read_messages, topic_types
from hal_ros.core.errors import BagError

TRUTH = "hal_msgs/msg/ActionTruth"
TOPIC = "/simulation/action_truth"


def truth(number: int) -> bytes:
    return serialise(known_class(TRUTH)(header_message(number, "camera"), "reach" * (number % 3), number))


def messages(count: int) -> list[BagMessage]:
    return [BagMessage(TOPIC, TRUTH, 1_000 + number, truth(number)) for number in range(count)]


def write(path: Path, bag: list[BagMessage], metadata: dict[str, dict[str, str]] | None = None) -> Path:
    with BagWriter(path, metadata) as writer:
        for message in bag:
            writer.write(*message[:2], message.data, message.receive_ns)
    return writer.file


def small_chunks(path: Path, bag: list[BagMessage], compression: CompressionType = CompressionType.ZSTD) -> Path:
    """Write with one chunk per few messages, as a recorder that is flushed often does."""
    with path.open("wb") as stream:
        writer = Writer(stream, chunk_size=200, compression=compression)
        writer.start("ros2", "test")
        schema = writer.register_schema(TRUTH, "ros2msg", schema_text(TRUTH).encode())
        channel = writer.register_channel(TOPIC, "cdr", schema)
        for message in bag:
            writer.add_message(channel, message.receive_ns, message.data, message.receive_ns)
        writer.finish()
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    bag = messages(50)
    write(tmp_path / "run", bag)
    assert list(read_messages(tmp_path / "run")) == bag
    assert list(read_messages(tmp_path / "run" / "run_0.mcap")) == bag
    assert topic_types(tmp_path / "run") == {TOPIC: TRUTH}


def test_topics_limit_what_is_read(tmp_path: Path) -> None:
    write(tmp_path / "run", messages(3))
    assert list(read_messages(tmp_path / "run", ["/other"])) == []


def test_equal_messages_give_equal_bytes(tmp_path: Path) -> None:
    first, second = (write(tmp_path / name / "run", messages(50)) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    other = write(tmp_path / "c" / "run", messages(49))
    assert first.read_bytes() != other.read_bytes()


@given(st.lists(st.integers(0, 5_000), max_size=60))
def test_messages_come_in_receive_order_across_chunks(
    tmp_path_factory: pytest.TempPathFactory, times: list[int]
) -> None:
    bag = [BagMessage(TOPIC, TRUTH, time, truth(index)) for index, time in enumerate(times)]
    path = small_chunks(tmp_path_factory.mktemp("bag") / "a.mcap", bag)
    assert list(read_messages(path)) == sorted(bag, key=lambda message: message.receive_ns)  # sorted() is stable


@pytest.mark.parametrize("compression", list(CompressionType))
def test_every_compression_is_read(tmp_path: Path, compression: CompressionType) -> None:
    path = small_chunks(tmp_path / "a.mcap", messages(20), compression)
    assert list(read_messages(path)) == messages(20)


def test_a_file_without_chunks_or_summary_is_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    writer = Writer(buffer, use_chunking=False, repeat_channels=False, use_statistics=False)
    writer.start("ros2", "test")
    schema = writer.register_schema(TRUTH, "ros2msg", schema_text(TRUTH).encode())
    channel = writer.register_channel(TOPIC, "cdr", schema)
    for number in (2, 1, 3):
        writer.add_message(channel, number, truth(number), number)
    writer.finish()
    (tmp_path / "a.mcap").write_bytes(buffer.getvalue())
    assert [message.receive_ns for message in read_messages(tmp_path / "a.mcap")] == [1, 2, 3]


def test_a_cut_off_file_gives_a_growing_beginning(tmp_path: Path) -> None:
    bag = messages(40)
    whole = small_chunks(tmp_path / "whole.mcap", bag).read_bytes()
    counts = []
    for size in range(8, len(whole), 23):
        path = tmp_path / "cut.mcap"
        path.write_bytes(whole[:size])
        notes = BagNotes()
        read = list(read_messages(path, notes=notes))
        assert read == bag[: len(read)]
        assert notes.cut_off
        assert not notes.skipped
        counts.append(len(read))
    assert counts == sorted(counts)
    assert len(set(counts)) > 5
    notes = BagNotes()
    assert list(read_messages(tmp_path / "whole.mcap", notes=notes)) == bag
    assert not notes.cut_off
    assert str(notes) == ""


def test_a_damaged_chunk_is_skipped_and_counted(tmp_path: Path) -> None:
    bag = messages(40)
    path = small_chunks(tmp_path / "a.mcap", bag, CompressionType.NONE)
    content = bytearray(path.read_bytes())
    content[content.index(bag[20].data) + 20] ^= 0xFF
    path.write_bytes(content)
    notes = BagNotes()
    read = list(read_messages(path, notes=notes))
    assert notes.skipped["damaged chunk"] == 1
    assert bag[20] not in read
    assert 30 < len(read) < 40


def test_messages_of_no_known_encoding_are_skipped_and_counted(tmp_path: Path) -> None:
    with (tmp_path / "a.mcap").open("wb") as stream:
        writer = Writer(stream)
        writer.start("", "test")
        schema = writer.register_schema("service_Event", "jsonschema", b"{}")
        writer.add_message(writer.register_channel("/json", "json", schema), 1, b"{}", 1)
        writer.add_message(writer.register_channel("/bare", "cdr", 0), 2, b"\0\1\0\0", 2)
        schema = writer.register_schema(TRUTH, "unknown-encoding", b"?")
        writer.add_message(writer.register_channel(TOPIC, "cdr", schema), 3, truth(0), 3)
        writer.finish()
    notes = BagNotes()
    assert [message.topic for message in read_messages(tmp_path / "a.mcap", notes=notes)] == [TOPIC]
    assert sum(notes.skipped.values()) == 2
    assert "/json" in str(notes)


@pytest.mark.parametrize("plugin", list(StoragePlugin))
@pytest.mark.parametrize("compression", [CompressionMode.NONE, CompressionMode.FILE, CompressionMode.MESSAGE])
def test_folders_of_rosbag2_are_read(tmp_path: Path, plugin: StoragePlugin, compression: CompressionMode) -> None:
    bag = messages(10)
    writer = RosbagsWriter(tmp_path / "run", version=9, storage_plugin=plugin)
    if compression is not CompressionMode.NONE:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection(TOPIC, TRUTH, typestore=typestore())
        for message in bag:
            writer.write(connection, message.receive_ns, message.data)
    assert list(read_messages(tmp_path / "run")) == bag
    assert topic_types(tmp_path / "run") == {TOPIC: TRUTH}


def bad_bags(folder: Path) -> dict[str, Path]:
    """Return paths that are no bags, by what is wrong with them."""
    made = {name: folder / name for name in ("empty.mcap", "text.mcap", "text.db3", "run.bag", "folder", "listing")}
    made["empty.mcap"].touch()
    made["text.mcap"].write_text("this is no bag, but long enough to be one" * 10)
    made["text.db3"].write_text("this is no bag either")
    made["run.bag"].write_bytes(b"#ROSBAG V2.0\n")
    made["folder"].mkdir()
    made["listing"].mkdir()
    (made["listing"] / METADATA).write_text("rosbag2_bagfile_information: [1, 2")
    for name, text in {"no_files": "{}", "not_yaml": "\t:", "number": "7"}.items():
        made[name] = folder / name
        made[name].mkdir()
        (made[name] / METADATA).write_text(text)
    made["tables.db3"] = folder / "tables.db3"
    with sqlite3.connect(made["tables.db3"]) as connection:
        connection.execute("CREATE TABLE other (id INTEGER)")
    connection.close()
    made["gone"] = folder / "gone"
    write(folder / "lost", messages(1)).unlink()
    made["lost"] = folder / "lost"
    return made


@pytest.mark.parametrize("function", [lambda path: list(read_messages(path)), topic_types])
def test_what_is_no_bag_is_refused_in_one_line(tmp_path: Path, function: Any) -> None:
    for name, path in bad_bags(tmp_path).items():
        with pytest.raises(BagError) as caught:
            function(path)
        assert str(path) in str(caught.value), name
        assert "\n" not in str(caught.value), name


def test_a_recording_is_never_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "run", messages(1))
    with pytest.raises(BagError, match="new file"):
        BagWriter(tmp_path / "run")


def test_a_topic_keeps_its_type(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "run") as writer:
        writer.write(TOPIC, TRUTH, truth(0), 0)
        with pytest.raises(BagError, match="already"):
            writer.write(TOPIC, "std_msgs/msg/Header", b"", 0)


def test_an_unknown_type_is_refused(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "run") as writer, pytest.raises(BagError, match="no_msgs/msg/Nothing"):
        writer.write(TOPIC, "no_msgs/msg/Nothing", b"", 0)


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(BagError, match="can't be made"):
        BagWriter(tmp_path / "run")


def test_the_parts_of_a_killed_recording_are_read_in_their_order(tmp_path: Path) -> None:
    bag = messages(13)
    for number, message in enumerate(bag):
        write(tmp_path / "run" / f"run_{number}.mcap", [message])
    assert list(read_messages(tmp_path / "run")) == bag
    assert [file.stem for file in bag_files(tmp_path / "run")] == [f"run_{number}" for number in range(13)]


@pytest.mark.parametrize("plugin", list(StoragePlugin))
@pytest.mark.parametrize("harm", [lambda data: b"no zstd" + data, lambda data: data[:-5]], ids=["other", "cut"])
def test_a_message_that_can_not_be_decompressed_is_skipped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: StoragePlugin, harm: Callable[[bytes], bytes]
) -> None:
    bag = messages(10)
    writer = RosbagsWriter(tmp_path / "run", version=9, storage_plugin=plugin)
    writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)
    with writer:
        usual = writer.storage.write
        connection = writer.add_connection(TOPIC, TRUTH, typestore=typestore())
        for number, message in enumerate(bag):
            broken = number in (3, 7)
            monkeypatch.setattr(
                writer.storage, "write", lambda c, t, d: usual(c, t, harm(bytes(d)))
            ) if broken else None
            writer.write(connection, message.receive_ns, message.data)
            monkeypatch.undo()
    notes = BagNotes()
    assert list(read_messages(tmp_path / "run", notes=notes)) == [*bag[:3], *bag[4:7], *bag[8:]]
    assert str(notes) == "2 skipped: message that can't be decompressed"


def test_a_file_that_can_not_be_decompressed_is_refused(tmp_path: Path) -> None:
    writer = RosbagsWriter(tmp_path / "run", version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.FILE, CompressionFormat.ZSTD)
    with writer:
        writer.write(writer.add_connection(TOPIC, TRUTH, typestore=typestore()), 0, truth(0))
    (file,) = (tmp_path / "run").glob("*.zstd")
    for content in (b"no zstd at all", file.read_bytes()[:-9]):
        file.write_bytes(content)
        with pytest.raises(BagError, match=r"expected (an MCAP|a bag's) file"):
            list(read_messages(tmp_path / "run"))


@pytest.mark.parametrize(
    "change", ["timestamp = 'soon'", "timestamp = -5", "data = 'text'", "data = 7", "timestamp = 2.5"]
)
def test_a_row_that_is_no_message_is_skipped_and_counted(tmp_path: Path, change: str) -> None:
    with RosbagsWriter(tmp_path / "run", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection("/chat", "std_msgs/msg/String", typestore=typestore())
        for stamp_ns in (1, 2, 3):
            writer.write(connection, stamp_ns, b"\0\1\0\0\1\0\0\0\0")
    with sqlite3.connect(next((tmp_path / "run").glob("*.db3"))) as database:
        database.execute(f"update messages set {change} where timestamp = 2")
    notes = BagNotes()
    assert [message.receive_ns for message in read_messages(tmp_path / "run", notes=notes)] == [1, 3]
    assert notes.skipped == {"row without time or bytes": 1}
