"""A bag that is written while messages arrive: a bounded queue and the thread that empties it into the file."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hal_ros.bags.writer import ZSTD, BagWriter
from hal_ros.core.errors import BagError

FLUSH_S = 0.4
"""Wall time between two flushes; with what a flush itself takes it stays below half a second."""


class Topic(NamedTuple):
    """A topic to announce: its type, its publishers' quality of service and its schema, both as text."""

    name: str
    type_name: str
    qos: str
    schema: str


class Recorded(NamedTuple):
    """One message as it was received, and when it was published."""

    topic: str
    type_name: str
    data: bytes
    receive_ns: int
    publish_ns: int


class BackgroundWriter:
    """Writes messages in a thread of its own; what does not fit into the queue is dropped and counted by topic.

    When the disk refuses, `failure` says so in one line, all that comes later is dropped, and what was written stays
    readable. Raises BagError when the bag can't be made.
    """

    def __init__(
        self, folder: Path, metadata: Mapping[str, Mapping[str, str]], queue_bytes: int, compression: str = ZSTD
    ) -> None:
        self.failure: BagError | None = None
        self.written: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._writer = BagWriter(folder, metadata, FLUSH_S, compression=compression)
        self.file = self._writer.file
        self._queue: deque[Topic | Recorded] = deque()
        self._queue_bytes = queue_bytes
        self._queued_bytes = 0
        self._changed = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="bag-writer", daemon=True)
        self._thread.start()

    @property
    def queued_bytes(self) -> int:
        """How much waits to be written."""
        return self._queued_bytes

    def announce(self, topic: Topic) -> None:
        """Add a topic; its messages may follow."""
        # here, so that the writer's thread never changes the size of what others look through
        self.written[topic.name] += 0
        self.dropped[topic.name] += 0
        with self._changed:
            self._queue.append(topic)
            self._changed.notify()

    def put(self, message: Recorded) -> None:
        """Take one message; never waits."""
        with self._changed:
            if self.failure is not None or self._queued_bytes + len(message.data) > self._queue_bytes:
                self.dropped[message.topic] += 1
                return
            self._queued_bytes += len(message.data)
            self._queue.append(message)
            self._changed.notify()

    def close(self) -> None:
        """Write what is queued and finish the file. Raises the BagError that ended the recording, if one did."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            while self._write_next():
                pass
            self._writer.close()
        except BagError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - nobody else would notice the end of this thread
            self._writer.abandon()
            self._fail(BagError(f"{self.file}: can't be written ({error!r}); what is in it stays readable"))

    def _write_next(self) -> bool:
        """Write one entry, or flush after a quiet time; returns whether to go on."""
        with self._changed:
            if not self._queue and not self._ending:
                self._changed.wait(FLUSH_S / 4)
            ending = self._ending
            if not self._queue:
                entry = None
            else:
                entry = self._queue.popleft()
                self._queued_bytes -= len(entry.data) if isinstance(entry, Recorded) else 0
        if entry is None:
            self._writer.flush_if_due()
            return not ending  # as it was when the queue was empty: what came since is still to be written
        if isinstance(entry, Topic):
            self._writer.add_topic(*entry)
        else:
            self._writer.write(*entry)
            self.written[entry.topic] += 1
        return True

    def _fail(self, error: BagError) -> None:
        with self._changed:
            self.failure = error
            for entry in self._queue:
                if isinstance(entry, Recorded):
                    self.dropped[entry.topic] += 1
            self._queue.clear()
            self._queued_bytes = 0
