"""What an MCAP file says of itself beside its messages: schemas, channels, metadata records and its profile."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Metadata, Schema

from hal_ros.bags.storage.stored import TopicForm


@dataclass
class McapDefinitions:
    """Definitions as far as they were come to; one that is repeated stays the same object."""

    profile: str = ""
    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    metadata: list[Metadata] = field(default_factory=list)
    _written: dict[tuple[int, bytes], bytes] = field(default_factory=dict)  # by opcode and number: as it was last

    def keep(self, opcode: int, content: bytes) -> None:
        """Take the content of a record; raises what mcap's parser raises where it is damaged."""
        if opcode == Opcode.METADATA:
            self.metadata.append(Metadata.read(stream_of(content)))
        elif opcode == Opcode.HEADER:
            self.profile = stream_of(content).read_prefixed_string()
        elif self._written.get((opcode, content[:2])) != content:
            if opcode == Opcode.SCHEMA:
                schema = Schema.read(stream_of(content))
                self.schemas[schema.id] = schema
            else:
                channel = Channel.read(stream_of(content))
                self.channels[channel.id] = channel
            self._written[opcode, content[:2]] = content

    def described(self) -> set[int]:
        """Return the channels whose schema is known, or who have none."""
        return {c.id for c in self.channels.values() if c.schema_id == 0 or c.schema_id in self.schemas}


def stream_of(content: bytes) -> ReadDataStream:
    """Return what mcap's parsers read from."""
    return ReadDataStream(BytesIO(content))


def form_of(channel: Channel, schema: Schema | None) -> TopicForm:
    """Return how a channel is written down."""
    written = ("", "", b"") if schema is None else (schema.name, schema.encoding, schema.data)
    return TopicForm(written[0], channel.message_encoding, *written[1:], channel.metadata)
