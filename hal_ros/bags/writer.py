"""Writing bags: one MCAP file of profile ros2, with rosbag2's metadata.yaml beside it when it lies in a folder."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from mcap.records import Attachment
from mcap.writer import CompressionType, Writer
from rosbags.rosbag2.metadata import dump_qos_v8, parse_qos

from hal_ros.bags.messages import schema_hash, schema_text
from hal_ros.bags.storage.stored import RawMessage, TopicForm
from hal_ros.core.errors import BagError

__all__ = ["METADATA", "BagWriter", "TopicForm", "qos_profile", "qos_text"]

METADATA = "metadata.yaml"
METADATA_VERSION = 8
"""rosbag2's format with quality of service as text: the newest one that Humble's reader understands as well."""
CHUNK_BYTES = 1 << 20
ZSTD = "zstd"
COMPRESSIONS = {ZSTD: CompressionType.ZSTD, "lz4": CompressionType.LZ4, "none": CompressionType.NONE}
"""Of chunks, by the names that users give."""
LIBRARY = "hal_ros"
_MOST_QOS = 1 << 16
"""Characters of a topic's qualities of service: each publisher has some 500 of them."""
ATTACHED = ("create_time", "log_time", "name", "media_type", "data")

INFINITE_NS = 2**63 - 1


def qos_profile(reliability: int = 1, durability: int = 2, depth: int = 10, deadline_ns: int = INFINITE_NS) -> Any:
    """Return one publisher's quality of service as rosbag2 stores it, in the numbers of ROS' middleware interface.

    reliability: 1 reliable, 2 best effort; durability: 1 transient local, 2 volatile; the last `depth` are kept.
    """
    infinite = _duration(INFINITE_NS)
    return {
        "history": 1,  # keep last
        "depth": depth,
        "reliability": reliability,
        "durability": durability,
        "deadline": _duration(deadline_ns),
        "lifespan": infinite,
        "liveliness": 1,  # automatic
        "liveliness_lease_duration": infinite,
        "avoid_ros_namespace_conventions": False,
    }


def qos_text(profiles: Sequence[Any]) -> str:
    """Return the text that rosbag2 keeps of a topic's publishers, as `offered_qos_profiles`."""
    return _yaml(list(profiles)).strip()


def _duration(duration_ns: int) -> dict[str, int]:
    sec, nsec = divmod(duration_ns, 1_000_000_000)
    return {"sec": sec, "nsec": nsec}


def _yaml(content: Any) -> str:
    """Write plain YAML: through JSON, since equal objects would become references that not every reader follows."""
    text: str = yaml.safe_dump(json.loads(json.dumps(content)), sort_keys=False)
    return text


@dataclass
class _Topic:
    channel_id: int
    name: str
    form: TopicForm
    count: int = 0


class BagWriter:
    """Writes one recording; a context manager.

    `path` is the rosbag2 folder to make, holding `<folder>_0.mcap` and metadata.yaml, or one .mcap file alone.
    `metadata` are MCAP metadata records by name. With `flush_s` a chunk goes to the operating system at the first write
    after that much wall time, so that a killed process loses little; without, chunks end by size alone and equal
    messages give equal bytes. Raises BagError when the file exists, or can't be made or written.
    """

    def __init__(
        self,
        path: Path,
        metadata: Mapping[str, Mapping[str, str]] | None = None,
        flush_s: float | None = None,
        profile: str = "ros2",
        compression: str = ZSTD,
    ) -> None:
        self.path = path
        self.folder = None if path.suffix == ".mcap" else path
        self.file = path if self.folder is None else path / f"{path.name}_0.mcap"
        self.topics: dict[str, _Topic] = {}  # of several forms of one topic the first
        self._channels: dict[tuple[str, str], list[_Topic]] = {}  # by topic and type: all forms
        self._schema_ids: dict[tuple[str, str, bytes], int] = {}
        self._first_ns: int | None = None
        self._last_ns = 0
        self._flush_s = flush_s
        self._flushed_at = time.monotonic()
        self._unflushed = False
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            if self.folder is not None and os.path.lexists(self.folder / METADATA):  # another recording's
                raise BagError(f"{self.folder / METADATA}: is there already; expected a new file to write")
            self._stream = self.file.open("xb")
        except OSError as error:
            raise BagError(f"{self.file}: can't be made ({error.strerror}); expected a new file to write") from error
        self._writer = _open_writer(self._stream, compression)
        with self._writing():
            self._writer.start(profile=profile, library=LIBRARY)
            for name, values in (metadata or {}).items():
                self._writer.add_metadata(name, dict(values))
            self._writer.flush()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def add_topic(self, topic: str, type_name: str, qos: str | None = None, schema: str | None = None) -> None:
        """Announce a topic. Raises BagError for a type whose definition is unknown, or a topic of two types."""
        if topic in self.topics:
            before = self.topics[topic].form.type_name
            if before != type_name:
                raise BagError(f"{topic}: is {before} already; {type_name} can't go beside it")
            return
        text = schema_text(type_name) if schema is None else schema
        metadata = {"offered_qos_profiles": qos_text([qos_profile()]) if qos is None else qos}
        self.copy_topic(topic, TopicForm(type_name, "cdr", "ros2msg", text.encode(), metadata))

    def copy_topic(self, topic: str, form: TopicForm) -> None:
        """Announce a topic in the form that another bag gives it; it may have several."""
        self._channel(topic, form)

    def _channel(self, topic: str, form: TopicForm) -> _Topic:
        """Return the channel of a topic's form, made at the first call."""
        known = self._channels.setdefault((topic, form.type_name), [])
        for entry in known:
            if entry.form is form or entry.form == form:
                return entry
        schema = form[0], *form[2:4]
        with self._writing():
            if schema not in self._schema_ids:
                self._schema_ids[schema] = self._writer.register_schema(*schema) if form.type_name else 0
            channel_id = self._writer.register_channel(
                topic, form.encoding, self._schema_ids[schema], dict(form.metadata)
            )
        entry = _Topic(channel_id, topic, form)
        known.append(entry)
        self.topics.setdefault(topic, entry)
        return entry

    def write(
        self,
        topic: str,
        type_name: str,
        data: bytes,
        receive_ns: int,
        publish_ns: int | None = None,
        sequence: int | None = None,
    ) -> None:
        """Write one message, of CDR bytes unless its topic was copied, received at receive_ns (>= 0).

        Without publish_ns that is when it was published, and without a sequence number they count up. Raises BagError
        when the disk refuses it.
        """
        if topic not in self.topics or self.topics[topic].form.type_name != type_name:
            self.add_topic(topic, type_name)
        self._write(self.topics[topic], data, (receive_ns, publish_ns, sequence))

    def copy(self, message: RawMessage) -> None:
        """Write a message of another bag as it is, in its own form if it has one. Raises as `write` does."""
        if message.form is None:
            self.write(*message[:6])
        else:
            self._write(self._channel(message.topic, message.form), message.data, message[3:6])

    def _write(self, entry: _Topic, data: bytes, place: tuple[int, int | None, int | None]) -> None:
        receive_ns, publish_ns, sequence = place
        publish_ns = receive_ns if publish_ns is None else publish_ns
        sequence = entry.count & 0xFFFFFFFF if sequence is None else sequence
        with self._writing():
            self._writer.add_message(entry.channel_id, receive_ns, data, publish_ns, sequence)
        entry.count += 1
        self._first_ns = receive_ns if self._first_ns is None else min(self._first_ns, receive_ns)
        self._last_ns = max(self._last_ns, receive_ns)
        self._unflushed = True
        self.flush_if_due()

    def attach(self, attachment: Attachment) -> None:
        """Attach a file, as another bag has it. Raises BagError when the disk refuses it."""
        with self._writing():
            self._writer.add_attachment(*(getattr(attachment, name) for name in ATTACHED))

    def add_record(self, name: str, values: Mapping[str, str]) -> None:
        """Add a metadata record; one name may stand for several. Raises BagError when the disk refuses it."""
        with self._writing():
            self._writer.add_metadata(name, dict(values))

    def flush_if_due(self) -> None:
        """Hand what was written to the operating system if `flush_s` has passed; call it in quiet times as well."""
        if self._flush_s is None or time.monotonic() - self._flushed_at < self._flush_s:
            return
        if self._unflushed:
            with self._writing():
                self._writer.flush()
        self._unflushed = False
        self._flushed_at = time.monotonic()

    def close(self) -> None:
        """Finish the file and, in a folder, write metadata.yaml. Raises BagError when the disk refuses."""
        if self._stream.closed:
            return
        with self._writing():
            self._writer.finish()
            self._stream.close()
            if self.folder is not None:
                _write_whole(self.folder / METADATA, _yaml(self._information()))

    def abandon(self) -> None:
        """Close without finishing: what has reached the disk stays readable as a cut-off file."""
        try:
            self._stream.close()
        except OSError:
            self._stream.raw.close()  # the buffer can't be written any more: the disk is full

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn the operating system's refusal into a BagError, and abandon the file."""
        try:
            yield
        except (OSError, ValueError) as error:
            self.abandon()
            reason = error.strerror if isinstance(error, OSError) else "it was closed before"
            raise BagError(f"{self.file}: can't be written ({reason}); what is in it stays readable") from error

    def _information(self) -> dict[str, Any]:
        start_ns, topics = self._first_ns or 0, [entry for forms in self._channels.values() for entry in forms]
        times = {
            "duration": {"nanoseconds": max(0, self._last_ns - start_ns)},
            "starting_time": {"nanoseconds_since_epoch": start_ns},
            "message_count": sum(topic.count for topic in topics),
        }
        return {
            "rosbag2_bagfile_information": {
                "version": METADATA_VERSION,
                "storage_identifier": "mcap",
                **times,
                "topics_with_message_count": [_topic_information(topic) for topic in topics],
                "compression_format": "",
                "compression_mode": "",
                "relative_file_paths": [self.file.name],
                "files": [{"path": self.file.name, **times}],
                "custom_data": None,
                "ros_distro": LIBRARY,
            }
        }


def _open_writer(stream: BinaryIO, compression: str) -> Any:
    """Return mcap's writer; as Any, since half of its methods carry no types."""
    return Writer(stream, chunk_size=CHUNK_BYTES, compression=COMPRESSIONS[compression])


def _topic_information(topic: _Topic) -> dict[str, Any]:
    return {
        "topic_metadata": {
            "name": topic.name,
            "type": topic.form.type_name,
            "serialization_format": topic.form.encoding,
            "offered_qos_profiles": _numbered(topic.form.metadata.get("offered_qos_profiles", "")),
            "type_description_hash": schema_hash(topic.form.type_name),
        },
        "message_count": topic.count,
    }


def _numbered(qos: str) -> str:
    """Return qualities of service as METADATA_VERSION has them, in numbers; newer recorders write their names."""
    if len(qos) > _MOST_QOS:
        return ""
    try:
        return qos if "reliability: " not in qos or re.search(r"reliability: \d", qos) else dump_qos_v8(parse_qos(qos))
    except Exception:  # noqa: BLE001  # it is others' text, and rosbags says in many ways that it is none
        return ""  # rosbag2 then takes its usual ones


def _write_whole(path: Path, text: str) -> None:
    """Write a file that is there in full or not at all."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
