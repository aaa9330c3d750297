"""What any storage gives: messages as they lie there, attachments, and what was lost on the way."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, Protocol

from mcap.records import Attachment, Metadata

DAMAGED_CHUNK = "damaged chunk"
ROW = "row without time or bytes"


class TopicForm(NamedTuple):
    """How a bag writes a topic down, whatever its encodings are; type_name and schema are empty where it has none."""

    type_name: str
    encoding: str  # of the messages, "cdr" in ROS 2
    schema_encoding: str
    schema: bytes
    metadata: Mapping[str, str]  # of the channel: rosbag2 keeps `offered_qos_profiles` there


class RawMessage(NamedTuple):
    """One message of any encoding. SQLite storage keeps no time of publishing and no sequence number: None."""

    topic: str
    type_name: str  # '' where the bag names none
    data: bytes
    receive_ns: int
    publish_ns: int | None
    sequence: int | None
    form: TopicForm | None = None  # None: as its topic was announced


class Storage(Protocol):
    """One file of a bag, open for reading.

    `faults` counts by reason what could not be read, `counts` the messages of each topic: both are complete when all
    messages were asked for. `remarks` are lines on what is odd and cost nothing.
    """

    cut_off: bool
    faults: dict[str, int]
    counts: dict[str, int]
    remarks: list[str]

    def topics(self) -> Iterator[tuple[str, TopicForm]]:
        """Yield each topic with each form in which it is written down."""

    def raw(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """Yield all readable messages, or those of some topics, by the time of their receipt."""

    def attachments(self) -> Iterator[Attachment]:
        """Yield files that were attached, in their order."""

    @property
    def metadata(self) -> list[Metadata]:
        """Metadata records, in their order."""

    def close(self) -> None:
        """Close the file."""
