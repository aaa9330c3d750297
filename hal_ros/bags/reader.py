"""Bags in and out: MCAP files and rosbag2 folders with MCAP or SQLite storage, without a ROS installation."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import zstandard
from mcap.records import Channel, Schema
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.rosbag2.metadata import dump_qos_v8

from hal_ros.bags.mcap_files import McapFile
from hal_ros.bags.messages import schema_text
from hal_ros.bags.writer import METADATA, BagWriter, TopicForm, qos_profile, qos_text
from hal_ros.core.errors import BagError
from hal_ros.outside.reading import MIB, Expected, reading
from hal_ros.outside.yaml_text import read_yaml

METADATA_FILE = Expected(BagError, "metadata of a rosbag2 folder", 4 * MIB)

__all__ = [
    "METADATA",
    "BagMessage",
    "BagNotes",
    "BagWriter",
    "RawMessage",
    "TopicForm",
    "bag_files",
    "qos_profile",
    "qos_text",
    "raw_messages",
    "raw_metadata",
    "raw_topics",
    "read_messages",
    "topic_forms",
    "topic_types",
]


class BagMessage(NamedTuple):
    """One recorded message; receive_ns is when the recorder got it, data its CDR bytes.

    publish_ns is when it was sent, as far as the recorder knew: rosbag2 keeps it in MCAP since Jazzy. None where the
    bag does not say, or has put its own time there.
    """

    topic: str
    type_name: str
    receive_ns: int
    data: bytes
    publish_ns: int | None = None


@dataclass
class BagNotes:
    """What reading a bag came upon: messages skipped by reason, and whether the file's end is missing."""

    skipped: Counter[str] = field(default_factory=Counter)
    cut_off: bool = False

    def __str__(self) -> str:
        """Return one line, or '' when there is nothing to tell."""
        parts = ["cut off: read up to the cut; `hal recover` finishes it"] if self.cut_off else []
        parts += [f"{count} skipped: {reason}" for reason, count in sorted(self.skipped.items()) if count]
        return "; ".join(parts)


def read_messages(
    path: Path, topics: Collection[str] | None = None, notes: BagNotes | None = None
) -> Iterator[BagMessage]:
    """Yield a bag's messages in receive order; of a cut-off MCAP file those before the cut.

    `path` is an .mcap or .db3 file or a rosbag2 folder; `topics` limits what is read. Messages that are not CDR or name
    no type are skipped and counted in `notes`. Raises BagError in one line when the bag can't be read at all.
    """
    notes = BagNotes() if notes is None else notes
    for storage in _storages(path):
        read = _read_mcap if storage.suffix == ".mcap" else _read_with_rosbags
        for message in read(storage, notes):
            if topics is None or message.topic in topics:
                yield message


def topic_types(path: Path) -> dict[str, str]:
    """Return the message type of each topic of a bag. Raises BagError as read_messages does."""
    types: dict[str, str] = {}
    for storage in _storages(path):
        if storage.suffix == ".mcap":
            with McapFile(storage) as file:
                channels = file.channels.values()
                types.update({c.topic: file.schemas[c.schema_id].name for c in channels if c.schema_id in file.schemas})
        else:
            with _open_with_rosbags(storage) as reader:
                types.update({connection.topic: connection.msgtype for connection in reader.connections})
    return types


# --- as it is written, for whoever writes it again -------------------------------------------------------------------


class RawMessage(NamedTuple):
    """One message of any encoding. SQLite storage keeps no time of publishing and no sequence number: None."""

    topic: str
    type_name: str  # '' where the bag names none
    data: bytes
    receive_ns: int
    publish_ns: int | None
    sequence: int | None


def raw_topics(path: Path) -> dict[str, TopicForm]:
    """Return how a bag writes down each of its topics, also those without messages. Raises as read_messages does."""
    forms: dict[str, TopicForm] = {}
    for topic, form in topic_forms(path):
        forms.setdefault(topic, form)
    return forms


def topic_forms(path: Path) -> Iterator[tuple[str, TopicForm]]:
    """Yield each topic with all forms in which a bag writes it down. Raises as read_messages does."""
    for storage in _storages(path):
        if storage.suffix == ".mcap":
            with McapFile(storage) as file:
                for channel in file.channels.values():
                    yield channel.topic, _form_in_mcap(channel, file.schemas.get(channel.schema_id))
        else:
            with _open_with_rosbags(storage) as reader:
                for connection in reader.connections:
                    yield connection.topic, _form_in_rosbags(connection)


def raw_messages(path: Path, notes: BagNotes) -> Iterator[RawMessage]:
    """Yield all messages of a bag in receive order; `notes` and errors as in read_messages, attachments counted."""
    for storage in _storages(path):
        if storage.suffix != ".mcap":
            for topic, type_name, receive_ns, data, _ in _read_with_rosbags(storage, notes):
                yield RawMessage(topic, type_name, data, receive_ns, None, None)
            continue
        with McapFile(storage) as file:
            notes.cut_off |= file.cut_off
            for schema, channel, message in file.messages():
                type_name = "" if schema is None else schema.name
                times = message.log_time, message.publish_time
                yield RawMessage(channel.topic, type_name, message.data, *times, message.sequence)
            notes.skipped.update({"damaged chunk": file.damaged, "attachment": file.attachments})


def raw_metadata(path: Path) -> dict[str, dict[str, str]]:
    """Return the metadata records of a bag's MCAP files by name; without rosbag2's own, which repeats metadata.yaml."""
    records: dict[str, dict[str, str]] = {}
    for storage in _storages(path):
        if storage.suffix == ".mcap":
            with McapFile(storage) as file:
                records.update({record.name: record.metadata for record in file.metadata if record.name != "rosbag2"})
    return records


def _form_in_mcap(channel: Channel, schema: Schema | None) -> TopicForm:
    written = ("", "", b"") if schema is None else (schema.name, schema.encoding, schema.data)
    return TopicForm(written[0], channel.message_encoding, *written[1:], channel.metadata)


def _form_in_rosbags(connection: Any) -> TopicForm:
    """A type that neither the bag nor we know the definition of keeps its name alone, as rosbag2 does it."""
    encoding, text = _SCHEMA_ENCODINGS.get(connection.msgdef.format.name, ""), connection.msgdef.data
    if not encoding:
        with suppress(BagError):
            encoding, text = "ros2msg", schema_text(connection.msgtype)
    metadata = {"offered_qos_profiles": dump_qos_v8(connection.ext.offered_qos_profiles)}
    return TopicForm(connection.msgtype, connection.ext.serialization_format, encoding, text.encode(), metadata)


_SCHEMA_ENCODINGS = {"MSG": "ros2msg", "IDL": "ros2idl"}


# --- files -----------------------------------------------------------------------------------------------------------


def _storages(path: Path) -> list[Path]:
    """Return what has to be read, one after the other: MCAP files, or what the rosbags library reads."""
    if not path.exists():
        raise BagError(f"{path}: does not exist; expected an .mcap or .db3 file or a rosbag2 folder")
    if not path.is_dir():
        if path.suffix not in (".mcap", ".db3"):
            raise BagError(f"{path}: is no bag; expected an .mcap or .db3 file or a rosbag2 folder")
        return [path]
    if (path / METADATA).exists():
        return _named_storages(path)
    files = sorted(path.glob("*.mcap"), key=_by_number) or sorted(path.glob("*.db3"), key=_by_number)
    if not files:
        raise BagError(f"{path}: holds neither {METADATA} nor an .mcap or .db3 file; expected a rosbag2 folder")
    return files


def _by_number(file: Path) -> tuple[str, int]:
    """Order the parts of a recording as they were written: run_2 comes before run_10."""
    name, number = re.fullmatch(r"(.*?)(\d*)", file.stem, re.DOTALL).groups()  # type: ignore[union-attr]  # always fits
    return name, int(number or -1)


def bag_files(path: Path) -> list[Path]:
    """Return the storage files of a bag, compressed ones too, without looking into them. Raises as read_messages."""
    return _named_files(path)[0] if (path / METADATA).exists() else _storages(path)


def _named_storages(folder: Path) -> list[Path]:
    """Return the MCAP files that metadata.yaml names; a folder of any other kind as a whole."""
    files, plain = _named_files(folder)
    return files if plain else [folder]


def _named_files(folder: Path) -> tuple[list[Path], bool]:
    """Return the files that metadata.yaml names, and whether they are plain MCAP."""
    path = folder / METADATA
    content = read_yaml(path, METADATA_FILE, by_people=False)
    with reading(path, METADATA_FILE):
        information = content["rosbag2_bagfile_information"]
        files = [folder / Path(name).name for name in information["relative_file_paths"]]
        plain = information["storage_identifier"] == "mcap" and not information.get("compression_mode")
        return files, bool(plain)


def _read_mcap(path: Path, notes: BagNotes) -> Iterator[BagMessage]:
    with McapFile(path) as file:
        notes.cut_off |= file.cut_off
        for schema, channel, message in file.messages():
            if schema is None or channel.message_encoding != "cdr":
                notes.skipped[f"{channel.topic} is not CDR of a named type"] += 1
                continue
            sent_ns = message.publish_time if message.publish_time not in (0, message.log_time) else None
            yield BagMessage(channel.topic, schema.name, message.log_time, message.data, sent_ns)
        if file.damaged:
            notes.skipped["damaged chunk"] += file.damaged


def _read_with_rosbags(path: Path, notes: BagNotes) -> Iterator[BagMessage]:
    with _open_with_rosbags(path) as reader:
        packed = reader.compression_mode == "message"
        if packed:  # rosbags would stop at the first message that it can't unpack: let it hand over all as they are
            reader.storage.metadata = reader.storage.metadata._replace(compression_mode=None)
        try:
            for connection, receive_ns, data in reader.messages():
                if not _is_row(receive_ns, data):
                    notes.skipped["row without time or bytes"] += 1
                    continue
                plain = _unpacked(data) if packed else bytes(data)
                if plain is None:
                    notes.skipped["message that can't be decompressed"] += 1
                    continue
                yield BagMessage(connection.topic, connection.msgtype, receive_ns, plain)
        except (ReaderError, apsw.Error) as error:
            notes.skipped[f"the rest of the bag ({_one_line(error)})"] += 1


def _is_row(receive_ns: object, data: object) -> bool:
    """Whether a row is a message; a column of SQLite may hold anything, and MCAP no time before 1970."""
    return isinstance(receive_ns, int) and receive_ns >= 0 and isinstance(data, bytes | memoryview)


def _unpacked(data: bytes) -> bytes | None:
    unpacking = zstandard.ZstdDecompressor().decompressobj()
    try:
        plain = unpacking.decompress(data)
    except zstandard.ZstdError:
        return None
    return plain if unpacking.eof else None


_ROSBAGS_ZSTD: Any = getattr(importlib.import_module("rosbags.rosbag2.reader"), "zstd", zstandard)
"""What rosbags unpacks files with: of the standard library, its backport or, in older versions, zstandard."""
_UNREADABLE = (
    ReaderError,
    OSError,
    EOFError,
    apsw.Error,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    AssertionError,
    _ROSBAGS_ZSTD.ZstdError,
)


def _open_with_rosbags(path: Path) -> Any:
    """Open what only the rosbags library reads: SQLite storage and file- or message-wise compression."""
    try:
        reader = Reader(path)
        reader.open()
    except _UNREADABLE as error:
        raise BagError(f"{path}: can't be read as a bag ({_one_line(error)})") from error
    return _Closing(reader)


class _Closing:
    """Hands an open reader to a `with` block; Reader's own __enter__ would open it a second time."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __enter__(self) -> Reader:
        return self._reader

    def __exit__(self, *_: object) -> None:
        self._reader.close()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
