"""Reading MCAP files, finished or cut off, in the order of their log times and with bounded memory.

The `mcap` library reads a cut-off file only in file order or by loading all of it. Here the records are walked once by
their lengths, which needs no index and ends where the file does; the messages of the chunks found are then merged.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Channel, Chunk, McapRecord, Message, Metadata, Schema
from mcap.stream_reader import breakup_chunk

from hal_ros.core.errors import BagError

MAGIC = b"\x89MCAP0\r\n"
RECORD_HEAD = struct.Struct("<BQ")  # opcode, length
FOOTER_HEAD = RECORD_HEAD.pack(Opcode.FOOTER, 20)
TAIL_BYTES = len(FOOTER_HEAD) + 20 + len(MAGIC)
DAMAGE = (McapError, ValueError, RuntimeError, struct.error, zstandard.ZstdError)  # what decoding a bad record raises


class Entry(NamedTuple):
    """Where a chunk, or a message outside any chunk, lies in the file. Sorts by time, then by place."""

    log_ns: int  # of the (first) message
    offset: int  # of the record's content
    length: int
    is_chunk: bool


class ChannelMessage(NamedTuple):
    """One message with the channel it came on; schema is None where the channel names none."""

    schema: Schema | None
    channel: Channel
    message: Message


class McapFile:
    """An MCAP file, open for reading. `cut_off` says that its end is missing, `damaged` counts unreadable chunks.

    Attachments are counted, no more.

    Raises BagError when the file can't be opened, is empty or is no MCAP file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        self.channels: dict[int, Channel] = {}
        self.schemas: dict[int, Schema] = {}
        self.metadata: list[Metadata] = []
        self.attachments = 0
        self._entries: list[Entry] = []
        try:
            self._stream: BinaryIO = path.open("rb")
        except OSError as error:
            raise BagError(f"{path}: can't be read ({error.strerror}); expected an MCAP file") from error
        try:
            self._check_magic()
            self.cut_off = not self._has_footer()
            self._walk()
            self._find_channels()
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> McapFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def messages(self) -> Iterator[ChannelMessage]:
        """Yield all readable messages by log time; of equal times in file order."""
        heap: list[tuple[int, int, int, Entry | Message]] = [(e.log_ns, e.offset, -1, e) for e in self._entries]
        heapq.heapify(heap)
        while heap:
            *_, item = heapq.heappop(heap)
            if isinstance(item, Entry):
                for index, message in enumerate(self._load(item)):
                    heapq.heappush(heap, (message.log_time, item.offset, index, message))
            elif (channel := self.channels.get(item.channel_id)) is not None:
                yield ChannelMessage(self.schemas.get(channel.schema_id), channel, item)

    def _check_magic(self) -> None:
        magic = self._stream.read(len(MAGIC))
        if not magic:
            raise BagError(f"{self.path}: is empty; expected an MCAP file")
        if magic != MAGIC:
            raise BagError(f"{self.path}: starts with {magic!r}; expected an MCAP file")

    def _has_footer(self) -> bool:
        size = self._stream.seek(0, 2)
        self._stream.seek(max(0, size - TAIL_BYTES))
        tail = self._stream.read(TAIL_BYTES)
        return tail.startswith(FOOTER_HEAD) and tail.endswith(MAGIC)

    def _walk(self) -> None:
        """Find chunks, messages, channels and metadata by the records' lengths, to the end of data or of the file."""
        size = self._stream.seek(0, 2)
        offset = len(MAGIC)
        while offset + RECORD_HEAD.size <= size:
            self._stream.seek(offset)
            opcode, length = RECORD_HEAD.unpack(self._stream.read(RECORD_HEAD.size))
            offset += RECORD_HEAD.size
            if opcode == Opcode.DATA_END or offset + length > size:
                return
            try:
                self._note(opcode, offset, length)
            except DAMAGE:
                self.damaged += 1
            offset += length

    def _note(self, opcode: int, offset: int, length: int) -> None:
        """Keep what matters of the record at the stream's position."""
        if opcode == Opcode.CHUNK:
            (log_ns,) = struct.unpack("<Q", self._stream.read(8))
            self._entries.append(Entry(log_ns, offset, length, is_chunk=True))
        elif opcode == Opcode.MESSAGE:
            (log_ns,) = struct.unpack("<6xQ", self._stream.read(14))  # after channel id and sequence
            self._entries.append(Entry(log_ns, offset, length, is_chunk=False))
        elif opcode == Opcode.SCHEMA:
            self._keep(Schema.read(self._content(offset, length)))
        elif opcode == Opcode.CHANNEL:
            self._keep(Channel.read(self._content(offset, length)))
        elif opcode == Opcode.METADATA:
            self.metadata.append(Metadata.read(self._content(offset, length)))
        elif opcode == Opcode.ATTACHMENT:
            self.attachments += 1

    def _find_channels(self) -> None:
        """Take channels and schemas from the summary; without one, from every chunk."""
        summary = None
        if not self.cut_off:
            try:
                self._stream.seek(0)
                summary = SeekingReader(self._stream).get_summary()
            except DAMAGE:
                self.cut_off = True
        if summary is not None and summary.channels:
            self.schemas.update(summary.schemas)
            self.channels.update(summary.channels)
            return
        damaged = self.damaged
        for entry in self._entries:
            if entry.is_chunk:
                self._load(entry)
        self.damaged = damaged  # counted when the messages are read

    def _load(self, entry: Entry) -> list[Message]:
        """Read the messages of one entry, noting the channels beside them; a damaged chunk is counted and is empty."""
        try:
            content = self._content(entry.offset, entry.length)
            if not entry.is_chunk:
                return [Message.read(content, entry.length)]
            records = breakup_chunk(Chunk.read(content), validate_crc=True)
        except DAMAGE:
            self.damaged += 1
            return []
        for record in records:
            self._keep(record)
        return [record for record in records if isinstance(record, Message)]

    def _keep(self, record: McapRecord) -> None:
        if isinstance(record, Schema):
            self.schemas[record.id] = record
        elif isinstance(record, Channel):
            self.channels[record.id] = record

    def _content(self, offset: int, length: int) -> ReadDataStream:
        self._stream.seek(offset)
        return ReadDataStream(BytesIO(self._stream.read(length)))
