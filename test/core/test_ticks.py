"""Laws of the tick grid."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hal_ros.core.ticks import LAST_STAMP_NS, Grid, Placement, is_stamp, place, read_stamp

PERIOD = 100_000_000
MAX_HELD = 5
START = 1_000_000_000

stamps = st.lists(st.integers(START, START + 60 * PERIOD), min_size=1, max_size=80)
# A camera that goes on: at times a few frames are lost, at times a second or two.
steady = st.lists(st.sampled_from([33, 33, 33, 34, 33, 133, 1500]), min_size=3, max_size=60).map(
    lambda steps: [10_000 * START + sum(steps[:count]) * 1_000_000 for count in range(len(steps))]
)


def run(sequence: list[int]) -> list[Placement]:
    grid: Grid | None = None
    placements = []
    for stamp in sequence:
        placements.append(place(stamp, grid, PERIOD, MAX_HELD))
        grid = placements[-1].grid
    return placements


def settled(placements: list[Placement]) -> list[Placement]:
    """What became of each stamp in the end; of the last one only if it does not wait."""
    return [p for placement in placements for p in (placement.waited, placement) if p and p.verdict != "waits"]


def due_of(placements: list[Placement]) -> list[tuple[int, int]]:
    return [(p.grid.origin_ns, p.grid.tick) for p in settled(placements) if p.verdict == "due" and p.grid]


@given(stamps)
def test_ticks_rise_within_a_grid_and_bracket_their_stamps(sequence: list[int]) -> None:
    last: tuple[int, int] | None = None
    for placement in settled(run(sequence)):
        if placement.verdict != "due":
            continue
        assert placement.grid is not None
        origin, tick, stamp, _ = placement.grid
        assert abs(origin + tick * PERIOD - stamp) <= PERIOD // 2
        if placement.restarted:
            assert tick == 0
        else:
            assert last is not None and last[0] == origin and last[1] < tick <= last[1] + 1 + MAX_HELD
        last = (origin, tick)


@given(stamps)
def test_every_stamp_gets_one_verdict_but_the_last_may_wait(sequence: list[int]) -> None:
    placements = run(sequence)
    waits = placements[-1].grid is not None and placements[-1].grid.waiting_ns > 0
    assert len(settled(placements)) == len(sequence) - waits


@given(steady, st.integers(0, 58), st.sampled_from([-3600_000, -2_000, -1_100, 800, 2_000, 10**9]))
def test_one_stamp_that_jumps_and_comes_back_costs_itself_alone(sequence: list[int], at: int, off_ms: int) -> None:
    at = 1 + at % (len(sequence) - 1)
    far = [*sequence[:at], sequence[at - 1] + off_ms * 1_000_000, *sequence[at:]]
    around = [START * 10_000, *sequence][at - 1 : at + 2]
    assume(max(b - a for a, b in pairwise(around)) < PERIOD * MAX_HELD)  # else its neighbour is in doubt, too
    clean, dirty = run(sequence), run(far)
    assert due_of(dirty) == due_of(clean)
    assert sum(p.verdict == "outlier" for p in settled(dirty)) == 1


@given(steady, st.sampled_from([-3600_000, -2_000, 2_000, 10**9]))
def test_a_stream_that_goes_on_elsewhere_begins_a_grid_with_its_first_stamp(sequence: list[int], off_ms: int) -> None:
    short = [stamp for stamp in sequence if stamp - sequence[0] < START // 2] or sequence[:1]
    assume(len(short) > 1)
    moved = [stamp + off_ms * 1_000_000 for stamp in short]
    placements = run([*short, *moved])
    alone = due_of(run(moved))
    assert due_of(placements)[-len(alone) :] == alone and not any(p.verdict == "outlier" for p in settled(placements))


@given(stamps, st.integers(1, 10**15))
def test_a_shifted_clock_changes_nothing(sequence: list[int], shift: int) -> None:
    shifted = [(o - shift, t) for o, t in due_of(run([s + shift for s in sequence]))]
    assert shifted == due_of(run(sequence))


@given(steady)
def test_a_looped_bag_gets_the_same_ticks_again(sequence: list[int]) -> None:
    ahead = max(sequence) + 200 * PERIOD  # far enough that the loop is a jump back
    sequence = [*sequence, ahead, ahead + PERIOD]
    once, twice = due_of(run(sequence)), due_of(run(sequence * 2))
    assert twice == once * 2


@pytest.mark.parametrize(("sec", "nanosec"), [(5, 10**9), (5, 2**32 - 1), (2**31 - 1, 2**32 - 1), (0, 0), (5, -1)])
def test_a_stamp_with_a_second_or_more_of_nanoseconds_is_none(sec: int, nanosec: int) -> None:
    assert not is_stamp(read_stamp(sec, nanosec))
    assert read_stamp(5, 10**9 - 1) == 5_999_999_999  # negative control


def test_what_follows_the_last_stamp_can_be_written() -> None:
    assert (LAST_STAMP_NS + 100 * 10**9) // 10**9 < 2**31  # a tick of the slowest model
    assert not is_stamp(read_stamp(-1, 0))


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
        (-1_000_000_001, "waits", False),
        ((MAX_HELD + 1) * PERIOD, "due", False),
        ((MAX_HELD + 2) * PERIOD, "waits", False),
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
