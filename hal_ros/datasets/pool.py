"""Work in processes of their own. They are spawned, never forked: neither GL contexts nor threads survive a fork."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

from hal_ros.core.errors import HalError

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(job: Callable[[Item], Result], items: Sequence[Item], processes: int) -> Iterator[Result]:
    """Yield each item's result in the items' order; with one process or item in this one, which is easier to debug.

    Raises HalError when a process was killed, and what the job raises.
    """
    processes = min(processes, len(items))
    if processes <= 1:
        yield from map(job, items)
        return
    with _pool(processes) as pool:
        try:
            yield from pool.map(job, items)
        except BrokenProcessPool as error:
            raise HalError(f"one of {processes} processes was killed; expected memory for all, or fewer") from error


def as_done(job: Callable[[Item], Result], items: Sequence[Item], processes: int, when_killed: str) -> Iterator[Result]:
    """Yield each item's result as soon as it is there; with one process in this one, and in the items' order.

    Raises HalError(when_killed) when a process was killed, and what the job raises.
    """
    if processes == 1:
        yield from map(job, items)
        return
    with _pool(processes) as pool:
        try:
            for future in as_completed([pool.submit(job, item) for item in items]):
                yield future.result()
        except BrokenProcessPool as error:
            raise HalError(when_killed) from error


@contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Give a pool; when it is left early, what has not begun yet never does."""
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
