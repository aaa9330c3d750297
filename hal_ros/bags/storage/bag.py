"""A whole bag: its files one after the other, each message as it was written, and what was lost on the way.

What the files hold is read, whatever metadata.yaml and summaries say of it; what can't be read is counted by reason,
and one bad part hides no good one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import zstandard
from mcap.records import Attachment, Metadata

from hal_ros.bags.mcap_files import McapFile
from hal_ros.bags.storage.parts import BagParts, OpenPart, bag_parts, missing, open_part, uncounted
from hal_ros.bags.storage.sqlite_files import SqliteFile
from hal_ros.bags.storage.stored import RawMessage, TopicForm
from hal_ros.bags.storage.unpack import MOST_MESSAGE_BYTES, ZSTD_MAGIC, TooLargeError, unpack
from hal_ros.bags.writer import METADATA
from hal_ros.core.errors import BagError

CDR = "cdr"
T = TypeVar("T")
Attach = Callable[[Attachment], None]


@dataclass
class BagNotes:
    """What reading a bag came upon: what was skipped, by reason, whether an end is missing, and what is odd in it."""

    skipped: Counter[str] = field(default_factory=Counter)
    cut_off: bool = False
    remarks: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return one line, or '' when there is nothing to tell."""
        parts = ["cut off: read up to the cut; `hal recover` finishes it"] if self.cut_off else []
        parts += [f"{count} skipped: {reason}" for reason, count in sorted(self.skipped.items()) if count]
        return "; ".join([*parts, *self.remarks])


def raw_topics(path: Path) -> dict[str, TopicForm]:
    """Return how a bag writes down each of its topics, also those without messages. Raises as read_messages does."""
    forms: dict[str, TopicForm] = {}
    for topic, form in topic_forms(path):
        forms.setdefault(topic, form)
    return forms


def topic_forms(path: Path) -> Iterator[tuple[str, TopicForm]]:
    """Yield each topic with all forms in which a bag writes it down. Raises as read_messages does."""
    for described in _described_files(path):
        yield from described.topics


def raw_messages(
    path: Path, notes: BagNotes, topics: Collection[str] | None = None, attach: Attach | None = None
) -> Iterator[RawMessage]:
    """Yield all messages of a bag in receive order; `notes` and errors as in read_messages.

    What was packed message by message comes unpacked. `attach` is called with each attachment of a file before its
    messages come. At the end `notes` says all that is known of what was not read.
    """
    parts, counts = bag_parts(path), Counter[str]()
    for storage in _storages(parts, notes):
        if attach is not None:
            for attachment in storage.attachments():
                attach(attachment)
        for message in storage.raw(topics):
            if not parts.packed and not message.data.startswith(ZSTD_MAGIC):
                yield message
            elif (plain := _unpacked(message, parts.packed, notes)) is not None:
                yield message._replace(data=plain)
        counts.update(storage.counts)
        notes.skipped.update(storage.faults)
        notes.cut_off |= storage.cut_off
    if parts.counts is not None:
        notes.skipped.update(missing(parts.counts, counts))
        notes.remarks += uncounted(parts.counts, counts)


def raw_metadata(path: Path) -> dict[str, dict[str, str]]:
    """Return the metadata records of a bag's MCAP files by name; without rosbag2's own, which repeats metadata.yaml."""
    return {record.name: record.metadata for record in metadata_records(path)}


def metadata_records(path: Path) -> list[Metadata]:
    """Return all metadata records of a bag's MCAP files but rosbag2's own, each once."""
    records: list[Metadata] = []
    for described in _described_files(path):
        records += [one for one in described.records if one.name != "rosbag2" and one not in records]
    return records


def profile_of(path: Path) -> str:
    """Return what a bag says that its messages are of, "ros2" where it does not."""
    return next((one.profile for one in _described_files(path) if one.profile), "ros2")


class _Described(NamedTuple):
    """What a file says of its messages."""

    topics: tuple[tuple[str, TopicForm], ...]
    records: tuple[Metadata, ...]
    profile: str


def _described_files(path: Path) -> Iterator[_Described]:
    """Yield what each readable file of a bag says; a file that did not change is looked into once."""
    files = bag_parts(path).files
    refused: list[BagError] = []
    for file in files:
        described = _tried(partial(_describe, file, _fingerprint(file)), refused)
        if described is not None:
            yield described
    if len(refused) == len(files):
        raise refused[0]


@lru_cache(64)
def _describe(file: Path, _: tuple[int, ...]) -> _Described:
    with open_part(file) as storage:
        return _Described(tuple(storage.topics()), tuple(storage.metadata), storage.profile)


def _fingerprint(file: Path) -> tuple[int, ...]:
    """Return what changes when a file does, or its log of SQLite beside it."""
    found = [one for one in (file, file.with_name(file.name + "-wal")) if one.exists()]
    states = [one.stat() for one in found]
    return tuple(number for state in states for number in (state.st_ino, state.st_size, state.st_mtime_ns))


def _storages(parts: BagParts, notes: BagNotes) -> Iterator[McapFile | SqliteFile]:
    """Yield the files of a bag, each open while it is looked at; a part that can't be read is counted.

    Raises BagError where none can be read.
    """
    refused: list[BagError] = []
    notes.skipped.update(f"part {name}, which {METADATA} names and which is not there" for name in parts.lost)
    notes.remarks += [remark for remark in parts.remarks if remark not in notes.remarks]
    for file in parts.files:
        part: OpenPart | None = _tried(partial(open_part, file), refused)
        if part is None:
            continue
        with part as storage:
            yield storage
            named = f"{file.name}: " if len(parts.files) > 1 else ""
            notes.remarks += [named + remark for remark in storage.remarks]
            notes.cut_off |= not part.whole
    if len(refused) == len(parts.files):
        raise refused[0]
    notes.skipped.update(f"part that can't be read ({error})" for error in refused)


def _tried(action: Callable[[], T], refused: list[BagError]) -> T | None:
    """Return what an action does; None, and its error kept, where it refuses."""
    try:
        return action()
    except BagError as error:
        refused.append(error)
        return None


def is_complete(path: Path) -> bool:
    """Whether nothing of a bag has to be told, after a look at all of it; raises BagError where nothing can be read."""
    notes, parts = BagNotes(), bag_parts(path)
    if path.is_dir() and not (path / METADATA).exists():
        return False
    for storage in _storages(parts, notes):
        if storage.cut_off or storage.faults or storage.remarks:
            return False
    if str(notes):
        return False
    for _ in raw_messages(path, notes, attach=lambda _: None):
        pass
    return not str(notes)


def _unpacked(message: RawMessage, told: bool, notes: BagNotes) -> bytes | None:
    """Return the bytes of a message that was packed for itself; None, and counted, where that can't be undone.

    No CDR begins as zstd does. Where metadata.yaml says that all are packed, one that begins as CDR does is not.
    """
    if not message.data.startswith(ZSTD_MAGIC) and (not told or message.data[:1] == b"\0"):
        return message.data
    if not told and message.form is not None and message.form.encoding != CDR:
        return message.data
    try:
        return unpack(message.data, "zstd", MOST_MESSAGE_BYTES)
    except TooLargeError as error:
        notes.skipped[f"message that {error}"] += 1
    except (zstandard.ZstdError, ValueError):
        notes.skipped["message that can't be decompressed"] += 1
    return None
