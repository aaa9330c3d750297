"""Whatever bytes a bag is made of: it is read, in part or in full, or refused in one line."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from rosbags.rosbag2 import StoragePlugin

from bag_layouts import make_messages, write_mcap, write_parts, write_rosbag2
from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.reader import METADATA, BagNotes, raw_messages, read_messages
from hal_ros.core.errors import BagError


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Change a few bytes, cut, repeat or leave out a piece."""
    changed = bytearray(data)
    kind = chance.randrange(5)
    if kind == 0:
        for _ in range(chance.randrange(1, 8)):
            changed[chance.randrange(len(changed))] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        return bytes(changed)
    start = chance.randrange(len(changed))
    end = min(len(changed), start + chance.randrange(1, 400))
    if kind == 1:
        return data[:start]
    if kind == 2:
        return data[:start] + data[end:]
    if kind == 3:
        return data[:end] + data[start:]
    changed[start : start + 8] = chance.choice([b"\xff" * 8, b"\0" * 8, (1 << 62).to_bytes(8, "little")])
    return bytes(changed)


def look(bag: Path) -> int:
    """Return how many messages are read."""
    BagTypes.of(bag)
    notes = BagNotes()
    count = sum(1 for _ in read_messages(bag, notes=notes))
    assert sum(1 for _ in raw_messages(bag, BagNotes(), attach=lambda _: None)) >= count
    assert "\n" not in str(notes)
    return count


def file_of(name: str, folder: Path) -> tuple[Path, Path]:
    """Return a bag, and the file of it that is to be damaged."""
    if name == "mcap":
        file = write_mcap(folder / "a.mcap", make_messages())
        return file, file
    if name == "loose":
        file = write_mcap(folder / "a.mcap", make_messages(), use_chunking=False)
        return file, file
    if name == "sqlite":
        bag = write_rosbag2(folder / "run", make_messages(), StoragePlugin.SQLITE3)
        return bag, next(bag.glob("*.db3"))
    bag = write_parts(folder / "run")
    return bag, bag / METADATA


@pytest.mark.parametrize(("name", "count"), [("mcap", 200), ("loose", 200), ("sqlite", 80), ("metadata", 80)])
def test_a_damaged_bag_is_read_or_refused(name: str, count: int, tmp_path: Path) -> None:
    bag, file = file_of(name, tmp_path)
    whole, chance, read, refused = file.read_bytes(), random.Random(7), list[int](), list[str]()
    for _ in range(count):
        file.unlink()  # another file: what is known of the one before does not count
        file.write_bytes(mutated(whole, chance))
        try:
            read.append(look(bag))
        except BagError as error:
            refused.append(str(error))
    assert len(read) + len(refused) == count
    assert sum(number > 0 for number in read) > count / 3
    assert "\n" not in "".join(refused)
    if name == "metadata":
        assert set(read) == {len(make_messages())} and not refused
