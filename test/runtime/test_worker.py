"""The worker takes only the newest item, counts what it skips, and never ends in silence."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest

from hal_ros.runtime.worker import Worker

DEADLINE_S = 10.0


class Gate:
    """A handler that reports each item it takes and then waits to be let through."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.arrived = threading.Semaphore(0)
        self.open = threading.Semaphore(0)

    def handle(self, item: int) -> None:
        self.taken.append(item)
        self.arrived.release()
        assert self.open.acquire(timeout=DEADLINE_S)

    def wait(self) -> None:
        assert self.arrived.acquire(timeout=DEADLINE_S)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def worker(gate: Gate) -> Iterator[Worker[int]]:
    worker = Worker[int](gate.handle, lambda _: None)
    worker.start()
    yield worker
    gate.open.release(100)
    assert worker.stop(DEADLINE_S)


def test_the_newest_item_wins_and_the_others_are_counted(worker: Worker[int], gate: Gate) -> None:
    worker.put(0)
    gate.wait()  # 0 is in hand; what follows waits in the mailbox
    for item in range(1, 6):
        worker.put(item)
    gate.open.release()
    gate.wait()
    assert gate.taken == [0, 5]
    assert worker.overwritten == 4


def test_nothing_is_counted_when_every_item_is_taken(worker: Worker[int], gate: Gate) -> None:
    for item in range(5):
        worker.put(item)
        gate.wait()
        gate.open.release()
    assert gate.taken == [0, 1, 2, 3, 4]
    assert worker.overwritten == 0


def test_put_returns_while_the_handler_is_busy(worker: Worker[int], gate: Gate) -> None:
    worker.put(0)
    gate.wait()
    worker.put(1)  # would never return if it waited for the handler, which waits for this test
    assert gate.taken == [0]


def test_a_call_runs_in_the_worker_before_the_waiting_item(worker: Worker[int], gate: Gate) -> None:
    order: list[tuple[list[int], threading.Thread]] = []
    worker.put(0)
    gate.wait()
    worker.put(1)
    caller = threading.Thread(
        target=lambda: worker.call(lambda: order.append((list(gate.taken), threading.current_thread())), DEADLINE_S)
    )
    caller.start()
    while not worker._calls:  # until the call has been filed
        assert caller.is_alive()
    gate.open.release()
    gate.wait()
    caller.join(DEADLINE_S)
    ((taken, thread),) = order
    assert taken == [0] and gate.taken == [0, 1]
    assert thread not in (threading.main_thread(), caller)


def test_a_call_that_is_not_answered_in_time_says_so(worker: Worker[int], gate: Gate) -> None:
    worker.put(0)
    gate.wait()
    assert not worker.call(lambda: None, timeout_s=0.01)


def test_a_discarded_item_is_never_taken(worker: Worker[int], gate: Gate) -> None:
    worker.put(0)
    gate.wait()
    worker.put(1)
    assert worker.discard() == 1
    assert worker.discard() == 0
    worker.put(2)
    gate.open.release()
    gate.wait()
    assert gate.taken == [0, 2]
    assert worker.overwritten == 0


def test_an_error_reaches_the_owner_and_ends_the_thread() -> None:
    failed = threading.Event()
    errors: list[Exception] = []

    def on_error(error: Exception) -> None:
        errors.append(error)
        failed.set()

    def handle(item: int) -> None:
        raise ValueError(f"item {item}")

    worker = Worker[int](handle, on_error)
    worker.start()
    worker.put(7)
    assert failed.wait(DEADLINE_S)
    assert worker.stop(DEADLINE_S) and not worker.alive
    assert [str(error) for error in errors] == ["item 7"]
    assert not worker.call(lambda: None, DEADLINE_S)


def test_an_error_in_a_call_ends_the_thread_and_the_call() -> None:
    errors: list[Exception] = []
    worker = Worker[int](lambda _: None, errors.append)
    worker.start()
    assert not worker.call(lambda: [][0], DEADLINE_S)
    assert worker.stop(DEADLINE_S) and isinstance(errors[0], IndexError)


def test_stop_drops_the_waiting_item(gate: Gate) -> None:
    worker = Worker[int](gate.handle, lambda _: None)
    worker.start()
    worker.put(0)
    gate.wait()
    worker.put(1)
    assert not worker.stop(timeout_s=0.01)  # the item in hand is not interrupted
    gate.open.release()
    assert worker.stop(DEADLINE_S) and not worker.alive
    assert gate.taken == [0]


def test_draining_takes_the_waiting_item_first(gate: Gate) -> None:
    worker = Worker[int](gate.handle, lambda _: None, at_end=lambda: gate.taken.append(-1))
    worker.start()
    worker.put(0)
    gate.wait()
    worker.put(1)
    gate.open.release(2)
    assert worker.stop(DEADLINE_S, drain=True)
    assert gate.taken == [0, 1, -1]


@pytest.mark.parametrize("broken", [False, True])
def test_the_thread_itself_frees_what_it_owned(broken: bool) -> None:
    freed_in: list[threading.Thread] = []
    worker = Worker[int](
        lambda item: [][item], lambda _: None, at_end=lambda: freed_in.append(threading.current_thread())
    )
    worker.start()
    if broken:
        worker.put(0)
    assert worker.stop(DEADLINE_S, drain=True)
    assert len(freed_in) == 1 and freed_in[0] is not threading.current_thread()


def test_a_worker_that_never_started_stops() -> None:
    assert Worker[int](lambda _: None, lambda _: None).stop(DEADLINE_S)


def test_a_call_that_waits_is_refused_as_soon_as_the_thread_ends(gate: Gate) -> None:
    def handle(item: int) -> None:
        gate.handle(item)
        raise ValueError(f"item {item}")

    worker = Worker[int](handle, lambda _: None)
    worker.start()
    worker.put(0)
    gate.wait()
    answers: list[bool] = []
    caller = threading.Thread(target=lambda: answers.append(worker.call(lambda: None, 1000 * DEADLINE_S)))
    caller.start()
    while not worker._calls:  # until the call has been filed
        assert caller.is_alive()
    gate.open.release()
    caller.join(DEADLINE_S)
    assert answers == [False] and not worker._calls


# --- what a worker holds on to ----------------------------------------------------------------------------------------


class Owner:
    """What the callbacks belong to."""

    def handle(self, item: int) -> None:
        if item < 0:
            raise ValueError(f"item {item}")

    def on_error(self, error: Exception) -> None:
        pass

    def at_end(self) -> None:
        pass


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("item", [1, -1])
def test_a_worker_that_ended_holds_nothing(no_collector: None, item: int) -> None:
    owner = Owner()
    worker, seen = Worker[int](owner.handle, owner.on_error, at_end=owner.at_end), weakref.ref(owner)
    del owner
    assert seen() is not None
    worker.start()
    worker.put(item)
    assert worker.stop(DEADLINE_S)
    assert seen() is None


def test_a_worker_that_never_started_ends_with_its_holder(no_collector: None) -> None:
    owner = Owner()
    worker, seen = Worker[int](owner.handle, owner.on_error), weakref.ref(owner)
    del owner
    assert seen() is not None and not worker.alive and worker.stop(0.0)
    del worker
    assert seen() is None
