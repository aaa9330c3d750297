"""SQLite files of strangers: what is computed is refused, bad rows are counted, all others are read."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from rosbags.rosbag2 import StoragePlugin

from bag_layouts import make_messages, write_rosbag2
from hal_ros.bags.storage import sqlite_files
from hal_ros.bags.storage.sqlite_files import SqliteFile
from hal_ros.core.errors import BagError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    bag = write_rosbag2(tmp_path / "run", make_messages(), StoragePlugin.SQLITE3)
    return next(bag.glob("*.db3"))


def change(file: Path, *statements: str) -> None:
    with sqlite3.connect(file) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "statements",
    [
        ("ALTER TABLE messages ADD COLUMN data BLOB GENERATED ALWAYS AS (zeroblob(900000000)) VIRTUAL",),
        ("CREATE VIEW messages AS SELECT id, topic_id, timestamp, zeroblob(900000000) AS data FROM kept",),
        ("CREATE VIRTUAL TABLE messages USING fts5(id, topic_id, timestamp, data)",),
    ],
    ids=["column", "view", "virtual"],
)
def test_what_is_computed_is_no_recording(file: Path, statements: tuple[str, ...]) -> None:
    if "COLUMN" in statements[0]:
        change(file, "ALTER TABLE messages RENAME COLUMN data TO kept", *statements)
    else:
        change(file, "ALTER TABLE messages RENAME TO kept", *statements)
    with pytest.raises(BagError, match=r"table messages: .* computed, and not stored") as refused:
        SqliteFile(file)
    assert "\n" not in str(refused.value)


def test_a_row_that_is_too_large_is_counted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(file, "UPDATE messages SET data = zeroblob(40000) WHERE id = 5")
    monkeypatch.setattr(sqlite_files, "MOST_MESSAGE_BYTES", 20_000)
    with SqliteFile(file) as opened:
        assert len(list(opened.raw())) == len(make_messages()) - 1
        assert sum(opened.faults.values()) == 1 and "message of more than" in str(opened.faults)


def test_rows_of_no_topic_are_counted(file: Path) -> None:
    change(file, "UPDATE messages SET topic_id = 77 WHERE id < 4")
    with SqliteFile(file) as opened:
        assert len(list(opened.raw())) == len(make_messages()) - 3
        assert opened.faults == {"row of no topic": 3}


def test_of_a_damaged_table_both_ends_are_read(tmp_path: Path) -> None:
    messages = [one._replace(data=one.data + bytes(3000)) for one in make_messages()]
    (file,) = write_rosbag2(tmp_path / "run", messages, StoragePlugin.SQLITE3).glob("*.db3")
    content = bytearray(file.read_bytes())
    at = content.index(messages[12].data[:16])
    page = at - at % 4096
    content[page : page + 4096] = b"\xee" * 4096
    file.write_bytes(content)
    with SqliteFile(file) as opened:
        read = [message.data for message in opened.raw()]
        assert opened.faults
    assert messages[0].data in read and messages[-1].data in read
    assert len(messages) - 4 <= len(read) < len(messages)


def test_nothing_is_written_beside_a_log(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (1, 9999, x'00010000')")
    connection.commit()
    there = {path.name: path.read_bytes() for path in file.parent.iterdir() if not path.name.endswith("-shm")}
    with SqliteFile(file) as opened:
        assert [m.receive_ns for m in opened.raw()][-1] == 9999
    assert {p.name: p.read_bytes() for p in file.parent.iterdir() if not p.name.endswith("-shm")} == there
    connection.close()


def test_a_file_in_rollback_is_told(file: Path) -> None:
    Path(f"{file}-journal").write_bytes(b"unfinished")
    with SqliteFile(file) as opened:
        assert len(list(opened.raw())) == len(make_messages())
        assert "may be torn" in opened.remarks[0]
