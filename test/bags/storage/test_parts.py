"""Which files a bag has: what they begin with decides, and what is no bag is refused in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import zstandard
from mcap.writer import Writer

from bag_layouts import make_messages, write_mcap, write_parts
from hal_ros.bags.reader import BagNotes, bag_files, raw_messages, read_messages, topic_types
from hal_ros.bags.storage import unpack
from hal_ros.bags.storage.parts import bag_parts, missing, uncounted
from hal_ros.core.errors import BagError


@pytest.mark.parametrize("name", ["run.bag", "run.mcap", "run.db3"])
def test_a_bag_of_ros_1_is_named_and_how_to_convert_it(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"#ROSBAG V2.0\n" + bytes(100))
    with pytest.raises(BagError, match=r"is a bag of ROS 1; convert it first: rosbags-convert --src .* --dst NEW"):
        list(read_messages(tmp_path / name))


def test_mcap_with_messages_of_ros_1_is_named_too(tmp_path: Path) -> None:
    with (tmp_path / "a.mcap").open("wb") as stream:
        writer = Writer(stream)
        writer.start("ros1", "test")
        schema = writer.register_schema("std_msgs/String", "ros1msg", b"string data")
        writer.add_message(writer.register_channel("/chat", "ros1", schema), 1, b"\0\0\0\0", 1)
        writer.finish()
    for ask in (topic_types, lambda path: list(read_messages(path))):
        with pytest.raises(BagError, match="is a bag of ROS 1; convert it first"):
            ask(tmp_path / "a.mcap")
    assert [m.form.encoding for m in raw_messages(tmp_path / "a.mcap", BagNotes()) if m.form] == ["ros1"]


def test_a_file_counts_by_its_beginning(tmp_path: Path) -> None:
    write_mcap(tmp_path / "a.mcap", make_messages()).rename(tmp_path / "a.db3")
    assert len(list(read_messages(tmp_path / "a.db3"))) == len(make_messages())
    (tmp_path / "b.mcap").write_bytes(zstandard.compress((tmp_path / "a.db3").read_bytes()))
    assert len(list(read_messages(tmp_path / "b.mcap"))) == len(make_messages())


def test_a_packed_file_that_is_cut_is_read_up_to_the_cut(tmp_path: Path) -> None:
    plain = write_mcap(tmp_path / "a.mcap", make_messages()).read_bytes()
    packer = zstandard.ZstdCompressor().compressobj()
    packed = (
        packer.compress(plain[:1500]) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) + packer.compress(plain[1500:])
    )
    (tmp_path / "b.mcap.zstd").write_bytes(packed)
    read = list(read_messages(tmp_path / "b.mcap.zstd"))
    assert 0 < len(read) < len(make_messages())
    assert [m.data for m in read] == [m.data for m in make_messages()][: len(read)]


def test_a_packed_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "_FREE_UNPACKED_BYTES", 1 << 20)
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    zeros = [packer.compress(bytes(1 << 20)) for _ in range(64)]
    (tmp_path / "b.mcap.zstd").write_bytes(b"".join(zeros) + packer.flush())
    with pytest.raises(BagError, match=r"unpacks to more than .*; if it is no bomb, unpack it first: zstd -d"):
        list(read_messages(tmp_path / "b.mcap.zstd"))
    assert not list(tmp_path.glob("hal-unpacked-*"))


def test_a_pipe_is_no_bag(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mcap")
    for path in (tmp_path, tmp_path / "a.mcap"):
        with pytest.raises(BagError, match=r"expected (an .mcap|a rosbag2)"):
            list(read_messages(path))


def test_files_that_metadata_name_in_vain_are_named(tmp_path: Path) -> None:
    bag = write_parts(tmp_path / "run")
    (bag / "run_1.mcap").unlink()
    assert [file.name for file in bag_files(bag)] == ["run_0.mcap", "run_2.mcap", "run_1.mcap"]
    assert bag_parts(bag).lost == ("run_1.mcap",)
    for file in bag.glob("*.mcap"):
        file.unlink()
    with pytest.raises(BagError, match=r"names run_0\.mcap, run_1\.mcap, run_2\.mcap, which is not there"):
        bag_parts(bag)


def test_what_metadata_count_otherwise_is_told_topic_by_topic() -> None:
    counted, found = {"/a": 1, "/b": 2}, {"/b": 2, "/c": 3}
    assert missing(counted, found) == {"message on /a that metadata.yaml counts and no file holds": 1}
    assert uncounted(counted, found) == ["/c: 3 messages more than metadata.yaml counts"]
