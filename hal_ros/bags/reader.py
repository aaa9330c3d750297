"""Bags in and out: MCAP files and rosbag2 folders with MCAP or SQLite storage, without a ROS installation."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from hal_ros.bags.storage.bag import CDR, BagNotes, raw_messages, raw_metadata, raw_topics, topic_forms
from hal_ros.bags.storage.parts import CONVERT, bag_files
from hal_ros.bags.storage.stored import RawMessage, TopicForm
from hal_ros.bags.writer import METADATA, BagWriter, qos_profile, qos_text
from hal_ros.core.errors import BagError

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

ROS1 = "ros1"


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


def read_messages(
    path: Path, topics: Collection[str] | None = None, notes: BagNotes | None = None
) -> Iterator[BagMessage]:
    """Yield a bag's messages in receive order; of a cut-off MCAP file those before the cut.

    `path` is an .mcap or .db3 file or a rosbag2 folder; `topics` limits what is read. Messages that are not CDR or name
    no type are skipped and counted in `notes`, as is all that can't be read. Raises BagError in one line when the bag
    can't be read at all, or is of ROS 1.
    """
    notes = BagNotes() if notes is None else notes
    for message in raw_messages(path, notes, topics):
        form = message.form
        if form is not None and form.encoding == ROS1:
            _refuse_ros1(path)
        if form is None or not message.type_name or form.encoding != CDR:
            notes.skipped[f"{message.topic} is not CDR of a named type"] += 1
            continue
        sent_ns = message.publish_ns if message.publish_ns not in (0, message.receive_ns) else None
        yield BagMessage(message.topic, message.type_name, message.receive_ns, message.data, sent_ns)


def topic_types(path: Path) -> dict[str, str]:
    """Return the message type of each topic of a bag that names one. Raises BagError as read_messages does."""
    _refuse_ros1(path)
    types: dict[str, str] = {}
    for topic, form in topic_forms(path):
        types.update({topic: form.type_name} if form.type_name else {})
    return types


def _refuse_ros1(path: Path) -> None:
    """Raise BagError for a bag whose messages are all of ROS 1, and say what helps."""
    encodings = {form.encoding for _, form in topic_forms(path)}
    if encodings == {ROS1}:
        raise BagError(f"{path}: is a bag of ROS 1; {CONVERT.format(path)}")
