"""How far long work is: a bar in a terminal, and elsewhere a line now and then.

Pieces of work lie in one another, as a validation does in a training. In a terminal each has a bar while it lasts, with
a clock that ticks while nothing else happens; elsewhere who is done with a step tells, every ten seconds at most for
all of them together, so that short work says nothing.
"""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from hal_ros.core.work import Report

EVERY_S = 10.0
"""Nobody waits longer for a line, as long as the work goes on in steps that are shorter."""
REFRESHES_HZ = 4.0
BAR_COLUMNS = 30
PRINT: Report = partial(print, flush=True)
Item = TypeVar("Item")


class Progress(ABC):
    """One piece of work; whoever does it says how far it is."""

    def __init__(self, label: str, total: float) -> None:
        self.label, self.total, self.done, self.begun = label, total, 0.0, False

    def advance(self, by: float = 1.0, what: str = "") -> None:
        """Say that so much more of `total` is done, and what comes next."""
        self.reach(self.done + by, what)

    def begin(self, what: str) -> None:
        """Say what comes next; it counts one, once another one begins."""
        self.reach(self.done + self.begun, what)
        self.begun = True

    def reach(self, done: float, what: str = "") -> None:
        """Say how much of `total` is done, and what comes next."""
        self.done = done
        self.show(f"{self.label} {what}".rstrip())

    @abstractmethod
    def show(self, text: str) -> None:
        """Show a piece of work by this text."""


class _Bar(Progress):
    """A bar of rich."""

    def __init__(self, label: str, total: float, bars: Any) -> None:
        super().__init__(label, total)
        self.bars, self.task = bars, bars.add_task(label, total=total)

    def show(self, text: str) -> None:
        self.bars.update(self.task, completed=self.done, description=text)


class _Line(Progress):
    """Lines, of which the clock decides whether they are told."""

    def __init__(self, label: str, total: float, clock: Clock, report: Report) -> None:
        super().__init__(label, total)
        self.clock, self.report, self.started_s = clock, report, clock.now_s()

    def show(self, text: str) -> None:
        if self.clock.is_due():
            share = f"{self.done / self.total:.0%}" if self.total else "at work"
            self.report(f"{text}: {share}, {self.clock.told_s - self.started_s:.0f} s")


class Clock:
    """When the last line was told; shared by pieces of work that lie in one another."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Count from now."""
        self.now_s, self.told_s = now_s, now_s()

    def is_due(self) -> bool:
        """Tell whether a line is due, which then counts as told."""
        now_s = self.now_s()
        if now_s - self.told_s < EVERY_S:
            return False
        self.told_s = now_s
        return True


class _Shown:
    """What is shown by this process: the bars of its terminal, or the clock of its lines; None while nothing is."""

    bars: Any = None
    clock: Clock | None = None


@contextmanager
def progress(label: str, total: float, report: Report = PRINT, clock: Clock | None = None) -> Iterator[Progress]:
    """Show a piece of work while it lasts; it is done at `total`, in whatever units.

    Lines go to `report`; `clock` is for tests, by default all pieces of work inside one another share theirs.
    """
    show = _bar if clock is None and sys.stdout.isatty() else partial(_line, report=report, clock=clock)
    with show(label, total) as shown:
        yield shown


def tracked(items: Iterable[Item], label: str, total: int, report: Report = PRINT) -> Iterator[Item]:
    """Yield the items, `total` in all, and show how many have been dealt with, the one in hand not counted."""
    with progress(label, total, report) as shown:
        for number, item in enumerate(items, 1):
            yield item
            shown.reach(number, f"{number}/{total}")


@contextmanager
def _bar(label: str, total: float) -> Iterator[Progress]:
    if _Shown.bars is not None:
        bar = _Bar(label, total, _Shown.bars)
        try:
            yield bar
        finally:
            bar.bars.remove_task(bar.task)
        return
    with _bars() as _Shown.bars:
        try:
            yield _Bar(label, total, _Shown.bars)
        finally:
            _Shown.bars = None


def _bars() -> Any:
    """Return the terminal's place for bars, which is empty again when it is left."""
    from rich import progress as rich  # late: most processes show none

    from hal_ros.outside.console import PrintableConsole

    return rich.Progress(
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(BAR_COLUMNS),
        rich.TextColumn("{task.percentage:>3.0f} %", markup=False),
        rich.TimeElapsedColumn(),
        console=PrintableConsole(soft_wrap=True),  # lines that are printed meanwhile stay whole
        refresh_per_second=REFRESHES_HZ,
        transient=True,
    )


@contextmanager
def _line(label: str, total: float, report: Report, clock: Clock | None) -> Iterator[Progress]:
    outer = _Shown.clock
    _Shown.clock = clock or outer or Clock()
    try:
        yield _Line(label, total, _Shown.clock, report)
    finally:
        _Shown.clock = outer
