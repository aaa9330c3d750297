"""Laws of the tick grid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.core.ticks import LAST_STAMP_NS, Grid, Placement, place

PERIOD = 100_000_000
MAX_HELD = 5
START = 1_000_000_000

stamps = st.lists(st.integers(START, START + 60 * PERIOD), min_size=1, max_size=80)


def run(sequence: list[int]) -> list[Placement]:
    grid: Grid | None = None
    placements = []
    for stamp in sequence:
        placements.append(place(stamp, grid, PERIOD, MAX_HELD))
        grid = placements[-1].grid
    return placements


def due_of(placements: list[Placement]) -> list[tuple[int, int]]:
    return [(p.grid.origin_ns, p.grid.tick) for p in placements if p.verdict == "due" and p.grid]


@given(stamps)
def test_ticks_rise_within_a_grid_and_bracket_their_stamps(sequence: list[int]) -> None:
    last: tuple[int, int] | None = None
    for stamp, placement in zip(sequence, run(sequence), strict=True):
        if placement.verdict != "due":
            continue
        assert placement.grid is not None
        origin, tick, _ = placement.grid
        assert abs(origin + tick * PERIOD - stamp) <= PERIOD // 2
        if placement.restarted:
            assert tick == 0
        else:
            assert last is not None and last[0] == origin and last[1] < tick <= last[1] + 1 + MAX_HELD
        last = (origin, tick)


@given(stamps, st.integers(1, 10**15))
def test_a_shifted_clock_changes_nothing(sequence: list[int], shift: int) -> None:
    shifted = [(o - shift, t) for o, t in due_of(run([s + shift for s in sequence]))]
    assert shifted == due_of(run(sequence))


@given(stamps)
def test_a_looped_bag_gets_the_same_ticks_again(sequence: list[int]) -> None:
    sequence = [*sorted(sequence), START + 200 * PERIOD]  # far enough ahead that the loop is a jump back
    once, twice = due_of(run(sequence)), due_of(run(sequence * 2))
    assert twice == once * 2


@pytest.mark.parametrize("stamp", [0, -1, LAST_STAMP_NS + 1, 2**63, 2**64 - 1])
def test_what_no_message_can_bear_is_no_stamp(stamp: int) -> None:
    assert place(stamp, None, PERIOD, MAX_HELD).verdict == "zero"
    assert place(LAST_STAMP_NS, None, PERIOD, MAX_HELD).verdict == "due"  # negative control


def test_the_first_image_of_a_tick_wins_and_15_hz_fills_a_10_hz_grid() -> None:
    camera = [START + round(i * 1e9 / 15) for i in range(150)]
    placements = run(camera)
    ticks = [p.grid.tick for p in placements if p.verdict == "due" and p.grid]
    assert ticks == list(range(100))
    assert {p.verdict for p in placements} == {"due", "not_due"}


@pytest.mark.parametrize(
    ("step_ns", "verdict", "restarted"),
    [
        (0, "repeated", False),
        (-1, "backwards", False),
        (-1_000_000_000, "backwards", False),
        (-1_000_000_001, "due", True),
        ((MAX_HELD + 1) * PERIOD, "due", False),
        ((MAX_HELD + 2) * PERIOD, "due", True),
        (PERIOD // 4, "not_due", False),
    ],
)
def test_what_becomes_of_the_second_stamp(step_ns: int, verdict: str, restarted: bool) -> None:
    first = 10 * START
    placement = run([first, first + step_ns])[1]
    assert (placement.verdict, placement.restarted) == (verdict, restarted)


def test_a_zero_stamp_leaves_the_grid_alone() -> None:
    before = place(START, None, PERIOD, MAX_HELD).grid
    assert place(0, before, PERIOD, MAX_HELD) == Placement("zero", before)
