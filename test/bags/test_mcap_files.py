"""MCAP files of strangers: what can't be is counted, what is too large is not unpacked, and the rest is read."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped]
import pytest
import zstandard
from mcap.opcode import Opcode
from mcap.records import Attachment
from mcap.writer import CompressionType, IndexType, Writer

from bag_layouts import STRING, make_messages, write_mcap
from hal_ros.bags import mcap_files
from hal_ros.bags.mcap_files import MAGIC, McapFile
from hal_ros.bags.messages import schema_text
from hal_ros.bags.storage import mcap_chunks
from hal_ros.bags.storage.stored import RawMessage
from hal_ros.core.errors import BagError

HEAD = mcap_chunks.RECORD_HEAD
ZEROS = 64 << 20


def read(path: Path) -> tuple[list[RawMessage], McapFile]:
    with McapFile(path) as file:
        return list(file.raw()), file


def record(opcode: int, content: bytes) -> bytes:
    return HEAD.pack(opcode, len(content)) + content


def chunk(packed: bytes, plain_bytes: int, packing: str) -> bytes:
    head = struct.pack("<QQQII", 5, 5, plain_bytes, 0, len(packing)) + packing.encode()
    return record(Opcode.CHUNK, head + struct.pack("<Q", len(packed)) + packed)


def zstd_of_zeros(size: int) -> bytes:
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)), packer.flush()])


def lz4_of_zeros(size: int) -> bytes:
    with lz4.frame.LZ4FrameCompressor() as packer:
        parts = [packer.begin(), *(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)), packer.flush()]
    return b"".join(parts)


def records_of(data: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    """Yield opcode, and start and end of the content."""
    at = len(MAGIC)
    while at + HEAD.size <= len(data) - len(MAGIC):
        opcode, length = HEAD.unpack_from(data, at)
        yield opcode, at + HEAD.size, at + HEAD.size + length
        at += HEAD.size + length


def place_of(data: bytes | bytearray, opcode: int, number: int = 0) -> int:
    return [start for found, start, _ in records_of(data) if found == opcode][number]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: chunk(zstandard.compress(bytes(ZEROS)), 1000, "zstd"), "chunk that unpacks to more than 1000 bytes"),
        (lambda: chunk(b"", 1 << 60, "zstd"), "chunk that unpacks to more than 256 MiB"),
        (lambda: chunk(zstd_of_zeros(ZEROS), 1000, "zstd"), "chunk that unpacks to more than 1000 bytes"),
        (lambda: chunk(lz4_of_zeros(ZEROS), 1000, "lz4"), "chunk that unpacks to more than 1000 bytes"),
        (lambda: chunk(b"what", 4, "rar"), "damaged chunk"),
        (lambda: chunk(b"what", 9, ""), "damaged chunk"),
        (lambda: record(Opcode.CHUNK, b"too short"), "damaged record"),
        (lambda: record(Opcode.SCHEMA, b"\1\0\xff\xff\xff\xff"), "damaged record"),
        (lambda: record(Opcode.METADATA, b"\1\0\0\0\xff" * 3), "damaged record"),
        (lambda: record(Opcode.MESSAGE, b"short"), "damaged record"),
    ],
    ids=["zstd", "declared", "more than declared", "lz4", "packing", "length", "head", "schema", "text", "message"],
)
def test_a_bomb_is_counted_and_all_else_is_read(made: Callable[[], bytes], reason: str, tmp_path: Path) -> None:
    data = write_mcap(tmp_path / "a.mcap", make_messages()).read_bytes()
    at = place_of(data, Opcode.CHUNK) - HEAD.size
    bomb = made()
    tracemalloc.start()
    try:
        (tmp_path / "a.mcap").write_bytes(data[:at] + bomb + data[at:])
        messages, file = read(tmp_path / "a.mcap")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [m.data for m in messages] == [m.data for m in make_messages()]
    assert file.faults == {reason: 1}
    assert not file.cut_off
    assert peak < 48 << 20


def test_a_wrong_length_hides_its_own_record_alone(tmp_path: Path) -> None:
    data = bytearray(write_mcap(tmp_path / "a.mcap", make_messages()).read_bytes())
    struct.pack_into("<Q", data, place_of(data, Opcode.CHUNK, 1) - 8, 1 << 40)
    (tmp_path / "a.mcap").write_bytes(data)
    messages, file = read(tmp_path / "a.mcap")
    assert file.faults == {"damaged part of the file": 1} and not file.cut_off
    assert len(make_messages()) - 6 <= len(messages) < len(make_messages())


def test_an_early_end_of_data_ends_nothing(tmp_path: Path) -> None:
    data = write_mcap(tmp_path / "a.mcap", make_messages()).read_bytes()
    at = place_of(data, Opcode.CHUNK, 1) - HEAD.size
    (tmp_path / "a.mcap").write_bytes(data[:at] + record(Opcode.DATA_END, b"\0\0\0\0") + data[at:])
    messages, file = read(tmp_path / "a.mcap")
    assert len(messages) == len(make_messages()) and not file.faults


def test_a_message_that_is_too_large_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = make_messages()[0]._replace(data=bytes(5000))
    write_mcap(tmp_path / "a.mcap", [*make_messages(), long], use_chunking=False)
    monkeypatch.setitem(mcap_files.MOST_BYTES, Opcode.MESSAGE, 4096)
    messages, file = read(tmp_path / "a.mcap")
    assert len(messages) == len(make_messages())
    assert file.faults == {"message of more than 4096 bytes": 1}


def test_many_empty_messages_take_little_memory(tmp_path: Path) -> None:
    count = 6_000
    for name, chunk_bytes in (("one", 1 << 30), ("many", 1 << 16)):
        with (tmp_path / f"{name}.mcap").open("wb") as stream:
            writer = Writer(stream, chunk_size=chunk_bytes)
            writer.start("ros2", "test")
            schema = writer.register_schema(STRING, "ros2msg", schema_text(STRING).encode())
            channel = writer.register_channel("/chat", "cdr", schema)
            for number in range(count):
                writer.add_message(channel, number * 7919 % 1000, b"", 0)
            writer.finish()
        tracemalloc.start()
        try:
            with McapFile(tmp_path / f"{name}.mcap") as file:
                times = [message.receive_ns for message in file.raw()]
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert times == sorted(times) and len(times) == count
        assert peak < 120 * count  # an object for each would be 400 bytes


def test_chunks_that_declare_wrong_times_are_read_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(write_mcap(tmp_path / "a.mcap", make_messages()).read_bytes())
    chunks = [start for opcode, start, _ in records_of(data) if opcode == Opcode.CHUNK]
    for start in chunks:
        struct.pack_into("<Q", data, start, 0)
    (tmp_path / "a.mcap").write_bytes(data)
    monkeypatch.setattr(mcap_chunks, "_KEPT_BYTES", 1)  # no more than one is unpacked at a time
    messages, file = read(tmp_path / "a.mcap")
    assert [m.receive_ns for m in messages] == [m.receive_ns for m in make_messages()] and not file.faults
    assert len(chunks) > 3


def test_messages_of_an_unknown_channel_are_counted(tmp_path: Path) -> None:
    data = write_mcap(tmp_path / "a.mcap", make_messages()).read_bytes()
    at = place_of(data, Opcode.CHUNK) - HEAD.size
    stray = record(Opcode.MESSAGE, struct.pack("<HIQQ", 99, 0, 5, 5) + b"lost")
    (tmp_path / "a.mcap").write_bytes(data[:at] + stray + data[at:])
    messages, file = read(tmp_path / "a.mcap")
    assert len(messages) == len(make_messages())
    assert file.faults == {"message of a channel that is not described": 1}


def test_attachments_are_read_and_checked(tmp_path: Path) -> None:
    with (tmp_path / "a.mcap").open("wb") as stream:
        writer = Writer(stream)
        writer.start("ros2", "test")
        for name in ("one", "two"):
            writer.add_attachment(3, 4, name, "text/plain", b"content of " + name.encode())
        writer.finish()
    with McapFile(tmp_path / "a.mcap") as file:
        assert [one.name for one in file.attachments()] == ["one", "two"]
    data = (tmp_path / "a.mcap").read_bytes()
    (tmp_path / "a.mcap").write_bytes(data.replace(b"content of one", b"content of 1ne"))
    with McapFile(tmp_path / "a.mcap") as file:
        assert list(file.attachments()) == [Attachment(3, 4, "two", "text/plain", b"content of two")]
        assert file.faults == {"attachment that can't be read": 1}


def test_a_summary_that_leaves_out_one_channel_is_no_bound(tmp_path: Path) -> None:
    """Of two channels the summary knows one: the chunks' indices tell that there is another."""
    data = write_mcap(tmp_path / "a.mcap", make_messages(), CompressionType.NONE).read_bytes()
    summary = struct.unpack_from("<Q", data, len(data) - len(MAGIC) - 20)[0]
    last = [start for opcode, start, _ in records_of(data) if opcode == Opcode.CHANNEL and start > summary][-1]
    changed = bytearray(data)
    changed[last - HEAD.size] = 0x80  # a private record
    (tmp_path / "a.mcap").write_bytes(changed)
    messages, file = read(tmp_path / "a.mcap")
    assert len(messages) == len(make_messages())
    assert {topic for topic, _ in file.topics()} == {m.topic for m in make_messages()}
    assert "summary lacks" in file.remarks[0]


def test_what_is_described_again_otherwise_counts_from_there(tmp_path: Path) -> None:
    with (tmp_path / "a.mcap").open("wb") as stream:
        writer = Writer(stream, index_types=IndexType.NONE, repeat_channels=False, repeat_schemas=False)
        writer.start("ros2", "test")
        writer.finish()
    data = (tmp_path / "a.mcap").read_bytes()
    text = lambda value: struct.pack("<I", len(value)) + value  # noqa: E731
    channel = lambda topic: struct.pack("<HH", 1, 0) + text(topic) + text(b"cdr") + struct.pack("<I", 0)  # noqa: E731
    message = lambda at: record(Opcode.MESSAGE, struct.pack("<HIQQ", 1, 0, at, at))  # noqa: E731
    chunks = []
    for number, topic in enumerate((b"/a", b"/b")):
        plain = record(Opcode.CHANNEL, channel(topic)) + message(number + 1)
        head = struct.pack("<QQQII", number + 1, number + 1, len(plain), 0, 0)
        chunks.append(record(Opcode.CHUNK, head + struct.pack("<Q", len(plain)) + plain))
    at = place_of(data, Opcode.DATA_END) - HEAD.size
    (tmp_path / "a.mcap").write_bytes(data[:at] + b"".join(chunks) + data[at:])
    assert [m.topic for m in read(tmp_path / "a.mcap")[0]] == ["/a", "/b"]


def test_a_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="can't be read"):
        McapFile(tmp_path)
