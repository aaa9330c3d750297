"""Bags in every layout that was met: the same messages, and what an independent reader counts of them."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml
import zstandard
from mcap.exceptions import McapError
from mcap.records import Channel, Message
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, IndexType, Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter

from hal_ros.bags.messages import known_class, schema_text, serialise, typestore
from hal_ros.bags.reader import METADATA, BagMessage

STRING, INTEGER = "std_msgs/msg/String", "std_msgs/msg/Int32"
TYPES = {"/chat": STRING, "/count": INTEGER, "/rare": STRING}
ODD_NAME = "a #1? 100%25 b"


def make_messages(count: int = 24, start_ns: int = 1_000) -> list[BagMessage]:
    """Messages of three topics, one of which speaks seldom."""
    messages = []
    for number in range(count):
        topic = "/rare" if number % 7 == 6 else ("/chat", "/count")[number % 2]
        content = known_class(TYPES[topic])(f"said {number}" if TYPES[topic] == STRING else number)
        messages.append(BagMessage(topic, TYPES[topic], start_ns + number, serialise(content)))
    return messages


class Layout(NamedTuple):
    """How a bag is written, and what has to be told of it; '' where nothing has."""

    write: Callable[[Path], Path]  # into an empty folder; returns the bag
    told: str = ""
    complete: bool = True  # whether all that was written can be read


def write_mcap(
    path: Path,
    messages: Sequence[BagMessage],
    compression: CompressionType = CompressionType.ZSTD,
    **options: bool | IndexType,
) -> Path:
    """Write with the mcap library's own writer, a chunk for a few messages."""
    with path.open("wb") as stream:
        writer: Any = Writer(stream, chunk_size=150, compression=compression, **options)  # type: ignore[arg-type]
        writer.start("ros2", "test")
        schemas = {
            kind: writer.register_schema(kind, "ros2msg", schema_text(kind).encode()) for kind in (STRING, INTEGER)
        }
        channels: dict[str, int] = {}
        for message in messages:
            if message.topic not in channels:
                channels[message.topic] = writer.register_channel(message.topic, "cdr", schemas[message.type_name])
            writer.add_message(channels[message.topic], message.receive_ns, message.data, message.receive_ns)
        writer.finish()
    return path


def write_rosbag2(
    path: Path,
    messages: Sequence[BagMessage],
    plugin: StoragePlugin,
    packed: CompressionMode = CompressionMode.NONE,
) -> Path:
    """Write a folder with the rosbags library."""
    writer = RosbagsWriter(path, version=9, storage_plugin=plugin)
    if packed is not CompressionMode.NONE:
        writer.set_compression(packed, CompressionFormat.ZSTD)
    with writer:
        topics = {topic: writer.add_connection(topic, kind, typestore=typestore()) for topic, kind in TYPES.items()}
        for message in messages:
            writer.write(topics[message.topic], message.receive_ns, message.data)
    return path


def write_parts(path: Path, parts: int = 3) -> Path:
    """Write a recording of several MCAP files and its metadata.yaml."""
    path.mkdir()
    messages = make_messages()
    size = len(messages) // parts
    names = []
    for number in range(parts):
        part = messages[number * size :] if number == parts - 1 else messages[number * size : (number + 1) * size]
        names.append(write_mcap(path / f"{path.name}_{number}.mcap", part).name)
    counts = Counter(message.topic for message in messages)
    topics = [{"topic_metadata": {"name": name, "type": TYPES[name]}, "message_count": n} for name, n in counts.items()]
    information = {
        "version": 9,
        "storage_identifier": "mcap",
        "compression_mode": "",
        "relative_file_paths": names,
        "topics_with_message_count": topics,
    }
    (path / METADATA).write_text(yaml.safe_dump({"rosbag2_bagfile_information": information}))
    return path


# --- changes of a bag that was written ------------------------------------------------------------------------------


def edit(path: Path, old: str, new: str) -> Path:
    """Change metadata.yaml."""
    file = path / METADATA
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return path


def describe(path: Path, content: bytes | None) -> Path:
    """Write metadata.yaml anew, or remove it."""
    (path / METADATA).unlink()
    if content is not None:
        (path / METADATA).write_bytes(content)
    return path


def harm(path: Path, part: int, change: Callable[[bytes], bytes]) -> Path:
    """Change the bytes of one part."""
    file = path / f"{path.name}_{part}.mcap"
    file.write_bytes(change(file.read_bytes()))
    return path


def with_log(path: Path) -> Path:
    """Leave half of the messages of an SQLite bag in a `-wal` beside it, as a killed recorder does."""
    (file,) = path.glob("*.db3")
    kept = path.parent / "kept"
    kept.mkdir()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("UPDATE messages SET timestamp = timestamp + 1 WHERE id % 2 = 0")
    connection.execute("INSERT INTO messages (topic_id, timestamp, data) SELECT topic_id, 5000, data FROM messages")
    connection.commit()
    for suffix in ("", "-wal"):
        shutil.copy(f"{file}{suffix}", kept)
    connection.close()
    for one in kept.iterdir():
        one.rename(path / one.name)
    kept.rmdir()
    (path / f"{file.name}-shm").unlink(missing_ok=True)
    return path


def of_first_version(path: Path) -> Path:
    """Take from an SQLite bag what rosbag2's first version did not write."""
    (file,) = path.glob("*.db3")
    with sqlite3.connect(file) as connection:
        for table in ("schema", "metadata", "message_definitions"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("ALTER TABLE topics DROP COLUMN offered_qos_profiles")
        connection.execute("ALTER TABLE topics DROP COLUMN type_description_hash")
        connection.execute("DROP INDEX timestamp_idx")
    connection.close()
    return path


def pack(path: Path) -> Path:
    """Pack each file of a bag."""
    for file in [*path.glob("*.mcap"), *path.glob("*.db3")]:
        Path(f"{file}.zstd").write_bytes(zstandard.compress(file.read_bytes()))
        file.unlink()
    return path


# --- what is in it ---------------------------------------------------------------------------------------------------


def stored_counts(bag: Path, folder: Path) -> Counter[str]:
    """Count the messages of each topic with other programs' readers, file by file, as far as each can be read."""
    counts = Counter[str]()
    for file in [bag] if bag.is_file() else sorted(bag.iterdir()):
        plain = file
        if file.suffix == ".zstd":
            plain = folder / file.stem
            with file.open("rb") as source, plain.open("wb") as target:
                zstandard.ZstdDecompressor().copy_stream(source, target)
        if plain.suffix == ".mcap":
            counts += _counts_of_mcap(plain)
        elif plain.suffix == ".db3" and plain.read_bytes().startswith(b"SQLite"):
            counts += _counts_of_sqlite(plain, folder)
    return counts


def _counts_of_mcap(file: Path) -> Counter[str]:
    counts, channels = Counter[str](), dict[int, str]()
    try:
        with file.open("rb") as stream:
            for record in StreamReader(stream).records:
                if isinstance(record, Channel):
                    channels[record.id] = record.topic
                elif isinstance(record, Message):
                    counts[channels[record.channel_id]] += 1
    except McapError:
        pass  # up to here
    return counts


def _counts_of_sqlite(file: Path, folder: Path) -> Counter[str]:
    copy = folder / "copy.db3"  # whoever opens a -wal changes it
    for suffix in ("", "-wal"):
        if Path(f"{file}{suffix}").exists():
            shutil.copy(f"{file}{suffix}", f"{copy}{suffix}")
    connection = sqlite3.connect(copy)
    found = connection.execute("SELECT name, count(*) FROM messages JOIN topics ON topic_id = topics.id GROUP BY name")
    counts = Counter(dict(found))
    connection.close()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{copy}{suffix}").unlink(missing_ok=True)
    return counts


# --- all of them ------------------------------------------------------------------------------------------------------

NOTHING: dict[str, bool | IndexType] = {
    "repeat_schemas": False,
    "repeat_channels": False,
    "use_statistics": False,
    "use_summary_offsets": False,
    "index_types": IndexType.NONE,
}
WRITERS: dict[str, dict[str, bool | IndexType]] = {
    "usual": {},
    "schemas not repeated": {"repeat_schemas": False},
    "channels not repeated": {"repeat_channels": False},
    "neither repeated": {"repeat_schemas": False, "repeat_channels": False},
    "no summary": NOTHING,
    "no index": {"index_types": IndexType.NONE},
    "no chunks": {"use_chunking": False},
    "no chunks, no summary": {**NOTHING, "use_chunking": False},
}
LACKS = "the summary lacks schemas or channels"
QOS = "- {history: keep_last, depth: 7, reliability: reliable, durability: volatile}"


def _mcap(folder: Path, compression: CompressionType, options: dict[str, bool | IndexType]) -> Path:
    return write_mcap(folder / "run.mcap", make_messages(), compression, **options)


def _rosbag2(plugin: StoragePlugin, packed: CompressionMode, folder: Path) -> Path:
    return write_rosbag2(folder / "run", make_messages(), plugin, packed)


def _sqlite(folder: Path, name: str = "run") -> Path:
    bag = write_rosbag2(folder / "run", make_messages(), StoragePlugin.SQLITE3)
    if name != bag.name:  # rosbags itself can't write it
        (bag / "run.db3").rename(bag / f"{name}.db3")
        bag = edit(bag, "run.db3", f"'{name}.db3'").rename(folder / name)
    return bag


def _other_qos(folder: Path) -> Path:
    return edit(
        _sqlite(folder), "offered_qos_profiles: []", "offered_qos_profiles: [{depth: 3, reliability: reliable}]"
    )


def _lone(folder: Path) -> Path:
    (file,) = _sqlite(folder).glob("*.db3")
    return file.rename(folder / f"{ODD_NAME}.db3")


def _named_less(folder: Path) -> Path:
    return edit(write_parts(folder / "run"), "  - run_1.mcap\n", "")


def _both_kinds(folder: Path) -> Path:
    bag = describe(write_parts(folder / "run"), None)
    (bag / "other.db3").write_bytes(b"whatever")
    return bag


LAYOUTS: dict[str, Layout] = {
    f"mcap, {name}, {compression.name.lower()}": Layout(
        partial(_mcap, compression=compression, options=options),
        LACKS if "not repeated" in name or "neither" in name else "",
    )
    for name, options in WRITERS.items()
    for compression in (CompressionType.NONE, CompressionType.LZ4, CompressionType.ZSTD)
}
LAYOUTS |= {
    f"rosbag2, {plugin.name.lower()}, {packed.name.lower()}": Layout(partial(_rosbag2, plugin, packed))
    for plugin in StoragePlugin
    for packed in (CompressionMode.NONE, CompressionMode.FILE, CompressionMode.MESSAGE)
}
LAYOUTS |= {
    f"rosbag2 without metadata, {plugin.name.lower()}, {packed.name.lower()}": Layout(
        lambda folder, plugin=plugin, packed=packed: describe(_rosbag2(plugin, packed, folder), None)  # type: ignore[misc]
    )
    for plugin in StoragePlugin
    for packed in (CompressionMode.NONE, CompressionMode.FILE, CompressionMode.MESSAGE)
}
LAYOUTS |= {
    "sqlite, metadata of other qos": Layout(_other_qos),
    "sqlite, -wal beside": Layout(lambda folder: with_log(_sqlite(folder)), "-wal was read too"),
    "sqlite, all in the -wal": Layout(lambda folder: with_log(describe(_sqlite(folder), None)), "-wal was read too"),
    "sqlite, first version": Layout(lambda folder: of_first_version(_sqlite(folder))),
    "sqlite, odd name": Layout(lambda folder: _sqlite(folder, ODD_NAME)),
    "sqlite, odd name, -wal beside": Layout(lambda folder: with_log(_sqlite(folder, ODD_NAME)), "-wal was read too"),
    "sqlite, alone": Layout(_lone),
    "mcap, odd name": Layout(lambda folder: write_parts(folder / ODD_NAME)),
    "parts": Layout(lambda folder: write_parts(folder / "run")),
    "parts, packed, metadata of plain ones": Layout(lambda folder: pack(write_parts(folder / "run"))),
    "more than nine parts": Layout(lambda folder: describe(write_parts(folder / "run", 12), None)),
    "metadata of 0 bytes": Layout(lambda folder: describe(write_parts(folder / "run"), b""), "is no metadata"),
    "metadata of no text": Layout(lambda folder: describe(write_parts(folder / "run"), b"\xff\0"), "is no metadata"),
    "metadata of no yaml": Layout(lambda folder: describe(write_parts(folder / "run"), b"a: [1"), "is no metadata"),
    "metadata of depth": Layout(lambda folder: describe(write_parts(folder / "run"), b"[" * 9999), "is no metadata"),
    "no storage identifier": Layout(
        lambda folder: edit(write_parts(folder / "run"), "storage_identifier: mcap", "storage_identifier: ''")
    ),
    "wrong storage identifier": Layout(
        lambda folder: edit(write_parts(folder / "run"), "storage_identifier: mcap", "storage_identifier: sqlite3")
    ),
    "wrong packing of files": Layout(
        lambda folder: edit(write_parts(folder / "run"), "compression_mode: ''", "compression_mode: FILE")
    ),
    "wrong packing of messages": Layout(
        lambda folder: edit(write_parts(folder / "run"), "compression_mode: ''", "compression_mode: MESSAGE")
    ),
    "of a version to come": Layout(lambda folder: edit(write_parts(folder / "run"), "version: 9", "version: 99")),
    "counts differ": Layout(
        lambda folder: edit(write_parts(folder / "run"), "message_count: 3", "message_count: 7"),
        "4 skipped: message on /rare that metadata.yaml counts and no file holds",
    ),
    "counts are low": Layout(
        lambda folder: edit(write_parts(folder / "run"), "message_count: 3", "message_count: 1"),
        "/rare: 2 messages more than metadata.yaml counts",
    ),
    "a part is not named": Layout(_named_less, "run_1.mcap is not named in metadata.yaml, and read"),
    "a part is not there": Layout(
        lambda folder: edit(write_parts(folder / "run"), "  - run_0.mcap\n", "  - run_0.mcap\n  - run_00.mcap\n"),
        "1 skipped: part run_00.mcap, which metadata.yaml names and which is not there",
    ),
    "two kinds": Layout(_both_kinds, "other.db3 left out: not of this recording"),
    "last part empty": Layout(
        lambda folder: harm(describe(write_parts(folder / "run"), None), 2, lambda _: b""),
        "run_2.mcap: is empty",
        complete=False,
    ),
    "last part cut": Layout(
        lambda folder: harm(write_parts(folder / "run"), 2, lambda data: data[: len(data) // 3]),
        "cut off",
        complete=False,
    ),
    "middle part of another kind": Layout(
        lambda folder: harm(write_parts(folder / "run"), 1, lambda _: b"no bag at all"),
        "1 skipped: part that can't be read",
        complete=False,
    ),
}
