"""One worker thread behind a mailbox that keeps only the newest item: never late, never growing, never silent."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

Item = TypeVar("Item")


class _WorkerCall:
    """One request, and what became of it."""

    def __init__(self, request: Callable[[], None]) -> None:
        self.ended = threading.Event()
        self.succeeded = False
        self._request = request

    def run(self) -> None:
        try:
            self._request()
            self.succeeded = True
        finally:
            self.ended.set()


class Worker(Generic[Item]):
    """Runs `handle` on one item after the other, in a thread of its own that owns whatever `handle` touches.

    An item that is still waiting when the next one comes is overwritten and counted in `overwritten`. The first
    exception ends the thread and is given to `on_error`, in that thread. `at_end` is the last that the thread does: it
    frees what only the thread may touch. A worker that has ended holds on to none of the three, whoever still holds it.
    `put`, `discard` and `call` are for one owner thread.
    """

    def __init__(
        self,
        handle: Callable[[Item], None],
        on_error: Callable[[Exception], None],
        name: str = "worker",
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.overwritten = 0
        self._name = name
        self._given = handle, on_error, at_end
        self._changed = threading.Condition()
        self._slot: deque[Item] = deque(maxlen=1)
        self._calls: deque[_WorkerCall] = deque()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; a worker starts once."""
        # As its arguments they are the thread's alone, and it forgets them when it ends. A thread that is made earlier
        # and never started would hold on to the worker, which holds it.
        self._thread = threading.Thread(target=self._run, args=self._given, name=self._name, daemon=True)
        del self._given
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs: false before start, after stop and after an error."""
        return self._thread is not None and self._thread.is_alive()

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
        """Run `request` in the worker's thread, before any waiting item; false when it is not done in time.

        False, too, when it raises: that ends the thread like an exception of `handle`.
        """
        call = _WorkerCall(request)
        with self._changed:
            if self._stopping or not self.alive:
                return False
            self._calls.append(call)
            self._changed.notify()
        return call.ended.wait(timeout_s) and call.succeeded

    def stop(self, timeout_s: float, drain: bool = False) -> bool:
        """End the thread after the item in hand, and with `drain` after the waiting one; else that is dropped.

        False when it does not end in time.
        """
        with self._changed:
            self._stopping = True
            if not drain:
                self._slot.clear()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)
        return not self.alive

    def _run(
        self, handle: Callable[[Item], None], on_error: Callable[[Exception], None], at_end: Callable[[], None]
    ) -> None:
        try:
            try:
                while job := self._next_job(handle):
                    job()
            finally:
                self._refuse_calls()
                at_end()
        except Exception as error:  # noqa: BLE001
            # The thread can't go on: what it owned may be half changed. Its owner decides what follows.
            on_error(error)

    def _refuse_calls(self) -> None:
        """Answer those that wait: nobody will run them."""
        with self._changed:
            self._stopping = True
            while self._calls:
                self._calls.popleft().ended.set()

    def _next_job(self, handle: Callable[[Item], None]) -> Callable[[], None] | None:
        """Wait for a call or an item; None when it is time to end. Calls come first."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._calls or self._slot)
            if self._calls:
                return self._calls.popleft().run
            if not self._slot:
                return None
            item = self._slot.popleft()
        return partial(handle, item)
