"""Keeping a loop on a clock's beat, and owning up where it can't be kept."""

from __future__ import annotations

import time
from collections.abc import Callable

MAX_LAG_NS = 200_000_000
"""After a longer stall the beat starts anew, instead of hurrying through what was lost."""


class Pacer:
    """Returns from `wait` once every period. Late beats are counted; time beyond MAX_LAG_NS is given up and summed."""

    def __init__(
        self,
        period_ns: int,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.beats = 0
        self.late = 0
        self.given_up_ns = 0
        self._period_ns = period_ns
        self._clock_ns = clock_ns
        self._sleep = sleep
        self._due_ns = clock_ns()

    def wait(self) -> int:
        """Sleep until the next beat; returns when it was due, in ns of the clock, which is never after now."""
        self._due_ns += self._period_ns
        ahead_ns = self._due_ns - self._clock_ns()
        if ahead_ns > 0:
            self._sleep(ahead_ns / 1e9)
        elif -ahead_ns > self._period_ns:
            self.late += 1
            if -ahead_ns > MAX_LAG_NS:
                self._due_ns -= ahead_ns
                self.given_up_ns -= ahead_ns
        self.beats += 1
        return self._due_ns
