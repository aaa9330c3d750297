"""The tick grid: a function of the clock's stamps alone."""

from __future__ import annotations

from typing import Literal, NamedTuple

BACKWARD_JUMP_NS = 1_000_000_000
"""A stamp further back than this is a new stream (a looped bag, a reset simulation), not a late frame."""

LAST_STAMP_NS = (1 << 31) * 1_000_000_000 - 1
"""ROS counts a stamp's seconds in 32 bits: no message can bear a later one, and so no answer either."""

Verdict = Literal["due", "not_due", "repeated", "backwards", "zero"]


class Grid(NamedTuple):
    """Where a stream stands: tick 0 lies at origin_ns, `tick` was the last due one, stamp_ns the newest stamp seen."""

    origin_ns: int
    tick: int
    stamp_ns: int


class Placement(NamedTuple):
    """What becomes of one stamp. `restarted` says that `grid` is a fresh one, so the model's state must be too."""

    verdict: Verdict
    grid: Grid | None
    restarted: bool = False


def is_stamp(stamp_ns: int) -> bool:
    """Whether a time may be a message's stamp: 0 says that it has none."""
    return 0 < stamp_ns <= LAST_STAMP_NS


def place(stamp_ns: int, grid: Grid | None, period_ns: int, max_held_ticks: int) -> Placement:
    """Place a stamp on the grid: tick = round((stamp - origin) / period), and the first stamp of a tick wins.

    The first stamp, one that comes after more than max_held_ticks missing ticks, and one more than a second back
    start a fresh grid at tick 0. Zero stamps, repeats and smaller steps back leave the grid as it was.
    """
    if not is_stamp(stamp_ns):
        return Placement("zero", grid)
    fresh = Placement("due", Grid(stamp_ns, 0, stamp_ns), restarted=True)
    if grid is None or grid.stamp_ns - stamp_ns > BACKWARD_JUMP_NS:
        return fresh
    if stamp_ns <= grid.stamp_ns:
        return Placement("repeated" if stamp_ns == grid.stamp_ns else "backwards", grid)
    tick = (stamp_ns - grid.origin_ns + period_ns // 2) // period_ns
    if tick <= grid.tick:
        return Placement("not_due", grid._replace(stamp_ns=stamp_ns))
    if tick - grid.tick - 1 > max_held_ticks:
        return fresh
    return Placement("due", Grid(grid.origin_ns, tick, stamp_ns))
