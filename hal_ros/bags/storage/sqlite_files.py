"""Reading SQLite files of rosbag2 with bounded memory, what its metadata.yaml says of them left aside.

A `-wal` beside the file holds what its recorder had not yet moved into it: it is read too, and nothing is written.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import numpy as np
from mcap.records import Attachment, Metadata

from hal_ros.bags.messages import schema_text
from hal_ros.bags.storage.stored import ROW, RawMessage, TopicForm
from hal_ros.bags.storage.unpack import MOST_MESSAGE_BYTES
from hal_ros.core.errors import BagError

MAGIC = b"SQLite format 3\0"
NEEDED = {"topics": ("id", "name", "type", "serialization_format"), "messages": ("timestamp", "topic_id", "data")}
"""The tables of rosbag2's first version, and what is read of them."""
_ROOM_BYTES = 4096  # of a row, beside its message
_MOST_NS = 2**63 - 1
_LEAST_ROW = -(2**63)
# A column may hold anything: what is of another kind than it should be comes as None.
_ROWS = (
    "SELECT rowid, CASE WHEN typeof(timestamp) = 'integer' THEN timestamp END, "
    "CASE WHEN typeof(topic_id) = 'integer' THEN topic_id END FROM messages NOT INDEXED"
)
_DATA = "SELECT CASE WHEN typeof(data) = 'blob' THEN data END FROM messages WHERE rowid = ?"


class SqliteFile:
    """A SQLite file of rosbag2, open for reading: a `storage.stored.Storage`.

    Raises BagError when it can't be opened or holds no tables of rosbag2.
    """

    cut_off = False
    profile = "ros2"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata: list[Metadata] = []
        self.faults: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.remarks: list[str] = []
        try:
            self._connection = self._open()
            try:
                self._forms = dict(self._read_topics())
            except BaseException:
                self._connection.close()
                raise
        except (apsw.Error, OSError, ValueError) as error:
            raise BagError(f"{path}: can't be read as a bag ({_one_line(error)})") from error

    def __enter__(self) -> SqliteFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def topics(self) -> Iterator[tuple[str, TopicForm]]:
        """Yield each topic and how it is written down."""
        yield from self._forms.values()

    def attachments(self) -> Iterator[Attachment]:
        """Yield nothing: this storage has none."""
        yield from ()

    def raw(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """Yield all readable messages, or those of some topics, by the time of receipt; of equal times as written."""
        self.counts.clear()
        for row_id, receive_ns, topic_id in self._rows():
            topic, form = self._forms[topic_id]
            if topics is not None and topic not in topics:
                continue
            data = self._data(row_id)
            if data is not None:
                yield RawMessage(topic, form.type_name, data, receive_ns, None, None, form)

    # --- opening ------------------------------------------------------------------------------------------------------

    def _open(self) -> apsw.Connection:
        """Open without locks, as a bag may lie where nobody may write; and without a trace, so no -shm is made."""
        if self.path.stat().st_size == 0 and not _beside(self.path, "-wal"):
            raise BagError(f"{self.path}: is empty; expected a bag of SQLite")
        address = self.path.resolve().as_uri()  # a name may hold #, ? and %
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        if not _beside(self.path, "-wal"):
            if _beside(self.path, "-journal"):
                self.remarks.append(f"{self.path.name}-journal lies beside: what was being written may be torn")
            connection = apsw.Connection(f"{address}?immutable=1", flags=flags)
            return self._guarded(connection)
        self.remarks.append(f"{self.path.name}-wal was read too: whoever wrote it did not finish")
        if "unix-none" not in apsw.vfs_names():
            connection = apsw.Connection(f"{address}?mode=ro", flags=flags)
        else:
            connection = apsw.Connection(f"{address}?mode=ro", flags=flags, vfs="unix-none")
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # its index of the -wal stays in memory
        return self._guarded(connection)

    def _guarded(self, connection: apsw.Connection) -> apsw.Connection:
        connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        connection.limit(apsw.SQLITE_LIMIT_LENGTH, MOST_MESSAGE_BYTES + _ROOM_BYTES)
        return connection

    def _read_topics(self) -> Iterator[tuple[int, tuple[str, TopicForm]]]:
        """Yield the topics by number, with the definitions that newer recorders keep."""
        for table in NEEDED:
            self._check_table(table)
        definitions = self._read_definitions()
        qos = "offered_qos_profiles" if "offered_qos_profiles" in self._columns("topics") else "''"
        columns = ("name", "type", "serialization_format", qos)
        for number, *texts in self._connection.execute(f"SELECT id, {_as_bytes(*columns)} FROM topics ORDER BY id"):
            topic, kind, encoding, profiles = map(_text, texts)
            yield number, (topic, _form(kind, encoding, profiles, definitions.get(kind, ("", b""))))

    def _read_definitions(self) -> dict[str, tuple[str, bytes]]:
        """Return the definitions of types that newer recorders keep: encoding and text."""
        columns = ("topic_type", "encoding", "encoded_message_definition")
        definitions: dict[str, tuple[str, bytes]] = {}
        if not set(columns) <= set(self._columns("message_definitions")):
            return definitions
        try:
            for name, encoding, schema in self._connection.execute(
                f"SELECT {_as_bytes(*columns)} FROM message_definitions"  # no text of others
            ):
                definitions.setdefault(_text(name), (_text(encoding), bytes(schema or b"")))
        except apsw.Error as error:
            self.remarks.append(f"the definitions of its types can't be read ({_one_line(error)})")
        return definitions

    def _check_table(self, table: str) -> None:
        """Refuse what is no table of rosbag2: a view or a computed column may unfold without an end."""
        found = list(
            self._connection.execute("SELECT type, CAST(sql AS BLOB) FROM sqlite_master WHERE name = ?", (table,))
        )
        columns = self._columns(table)
        if not found or not set(NEEDED[table]) <= set(columns):
            raise BagError(f"{self.path}: can't be read as a bag (missing tables); expected rosbag2's table {table}")
        kind, text = found[0]
        computed = [name for name, hidden in columns.items() if hidden]
        if kind != "table" or _text(text).upper().lstrip().startswith("CREATE VIRTUAL") or computed:
            what = f"column {computed[0]} is computed" if computed else "is computed"
            raise BagError(f"{self.path}: can't be read as a bag (table {table}: {what}, and not stored)")

    def _columns(self, table: str) -> dict[str, bool]:
        """Return the columns of a table, and whether each is computed."""
        asked = "SELECT CAST(name AS BLOB), hidden FROM pragma_table_xinfo(?)"
        return {_text(name): bool(hidden) for name, hidden in self._connection.execute(asked, (table,))}

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _rows(self) -> Iterator[tuple[int, int, int]]:
        """Yield row, time and topic of each message by time."""
        rows, times, topics = array("q"), array("q"), array("q")
        for row, time, topic in self._scan():
            if topic not in self._forms:
                self.faults["row of no topic"] += 1
                continue
            self.counts[self._forms[topic][0]] += 1  # what is there, whether it can be read or not
            if not isinstance(time, int) or not 0 <= time <= _MOST_NS:
                self.faults[ROW] += 1
                continue
            rows.append(row)
            times.append(time)
            topics.append(topic)
        by_time = np.lexsort((np.frombuffer(rows, np.int64), np.frombuffer(times, np.int64)))
        for at in map(int, by_time):
            yield rows[at], times[at], topics[at]

    def _scan(self) -> Iterator[tuple[int, Any, Any]]:
        """Yield all rows as they are: of a damaged table what both of its ends lead to."""
        last = _LEAST_ROW
        for order in ("ASC", "DESC"):
            try:
                for found in self._connection.execute(f"{_ROWS} WHERE rowid > ? ORDER BY rowid {order}", (last,)):
                    last = max(last, found[0]) if order == "ASC" else last
                    yield found
            except apsw.Error as error:  # noqa: PERF203  # twice at most
                self.faults[f"part of the table ({_one_line(error)})"] += 1
            else:
                return

    def _data(self, row: int) -> bytes | None:
        """Return the bytes of one message; None, and counted, where they can't be read."""
        try:
            found: Any = self._connection.execute(_DATA, (row,)).fetchone()
        except apsw.TooBigError:
            self.faults["message of more than 256 MiB"] += 1
            return None
        except apsw.Error as error:
            self.faults[f"row that can't be read ({_one_line(error)})"] += 1
            return None
        if found is None or not isinstance(found[0], bytes):
            self.faults[ROW] += 1
            return None
        return found[0]


def _form(kind: str, encoding: str, profiles: str, definition: tuple[str, bytes]) -> TopicForm:
    """Return how a topic is written down; what older recorders leave out is ours, or else its name alone stays."""
    schema_encoding, schema = definition
    if not schema:
        with suppress(BagError):
            schema_encoding, schema = "ros2msg", schema_text(kind).encode()
    return TopicForm(kind, encoding, schema_encoding, schema, {"offered_qos_profiles": profiles})


def _as_bytes(*columns: str) -> str:
    """Return columns of text as they are asked for: what is no UTF-8 is found out here, not by the library."""
    return ", ".join(f"CAST({column} AS BLOB)" for column in columns)


def _text(value: Any) -> str:
    return bytes(value or b"").decode("utf-8", "replace")


def _beside(path: Path, suffix: str) -> bool:
    other = path.with_name(path.name + suffix)
    return other.exists() and other.stat().st_size > 0


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
