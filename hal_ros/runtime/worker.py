"""One worker thread behind a mailbox that keeps only the newest item: never late, never growing, never silent."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Worker(Generic[Item]):
    """Runs `handle` on one item after the other, in a thread of its own that owns whatever `handle` touches.

    An item that is still waiting when the next one comes is overwritten and counted in `overwritten`. The first
    exception ends the thread and is given to `on_error`, in that thread. `put`, `discard` and `call` are for one
    owner thread.
    """

    def __init__(
        self, handle: Callable[[Item], None], on_error: Callable[[Exception], None], name: str = "worker"
    ) -> None:
        self.overwritten = 0
        self._handle = handle
        self._on_error = on_error
        self._changed = threading.Condition()
        self._slot: deque[Item] = deque(maxlen=1)
        self._requests: deque[tuple[Callable[[], None], threading.Event]] = deque()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; a worker starts once."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs: false before start, after stop and after an error."""
        return self._thread.is_alive()

    def put(self, item: Item) -> None:
        """Hand over the newest item and return at once; what it overwrites is counted."""
        with self._changed:
            self.overwritten += len(self._slot)
            self._slot.append(item)
            self._changed.notify()

    def discard(self) -> int:
        """Drop the waiting item; returns how many there were (0 or 1)."""
        with self._changed:
            waiting = len(self._slot)
            self._slot.clear()
            return waiting

    def call(self, request: Callable[[], None], timeout_s: float) -> bool:
        """Run `request` in the worker's thread, before any waiting item; false when it is not done in time."""
        done = threading.Event()
        with self._changed:
            if self._stopping or not self._thread.is_alive():
                return False
            self._requests.append((request, done))
            self._changed.notify()
        return done.wait(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """End the thread after the item in hand; a waiting item is dropped. False when it does not end in time."""
        with self._changed:
            self._stopping = True
            self._slot.clear()
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while job := self._next_job():
                job()
        except Exception as error:  # noqa: BLE001
            # The thread can't go on: what it owned may be half changed. Its owner decides what follows.
            self._on_error(error)

    def _next_job(self) -> Callable[[], None] | None:
        """Wait for a request or an item; None when it is time to end. Requests come first."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._requests or self._slot)
            if self._requests:
                request, done = self._requests.popleft()
                return lambda: _answer(request, done)
            if self._stopping:
                return None
            item = self._slot.popleft()
        return lambda: self._handle(item)


def _answer(request: Callable[[], None], done: threading.Event) -> None:
    request()
    done.set()
