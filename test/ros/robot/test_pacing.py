"""A loop keeps its beat, catches up with small delays, and gives up what it can't make up for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hal_ros.ros.robot.pacing import MAX_LAG_NS, Pacer

PERIOD_NS = 10_000_000


class FakeTime:
    """A clock that moves when somebody sleeps or works; both may take longer than asked for."""

    def __init__(self) -> None:
        self.now_ns = 1_000

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


def beats(works_ns: list[int]) -> tuple[Pacer, list[int], FakeTime]:
    """Run a loop whose body takes these times; returns when each beat was due."""
    clock = FakeTime()
    pacer = Pacer(PERIOD_NS, lambda: clock.now_ns, clock.sleep)
    due = []
    for work_ns in works_ns:
        due.append(pacer.wait())
        clock.now_ns += work_ns
    return pacer, due, clock


def test_the_beat_does_not_drift() -> None:
    _, due, _ = beats([3_000_000, 9_000_000, 0, 1] * 25)
    assert due == [1_000 + PERIOD_NS * (i + 1) for i in range(100)]


def test_a_small_delay_is_caught_up_with() -> None:
    pacer, due, _ = beats([0, 45_000_000, 0, 0, 0, 0, 0, 0])
    assert due == [1_000 + PERIOD_NS * (i + 1) for i in range(8)]
    assert (pacer.late, pacer.given_up_ns) == (3, 0)


def test_a_long_stall_is_given_up() -> None:
    pacer, due, clock = beats([0, MAX_LAG_NS + 50_000_000, 0, 0])
    assert pacer.given_up_ns == MAX_LAG_NS + 40_000_000 and pacer.late == 1
    assert due[3] - due[2] == PERIOD_NS and clock.now_ns == due[3]


@given(st.lists(st.integers(0, 500_000_000), min_size=1, max_size=50))
def test_beats_rise_by_a_period_at_least_and_are_never_ahead_of_time(works_ns: list[int]) -> None:
    clock = FakeTime()
    pacer = Pacer(PERIOD_NS, lambda: clock.now_ns, clock.sleep)
    before = clock.now_ns
    for work_ns in works_ns:
        due = pacer.wait()
        assert due - before >= PERIOD_NS and clock.now_ns >= due
        assert clock.now_ns - due <= MAX_LAG_NS
        before = due
        clock.now_ns += work_ns
    assert pacer.beats == len(works_ns)
