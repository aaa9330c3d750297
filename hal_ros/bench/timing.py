"""Wall times of calls, and ratios of processor times of what was timed in turns.

A call that is shorter than the scheduler's slice mostly runs through on a busy machine, and a longer one never does: of
their wall times no ratio can be believed there. Processor times of the calling thread can.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

WARM_UPS = 5
Act = Callable[[], object]
Times = NDArray[np.float64]


def median_ms(act: Act, repeats: int) -> float:
    """Return the median wall time of `act` in milliseconds, after some calls to warm up."""
    for _ in range(WARM_UPS):
        act()
    return float(np.median(_times_ms(act, repeats, time.perf_counter_ns)))


def in_turns(acts: Mapping[str, Act], rounds: int, calls: int = 4) -> dict[str, Times]:
    """Return (rounds,) for each act: each round's median processor time of `calls` calls, in milliseconds.

    In each round every act has its turn, which begins with one call that is not timed: the caches still hold the
    act before it. Every second round runs backwards, so that nobody always comes after the same one. What an act
    leaves to other threads is not seen.
    """
    names = list(acts)
    times: dict[str, Times] = {name: np.zeros(rounds) for name in names}
    for index in range(rounds):
        for name in names if index % 2 == 0 else reversed(names):
            acts[name]()
            times[name][index] = np.median(_times_ms(acts[name], calls, time.thread_time_ns))
    return times


def ratio(times: Times, others: Times) -> float:
    """Return how many times as long the first ones took: the median over the rounds of each round's ratio."""
    return float(np.median(times / others))


def _times_ms(act: Act, repeats: int, clock_ns: Callable[[], int]) -> Times:
    times: Times = np.zeros(repeats)
    for index in range(repeats):
        start = clock_ns()
        act()
        times[index] = clock_ns() - start
    return times * 1e-6
