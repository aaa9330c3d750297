"""A camera beside the clock: its newest picture that is not newer than the tick, and young enough."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hal_ros.core.streams.pictures import MOST_WAITING, PictureQueue, TimedPicture
from hal_ros.core.streams.spec import CameraSpec
from hal_ros.core.ticks import LAST_STAMP_NS

S, MS = 1_000_000_000, 1_000_000
START = 100 * S
SPEC = CameraSpec(max_age_s=0.2)


def queue() -> tuple[PictureQueue, Counter[str]]:
    counters: Counter[str] = Counter()
    return PictureQueue("wrist", SPEC, counters), counters


def shot(stamp_ns: int) -> TimedPicture:
    return TimedPicture(stamp_ns, "/wrist", object())


moments = st.integers(0, 60).map(lambda tens: START + tens * 10 * MS)


@given(
    st.lists(moments, max_size=20, unique=True),
    st.lists(moments, min_size=1, max_size=6, unique=True).map(sorted),
    st.integers(0, 20),
)
def test_it_is_the_newest_that_is_not_newer_and_young_enough(stamps: list[int], ticks: list[int], first: int) -> None:
    """Some came before the first tick, in any order; the rest may be late."""
    pictures, _ = queue()
    came = [shot(stamp_ns) for stamp_ns in stamps]
    for one in came[:first]:
        pictures.add(one)
    known = came[:first]
    for tick_ns in ticks:
        fitting = [one for one in known if tick_ns - 200 * MS <= one.stamp_ns <= tick_ns]
        assert pictures.at(tick_ns) is max(fitting, key=lambda one: one.stamp_ns, default=None)
        if known is not came:
            for one in came[first:]:
                pictures.add(one)
            known = came


def test_a_picture_serves_several_ticks_and_is_the_same_one() -> None:
    pictures, _ = queue()
    one = shot(START)
    pictures.add(one)
    assert all(pictures.at(START + i * 50 * MS) is one for i in range(5))
    assert pictures.at(START + 200 * MS + 1) is None


def test_what_is_wrong_with_pictures_is_counted() -> None:
    pictures, counters = queue()
    assert pictures.at(START) is None
    assert counters == {"wrist/missing": 1}
    assert pictures.add(shot(START + MS)) and not pictures.add(shot(START + MS)) and not pictures.add(shot(0))
    assert not pictures.add(shot(LAST_STAMP_NS + 1))
    assert pictures.at(START + S) is None
    assert pictures.add(shot(START + S - MS))
    assert {name: count for name, count in counters.items() if count} == {
        "wrist/missing": 2,
        "wrist/stale": 1,
        "wrist/received": 2,
        "wrist/repeated": 1,
        "wrist/zero": 2,
        "wrist/late": 1,
    }


def test_memory_stays_bounded_while_the_clock_is_silent() -> None:
    pictures, counters = queue()
    for i in range(1000):
        pictures.add(shot(START + i * MS))
    assert len(pictures._pictures) == MOST_WAITING
    assert counters["wrist/overflowed"] == 1000 - MOST_WAITING
    found = pictures.at(START + 999 * MS)
    assert found is not None and found.stamp_ns == START + 999 * MS
    assert len(pictures._pictures) == 1


def test_pictures_wait_for_seconds_by_their_stamps() -> None:
    pictures, counters = queue()
    for i in range(300):  # 30 Hz; one stamp is far off
        pictures.add(shot(START + i * 33 * MS))
        if i == 150:
            pictures.add(shot(START + 5000 * S))
    waiting = [one.stamp_ns - START for one in pictures._pictures]
    assert 1_900 * MS < waiting[-2] - waiting[0] < 2_200 * MS and counters["wrist/overflowed"] > 200


def test_a_looped_bag_starts_afresh() -> None:
    pictures, counters = queue()
    loops = []
    for _ in range(3):
        answers, rest = [], [START + i * 70 * MS for i in range(40)]
        for tick_ns in range(START, START + 3 * S, 100 * MS):
            while rest and rest[0] <= tick_ns + 30 * MS:
                pictures.add(shot(rest.pop(0)))
            found = pictures.at(tick_ns)
            answers.append(found and found.stamp_ns)
        loops.append(answers)
    assert loops[0] == loops[1] == loops[2]
    assert not counters["wrist/late"] and not counters["wrist/repeated"]
