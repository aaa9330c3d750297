"""The tick grid: a function of the clock's stamps alone."""

from __future__ import annotations

from typing import Literal, NamedTuple

BACKWARD_JUMP_NS = 1_000_000_000
"""A stamp further back than this is a new stream (a looped bag, a reset simulation), not a late frame."""

S_NS = 1_000_000_000
LAST_STAMP_NS = ((1 << 31) - 3600) * S_NS - 1
"""ROS counts a stamp's seconds in 32 bits. An hour is left, so that what follows a tick can be written, too."""
NO_STAMP_NS = 0
"""What a message bears that nobody stamped."""

Verdict = Literal["due", "not_due", "repeated", "backwards", "zero", "waits", "outlier"]


class Grid(NamedTuple):
    """Where a stream stands: tick 0 lies at origin_ns, `tick` was the last due one, stamp_ns the newest stamp seen.

    `waiting_ns` is a stamp that jumped; the next one tells whether the stream goes on from there. NO_STAMP_NS: none.
    """

    origin_ns: int
    tick: int
    stamp_ns: int
    waiting_ns: int = NO_STAMP_NS


class Placement(NamedTuple):
    """What becomes of one stamp. `restarted` says that `grid` is a fresh one, so the model's state must be too.

    `waited` is what this stamp makes of the one that waited for it: the first tick of a fresh grid, or an outlier.
    """

    verdict: Verdict
    grid: Grid | None
    restarted: bool = False
    waited: Placement | None = None


def is_stamp(stamp_ns: int) -> bool:
    """Whether a time may be a message's stamp: 0 says that it has none."""
    return 0 < stamp_ns <= LAST_STAMP_NS


def read_stamp(sec: int, nanosec: int) -> int:
    """Return a stamp's nanoseconds; NO_STAMP_NS where it is none that a clock can give, with a second or more in them.

    A stamp before 1970 or behind LAST_STAMP_NS is returned as it is: `is_stamp` refuses it.
    """
    return int(sec) * S_NS + int(nanosec) if 0 <= nanosec < S_NS else NO_STAMP_NS


def place(stamp_ns: int, grid: Grid | None, period_ns: int, max_held_ticks: int) -> Placement:
    """Place a stamp on the grid: tick = round((stamp - origin) / period), and the first stamp of a tick wins.

    The first stamp starts the grid. One that comes after more than max_held_ticks missing ticks, or is more than a
    second back, waits for the next: where that goes on from it, it was tick 0 of a fresh grid, else an outlier, and
    the grid stays. Zero stamps, repeats and smaller steps back leave the grid as it was.
    """
    if not is_stamp(stamp_ns):
        return Placement("zero", grid)
    if grid is None:
        return _begun(stamp_ns)
    if stamp_ns in (grid.stamp_ns, grid.waiting_ns):
        return Placement("repeated", grid)
    if grid.waiting_ns == NO_STAMP_NS:
        return _placed(stamp_ns, grid, period_ns, max_held_ticks)
    waited = _begun(grid.waiting_ns) if _goes_on(stamp_ns, grid) else Placement("outlier", grid._replace(waiting_ns=0))
    assert waited.grid is not None
    return _placed(stamp_ns, waited.grid, period_ns, max_held_ticks)._replace(waited=waited)


def may_begin(stamp_ns: int, grid: Grid, period_ns: int, max_held_ticks: int) -> bool:
    """Whether the stamps alone explain that a fresh grid begins with this one; a reset is needed otherwise."""
    return place(stamp_ns, grid, period_ns, max_held_ticks).verdict == "waits"


def _begun(stamp_ns: int) -> Placement:
    return Placement("due", Grid(stamp_ns, 0, stamp_ns), restarted=True)


def _goes_on(stamp_ns: int, grid: Grid) -> bool:
    """Whether a stamp goes on from the one that waits, and not from the grid."""
    if stamp_ns < grid.waiting_ns:
        return False
    return grid.waiting_ns > grid.stamp_ns or grid.stamp_ns - stamp_ns > BACKWARD_JUMP_NS


def _placed(stamp_ns: int, grid: Grid, period_ns: int, max_held_ticks: int) -> Placement:
    tick = (stamp_ns - grid.origin_ns + period_ns // 2) // period_ns
    if grid.stamp_ns - stamp_ns > BACKWARD_JUMP_NS or tick - grid.tick - 1 > max_held_ticks:
        return Placement("waits", grid._replace(waiting_ns=stamp_ns))
    if stamp_ns <= grid.stamp_ns:
        return Placement("repeated" if stamp_ns == grid.stamp_ns else "backwards", grid)
    if tick <= grid.tick:
        return Placement("not_due", grid._replace(stamp_ns=stamp_ns))
    return Placement("due", Grid(grid.origin_ns, tick, stamp_ns))
