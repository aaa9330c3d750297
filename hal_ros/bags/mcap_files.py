"""Reading MCAP files, finished or cut off, in the order of their log times and with bounded memory.

The records are walked once by their lengths, which needs no index and ends where the file does: what the file holds is
believed, and not what its summary says. The messages of the chunks found are then merged by time.
"""

from __future__ import annotations

import heapq
import struct
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple

import zstandard
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Attachment, Channel, Message, Metadata, Schema

from hal_ros.bags.storage.mcap_chunks import (
    MESSAGE_HEAD,
    RECORD_HEAD,
    ChunkCache,
    MessageIndex,
    MessageRun,
    Place,
    index_chunk,
    read_chunk,
)
from hal_ros.bags.storage.mcap_definitions import McapDefinitions, form_of, stream_of
from hal_ros.bags.storage.stored import DAMAGED_CHUNK, RawMessage, TopicForm
from hal_ros.bags.storage.unpack import (
    MOST_ATTACHMENT_BYTES,
    MOST_CHUNK_BYTES,
    MOST_DEFINITION_BYTES,
    MOST_MESSAGE_BYTES,
    TooLargeError,
    in_mebibytes,
)
from hal_ros.core.errors import BagError

MAGIC = b"\x89MCAP0\r\n"
FOOTER_HEAD = RECORD_HEAD.pack(Opcode.FOOTER, 20)
TAIL_BYTES = len(FOOTER_HEAD) + 20 + len(MAGIC)
DAMAGE = (
    *(McapError, ValueError, RuntimeError, OverflowError, MemoryError, EOFError, OSError, struct.error),
    zstandard.ZstdError,
)
"""What decoding a bad record raises."""
MOST_BYTES: dict[int, int] = {
    Opcode.CHUNK: MOST_CHUNK_BYTES,
    Opcode.MESSAGE: MOST_MESSAGE_BYTES + MESSAGE_HEAD.size,
    Opcode.ATTACHMENT: MOST_ATTACHMENT_BYTES,
}
"""By opcode how long a record may be that is read at all."""
LEAST_BYTES: dict[int, int] = {Opcode.CHUNK: 40, Opcode.MESSAGE: MESSAGE_HEAD.size, Opcode.MESSAGE_INDEX: 6}
"""By opcode how long it has to be."""


class ChannelMessage(NamedTuple):
    """One message with the channel it came on; schema is None where the channel names none."""

    schema: Schema | None
    channel: Channel
    message: Message


class McapFile:
    """An MCAP file, open for reading: a `storage.stored.Storage`, and its schemas and channels.

    `cut_off` says that its end is missing; `faults` counts what can't be read, as far as it was come to.
    Raises BagError when the file can't be opened, is empty or is no MCAP file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._told = McapDefinitions()
        self.faults: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.remarks: list[str] = []
        self._attachments: list[Place] = []
        self._chunks: list[Place] = []
        self._loose = MessageIndex()  # messages outside chunks
        self._indexed: set[int] = set()  # channels that the messages' indices name
        self._with_index: set[int] = set()  # chunks behind which such an index lies
        self._bad_chunks: set[int] = set()
        self._cache = ChunkCache(lambda place: read_chunk(self._read(place)))
        try:
            self._stream: BinaryIO = path.open("rb")
        except OSError as error:
            raise BagError(f"{path}: can't be read ({error.strerror}); expected an MCAP file") from error
        try:
            self._check_magic()
            self.cut_off = not self._has_footer()
            self._walk()
            self._find_channels()
        except OSError as error:
            self._stream.close()
            raise BagError(f"{path}: can't be read ({error.strerror})") from error
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

    @property
    def damaged(self) -> int:
        """How many chunks and other records could not be read so far."""
        return sum(self.faults.values())

    @property
    def channels(self) -> dict[int, Channel]:
        """Channels by number, as far as they were come to."""
        return self._told.channels

    @property
    def schemas(self) -> dict[int, Schema]:
        """Schemas by number, likewise."""
        return self._told.schemas

    @property
    def metadata(self) -> list[Metadata]:
        """Metadata records, in their order."""
        return self._told.metadata

    @property
    def profile(self) -> str:
        """What the file says its messages are of: "ros2", "ros1", or nothing."""
        return self._told.profile

    def topics(self) -> Iterator[tuple[str, TopicForm]]:
        """Yield each channel's topic and how it is written down."""
        for channel in list(self.channels.values()):
            yield channel.topic, form_of(channel, self.schemas.get(channel.schema_id))

    def attachments(self) -> Iterator[Attachment]:
        """Yield the files that are attached; one that can't be read is counted."""
        for place in self._attachments:
            try:
                content = self._read(place)
                (checksum,) = struct.unpack_from("<I", content, place.length - 4)
                if checksum not in (0, zlib.crc32(content[:-4])):
                    raise ValueError("an attachment is not as it was written")
                attachment = Attachment.read(stream_of(content))
            except DAMAGE:
                self.faults["attachment that can't be read"] += 1
                continue
            yield attachment

    def raw(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """Yield all readable messages, or those of some topics, by log time; of equal times in file order."""
        forms: dict[int, tuple[Channel, Schema | None, TopicForm]] = {}
        for schema, channel, message in self.messages(topics):
            known = forms.get(channel.id)
            if known is None or known[0] is not channel or known[1] is not schema:
                known = forms[channel.id] = channel, schema, form_of(channel, schema)
            yield RawMessage(
                channel.topic,
                known[2].type_name,
                message.data,
                message.log_time,
                message.publish_time,
                message.sequence,
                known[2],
            )

    def messages(self, topics: Collection[str] | None = None) -> Iterator[ChannelMessage]:
        """Do as `raw` does, with the channel and the schema of each message."""
        self.counts.clear()
        heap: list[tuple[tuple[int, int], Place | MessageRun]] = [((p.log_ns, p.offset), p) for p in self._chunks]
        if len(self._loose.starts):
            run = MessageRun(self._loose, None)
            heap.append((run.key, run))
        heapq.heapify(heap)  # no two keys are equal: places differ
        while heap:
            _, item = heapq.heappop(heap)
            if isinstance(item, MessageRun):
                yield from self._due(item, heap[0][0] if heap else None, topics)
            else:
                item = MessageRun(self._open_chunk(item), item)
            if len(item):
                heapq.heappush(heap, (item.key, item))
            elif item.place is not None:
                self._cache.drop(item.place)

    def _due(
        self, run: MessageRun, last: tuple[int, int] | None, topics: Collection[str] | None
    ) -> Iterator[ChannelMessage]:
        """Yield the messages of a run that come before `last`."""
        try:
            content = b"" if run.place is None else self._cache.get(run.place)
        except DAMAGE:  # it was readable a moment ago
            self.faults[DAMAGED_CHUNK] += 1
            run.drop()
            return
        for start, end in run.until(last):
            if run.place is None:
                content, start, end = self._read(Place(0, start, end - start)), 0, end - start
                if len(content) < end:
                    self.faults["message that can't be read"] += 1  # the file became shorter
                    continue
            channel_id, sequence, log_ns, publish_ns = MESSAGE_HEAD.unpack_from(content, start)
            channel = self.channels.get(channel_id)
            if channel is None:
                self.faults["message of a channel that is not described"] += 1
                continue
            self.counts[channel.topic] += 1
            if topics is None or channel.topic in topics:
                data = content[start + MESSAGE_HEAD.size : end]
                message = Message(channel_id, log_ns, data, publish_ns, sequence)
                yield ChannelMessage(self.schemas.get(channel.schema_id), channel, message)

    # --- finding records ----------------------------------------------------------------------------------------------

    def _check_magic(self) -> None:
        magic = self._stream.read(len(MAGIC))
        if not magic:
            raise BagError(f"{self.path}: is empty; expected an MCAP file")
        if magic != MAGIC:
            raise BagError(f"{self.path}: starts with {magic!r}; expected an MCAP file")

    def _has_footer(self) -> bool:
        size = self._stream.seek(0, 2)
        self._stream.seek(max(0, size - TAIL_BYTES))
        self._tail = self._stream.read(TAIL_BYTES)
        return self._tail.startswith(FOOTER_HEAD) and self._tail.endswith(MAGIC)

    def _walk(self) -> None:
        """Find all records by their lengths; where a length can't be, go on at the next chunk that the summary names.

        The summary holds schemas and channels again, in the same form; the rest of it is passed by.
        """
        size = self._stream.seek(0, 2)
        end = size if self.cut_off else size - TAIL_BYTES
        at = self._walk_from(len(MAGIC), end)
        while at < end and not self.cut_off:
            self.faults["damaged part of the file"] += 1
            onward = next((place for place in self._summarised_places if place > at), None)
            if onward is None:
                self.cut_off = True
                return
            at = self._walk_from(onward, end)

    def _walk_from(self, at: int, end: int) -> int:
        """Note records from a place on; returns where the next one would begin, `end` where all is in order."""
        stream, head_bytes = self._stream, RECORD_HEAD.size
        while at + head_bytes <= end:
            stream.seek(at)
            opcode, length = RECORD_HEAD.unpack(stream.read(head_bytes))
            if opcode == 0 or at + head_bytes + length > end:
                return at
            at += head_bytes
            try:
                self._note(opcode, Place(0, at, length))
            except DAMAGE:
                self.faults["damaged record"] += 1
            at += length
        return at

    @cached_property
    def _summarised_places(self) -> list[int]:
        """Where chunks begin, by the summary, and the summary itself, as far as it can be read."""
        (start,), end = struct.unpack_from("<Q", self._tail, len(FOOTER_HEAD)), self._stream.seek(0, 2) - TAIL_BYTES
        if not 0 < start < end or end - start > MOST_CHUNK_BYTES:
            return []
        content, at, places = self._read(Place(0, start, end - start)), 0, [start]
        while at + RECORD_HEAD.size <= len(content):
            opcode, length = RECORD_HEAD.unpack_from(content, at)
            at += RECORD_HEAD.size
            if opcode == Opcode.CHUNK_INDEX and at + 24 <= len(content):
                places += struct.unpack_from("<Q", content, at + 16)
            at += length
        return sorted(places)

    def _note(self, opcode: int, place: Place) -> None:
        """Keep what matters of the record whose content is at the stream's position."""
        if place.length > MOST_BYTES.get(opcode, place.length):
            self.faults[f"{Opcode(opcode).name.lower()} of more than {in_mebibytes(MOST_BYTES[opcode])}"] += 1
        elif place.length < LEAST_BYTES.get(opcode, 0):
            raise ValueError("a record is shorter than its head")
        elif opcode == Opcode.CHUNK:
            (log_ns,) = struct.unpack("<Q", self._stream.read(8))
            self._chunks.append(place._replace(log_ns=log_ns))
        elif opcode == Opcode.MESSAGE:
            _, _, log_ns, _ = MESSAGE_HEAD.unpack(self._stream.read(MESSAGE_HEAD.size))
            self._loose.add(log_ns, place.offset, place.offset + place.length)
        elif opcode == Opcode.MESSAGE_INDEX and self._chunks:
            channel_id, length = struct.unpack("<HI", self._stream.read(6))
            self._indexed |= {channel_id} if length else set()
            self._with_index.add(self._chunks[-1].offset)
        elif opcode == Opcode.ATTACHMENT:
            self._attachments.append(place)
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.METADATA, Opcode.HEADER):
            self._told.keep(opcode, self._definition(place))

    def _find_channels(self) -> None:
        """Look into chunks until the channels of all messages are known: a summary may leave out any of them."""
        described = self._told.described()
        complete = not self.cut_off and bool(described) and len(described) == len(self.channels)
        indexed = len(self._with_index) == len(self._chunks)
        for place in self._chunks:
            if complete and not self._with_index:
                return  # without indices the summary is all that tells
            if described and indexed and self._indexed <= described:
                return
            if not self.cut_off and place is self._chunks[0] and any(struct.unpack_from("<Q", self._tail, 9)):
                self.remarks.append("the summary lacks schemas or channels; they were taken from the chunks")
            self._open_chunk(place, quietly=True)
            described = self._told.described()

    # --- reading records ----------------------------------------------------------------------------------------------

    def _open_chunk(self, place: Place, quietly: bool = False) -> MessageIndex:
        """Return where the messages of a chunk lie, and keep the channels beside them; none where it is damaged."""
        try:
            return index_chunk(self._cache.get(place), self._told.keep)
        except TooLargeError as error:
            reason = f"chunk that {error}"
        except DAMAGE:
            reason = DAMAGED_CHUNK
        if not quietly and place.offset not in self._bad_chunks:
            self._bad_chunks.add(place.offset)
            self.faults[reason] += 1
        return MessageIndex()

    def _definition(self, place: Place) -> bytes:
        if place.length > MOST_DEFINITION_BYTES:
            raise TooLargeError("a definition is too large")
        return self._read(place)

    def _read(self, place: Place) -> bytes:
        self._stream.seek(place.offset)
        return self._stream.read(place.length)
