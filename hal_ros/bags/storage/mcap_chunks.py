"""Chunks of MCAP files: their messages by place and time, unpacked when they are due, few of them at once in memory."""

from __future__ import annotations

import struct
import zlib
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from mcap.opcode import Opcode
from numpy.typing import NDArray

from hal_ros.bags.storage.unpack import MOST_CHUNK_BYTES, TooLargeError, in_mebibytes, unpack

RECORD_HEAD = struct.Struct("<BQ")  # opcode, length
MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, log time, time of publishing
_CHUNK_HEAD = struct.Struct("<QQQII")  # first and last log time, plain length, checksum, length of the packing's name
_KEPT_BYTES = 64 << 20
"""So much of unpacked chunks is kept; the newest one always is."""

Keep = Callable[[int, bytes], None]
"""Takes the opcode and the content of a record that defines a schema or a channel."""


class Place(NamedTuple):
    """Where the content of a chunk lies in its file, and the first log time that it declares. Sorts by time."""

    log_ns: int
    offset: int
    length: int


@dataclass
class MessageIndex:
    """Messages by place: equally long arrays, in file order. The places are those in a chunk, or in the file."""

    log_ns: array[int] = field(default_factory=lambda: array("Q"))
    starts: array[int] = field(default_factory=lambda: array("Q"))
    ends: array[int] = field(default_factory=lambda: array("Q"))

    def add(self, log_ns: int, start: int, end: int) -> None:
        """Take one message; its content lies from start to end."""
        self.log_ns.append(log_ns)
        self.starts.append(start)
        self.ends.append(end)

    def order(self) -> NDArray[np.int64]:
        """Return the rows by log time; of equal times in file order."""
        return np.argsort(np.frombuffer(self.log_ns, np.uint64), kind="stable")


def read_chunk(record: bytes, check: bool = True) -> bytes:
    """Return the records in the content of a chunk record. Raises what `unpack` and struct raise."""
    _, _, length, checksum, name_length = _CHUNK_HEAD.unpack_from(record)
    start = _CHUNK_HEAD.size + name_length
    packing = record[_CHUNK_HEAD.size : start].decode()
    (packed_length,) = struct.unpack_from("<Q", record, start)
    if length > MOST_CHUNK_BYTES:
        raise TooLargeError(f"unpacks to more than {in_mebibytes(MOST_CHUNK_BYTES)}")
    packed = record[start + 8 : start + 8 + packed_length]
    if len(packed) != packed_length:
        raise ValueError("a chunk is shorter than it says")
    plain = unpack(packed, packing, length)
    if len(plain) != length or (check and checksum and zlib.crc32(plain) != checksum):
        raise ValueError("a chunk is not as it was written")
    return plain


def index_chunk(content: bytes, keep: Keep) -> MessageIndex:
    """Return where the messages in a chunk's records lie. Raises ValueError or struct.error where it is damaged."""
    found, at, size = MessageIndex(), 0, len(content)
    while at < size:
        opcode, length = RECORD_HEAD.unpack_from(content, at)
        at += RECORD_HEAD.size
        end = at + length
        if end > size:
            raise ValueError("a record is longer than its chunk")
        if opcode == Opcode.MESSAGE:
            if length < MESSAGE_HEAD.size:
                raise ValueError("a message is shorter than its head")
            _, _, log_ns, _ = MESSAGE_HEAD.unpack_from(content, at)
            found.add(log_ns, at, end)
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
            keep(opcode, content[at:end])
        at = end
    return found


class ChunkCache:
    """The unpacked chunks that were used last, as many as fit."""

    def __init__(self, load: Callable[[Place], bytes]) -> None:
        """Take what reads and unpacks a chunk."""
        self._load = load
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, place: Place) -> bytes:
        """Return the records in a chunk; raises what `load` raises."""
        content = self._kept.pop(place.offset, None)
        if content is None:
            content = self._load(place)
            self._bytes += len(content)
        self._kept[place.offset] = content
        while self._bytes > _KEPT_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest)
        return content

    def drop(self, place: Place) -> None:
        """Forget a chunk that is done with."""
        self._bytes -= len(self._kept.pop(place.offset, b""))


class MessageRun:
    """Messages of one chunk, or all that lie outside chunks, on their way out in the order of their times."""

    def __init__(self, index: MessageIndex, place: Place | None) -> None:
        self.place = place
        self._index, self._order, self._at = index, index.order(), 0

    def __len__(self) -> int:
        return len(self._order) - self._at

    @property
    def key(self) -> tuple[int, int]:
        """Time of the next message, and its chunk's place, or its own outside chunks."""
        row = int(self._order[self._at])
        return self._index.log_ns[row], self._index.starts[row] if self.place is None else self.place.offset

    def until(self, last: tuple[int, int] | None) -> Iterator[tuple[int, int]]:
        """Yield start and end of the messages that come before another run's key, or all."""
        starts, ends = self._index.starts, self._index.ends
        if last is not None and self._index.log_ns[int(self._order[-1])] < last[0]:
            last = None  # all of them do
        while self._at < len(self._order) and (last is None or self.key < last):
            row = int(self._order[self._at])
            self._at += 1
            yield starts[row], ends[row]

    def drop(self) -> None:
        """Leave out all that is still to come."""
        self._at = len(self._order)
