"""A state at a tick is the newest word on each value, whoever said it and in whatever order it came."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal_ros.core.streams.merge import MOST_KINDS, MOST_WAITING, Source, StateAtTick, StateMerger, StateSample
from hal_ros.core.streams.spec import StateSpec
from hal_ros.core.ticks import BACKWARD_JUMP_NS, LAST_STAMP_NS

S, MS = 1_000_000_000, 1_000_000
START = 10_000 * S
SPEC = StateSpec(names=("a", "b", "c"), fields=("position",), max_age_s=0.1)
TOPICS = ("/arm", "/gripper")
NAN = float("nan")


def merger(spec: StateSpec = SPEC) -> tuple[StateMerger, Counter[str]]:
    counters: Counter[str] = Counter()
    return StateMerger("arm", spec, counters), counters


def sample(
    stamp_ns: int, values: Sequence[float] = (1, 2, 3), present: Sequence[bool] | None = None, topic: str = "/arm"
) -> StateSample:
    return StateSample(
        stamp_ns, topic, np.array(values, np.float32), None if present is None else np.array(present, bool)
    )


def only(stamp_ns: int, index: int, value: float, topic: str = "/arm") -> StateSample:
    """A message that speaks of one value alone."""
    return sample(stamp_ns, [value] * 3, [i == index for i in range(3)], topic)


def text(found: StateAtTick) -> tuple[list[float], list[float], tuple[Source, ...]]:
    return found.values.tolist(), found.valid.tolist(), found.sources


def reference(samples: Iterable[StateSample], stamp_ns: int, max_age_ns: int) -> StateAtTick:
    """The law by brute force; `samples` in the order in which they came."""
    values, valid, used = np.zeros(3, np.float32), np.zeros(3, np.float32), []
    known = [one for one in samples if 0 < one.stamp_ns <= stamp_ns]
    for index in range(3):
        speaking = [
            (one.stamp_ns, one.topic, -order)
            for order, one in enumerate(known)
            if one.present is None or one.present[index]
        ]
        if not speaking:
            continue
        newest_ns, _, order = max(speaking)
        if newest_ns < stamp_ns - max_age_ns:
            continue
        one = known[-order]
        if not any(one is other for other in used):
            used.append(one)
        if np.isfinite(one.values[index]):
            values[index], valid[index] = one.values[index], 1
    return StateAtTick(
        values, valid, tuple(Source("arm", t, s) for s, t in sorted((u.stamp_ns, u.topic) for u in used))
    )


moments = st.integers(0, 40).map(lambda tenths: START + tenths * 10 * MS)
drivers = st.lists(
    st.builds(
        sample,
        moments,
        st.lists(st.sampled_from([1.0, 2.5, -3.0, NAN, float("inf")]), min_size=3, max_size=3),
        st.one_of(st.none(), st.lists(st.booleans(), min_size=3, max_size=3)),
        st.sampled_from(TOPICS),
    ),
    max_size=40,
)
ticks = st.lists(moments, min_size=1, max_size=8, unique=True).map(sorted)


def accepted(state: StateMerger, samples: Iterable[StateSample]) -> list[StateSample]:
    return [one for one in samples if state.add(one)]


@settings(max_examples=300)
@given(drivers, ticks, st.integers(0, 3))
def test_it_is_the_newest_value_of_each_name(samples: list[StateSample], stamps: list[int], age_tenths: int) -> None:
    state, _ = merger(replace(SPEC, max_age_s=age_tenths / 10))
    kept: list[StateSample] = []
    earlier = 0
    for stamp_ns in stamps:  # nothing is late: what is not newer than a tick came before it, the rest after it
        kept += accepted(state, [one for one in samples if earlier < one.stamp_ns <= stamp_ns])
        earlier = stamp_ns
        assert text(state.at(stamp_ns)) == text(reference(kept, stamp_ns, age_tenths * 100 * MS))


@settings(max_examples=200)
@given(drivers, ticks, st.randoms(use_true_random=False))
def test_what_comes_early_waits_and_the_order_of_topics_does_not_matter(
    samples: list[StateSample], stamps: list[int], shuffle: random.Random
) -> None:
    """All came before the first tick, each topic in its own order: the answer is a function of the stamps."""
    queues = {topic: [one for one in samples if one.topic == topic] for topic in TOPICS}
    mixed = []
    while any(queues.values()):
        mixed.append(queues[shuffle.choice([topic for topic, queue in queues.items() if queue])].pop(0))
    (plain, _), (other, _) = merger(), merger()
    kept = accepted(plain, samples)
    assert sorted(map(id, accepted(other, mixed))) == sorted(map(id, kept))
    for stamp_ns in stamps:
        expected = text(reference(kept, stamp_ns, 100 * MS))
        assert text(plain.at(stamp_ns)) == text(other.at(stamp_ns)) == expected


@settings(max_examples=200)
@given(drivers, st.lists(st.one_of(st.none(), moments), max_size=8))
def test_late_messages_count_from_the_next_tick_on(samples: list[StateSample], calls: list[int | None]) -> None:
    """Whatever the order: a tick knows all that came before it, and nothing that is newer than it."""
    state, _ = merger()
    rest, kept, asked = list(samples), list[StateSample](), 0
    for stamp_ns in calls:
        kept += accepted(state, [rest.pop(0) for _ in range(min(len(rest), 5))])
        if stamp_ns is not None and stamp_ns > asked:
            asked = stamp_ns
            assert text(state.at(stamp_ns)) == text(reference(kept, stamp_ns, 100 * MS))


def test_the_reference_would_see_a_broken_rule() -> None:  # negative control
    state, _ = merger()
    kept = accepted(state, [only(START, 0, 1.0), only(START + MS, 0, 2.0)])
    assert text(state.at(START)) == text(reference(kept, START, 100 * MS))
    assert text(reference(kept, START, 100 * MS)) != text(reference(kept, START + MS, 100 * MS))
    assert text(reference(kept[::-1], START, 100 * MS)) == text(reference(kept, START, 100 * MS))


@given(drivers, moments, drivers)
def test_the_future_changes_nothing(samples: list[StateSample], stamp_ns: int, more: list[StateSample]) -> None:
    (plain, _), (told, _) = merger(), merger()
    known = [one for one in samples if one.stamp_ns <= stamp_ns]
    later = [replace(one, stamp_ns=stamp_ns + 1 + one.stamp_ns - START) for one in more]
    accepted(plain, known)
    accepted(told, [*later, *known])
    assert text(plain.at(stamp_ns)) == text(told.at(stamp_ns))


def test_a_late_message_counts_from_the_next_tick_on() -> None:
    state, counters = merger()
    state.add(sample(START - 50 * MS, (1, 1, 1)))
    assert state.at(START).values.tolist() == [1, 1, 1]
    state.add(sample(START - 10 * MS, (2, 2, 2)))
    state.add(sample(START - 60 * MS, (3, 3, 3)))  # older than what is known
    assert state.at(START + MS).values.tolist() == [2, 2, 2]
    assert counters["arm/late"] == 2


@pytest.mark.parametrize("present", [None, (True, True, True)])
def test_a_clock_that_was_turned_back_a_little_sees_nothing_newer(present: Sequence[bool] | None) -> None:
    """As after a reset: a step back that is too small for a stream that begins anew."""
    state, _ = merger()
    state.add(sample(START - 10 * MS, present=present))
    assert state.at(START).valid.all()
    assert not state.at(START - 20 * MS).valid.any()
    assert state.at(START).valid.all()


def test_drivers_that_take_turns_give_whole_ticks() -> None:
    for topics in (("/arm", "/arm"), TOPICS):
        state, counters = merger()
        for turn in range(20):
            stamp_ns = START + turn * 20 * MS
            state.add(sample(stamp_ns, (1, 2, 0), (True, True, False), topics[0]))
            state.add(sample(stamp_ns + 10 * MS, (0, 0, 3), (False, False, True), topics[1]))
            if turn % 5 == 4:
                found = state.at(stamp_ns + 15 * MS)
                assert (found.values.tolist(), found.valid.tolist()) == ([1, 2, 3], [1, 1, 1])
                assert len(found.sources) == 2
        assert counters == {"arm/received": 40}


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("offset_ns", [None, -2 * S, 2 * S, 3600 * S, -3600 * S])
def test_a_driver_whose_clock_is_wrong_never_clears_others(topic: str, offset_ns: int | None) -> None:
    """None: one that sends no stamp. It says nothing new of names that others know better."""
    state, counters = merger()
    for turn in range(5_000):
        now = START + turn * MS
        state.add(sample(0 if offset_ns is None else now + offset_ns, (7, 7, 7), (True, True, False), topic))
        state.add(sample(now, (1, 2, 3)))
        if turn % 100 == 50:
            found = state.at(now)
            assert found.valid.all() and found.values[2] == 3
            if offset_ns != 2 * S:  # what comes two seconds early is the newest word two seconds later
                assert found.values.tolist() == [1, 2, 3]
                assert found.sources == (Source("arm", "/arm", now),)
    assert counters["arm/received"] == 5_000 * (1 if offset_ns is None else 2)
    assert counters["arm/zero"] == (5_000 if offset_ns is None else 0)
    assert not counters["arm/partial"] and not counters["arm/missing"]


def test_repeats_are_refused_and_counted() -> None:
    state, counters = merger()
    assert state.add(sample(START, (1, 1, 1)))
    assert not state.add(sample(START, (2, 2, 2)))
    assert state.add(sample(START + MS))
    assert not state.add(sample(START, (2, 2, 2)))  # also when others came between
    assert state.add(only(START, 2, 5.0))  # another driver of that topic
    assert state.add(sample(START, (3, 3, 3), topic="/gripper"))
    assert counters == {"arm/received": 4, "arm/repeated": 2}
    assert state.at(START).values.tolist() == [3, 3, 3]
    state, _ = merger()
    for one in (sample(START, (1, 1, 1)), sample(START, (2, 2, 2)), only(START, 2, 5.0)):
        state.add(one)
    assert state.at(START).values.tolist() == [1, 1, 1]


@pytest.mark.parametrize("stamp_ns", [0, -1, LAST_STAMP_NS + 1, 2**64 - 1])
def test_what_no_message_can_bear_is_no_stamp(stamp_ns: int) -> None:
    state, counters = merger()
    assert not state.add(sample(stamp_ns, (1, 1, 1)))
    assert counters == {"arm/zero": 1}


def test_the_newest_word_counts_though_it_is_that_the_value_is_unknown() -> None:
    state, counters = merger()
    state.add(sample(START))
    state.add(sample(START + MS, (NAN, float("inf"), 3)))
    found = state.at(START + MS)
    assert (found.values.tolist(), found.valid.tolist()) == ([0, 0, 3], [0, 0, 1])
    assert found.sources == (Source("arm", "/arm", START + MS),)
    assert counters["arm/partial"] == 1


def test_ticks_are_counted_as_missing_stale_or_partial() -> None:
    state, counters = merger()
    state.at(START)
    assert counters == {"arm/missing": 1}
    state.add(sample(START + 1, (NAN,) * 3))
    state.at(START + 2)
    assert counters["arm/missing"] == 2 and not counters["arm/stale"]  # it came, and is not known
    state.add(only(START + 10 * MS, 0, 1.0))
    state.at(START + 10 * MS)
    assert counters["arm/partial"] == 1
    state.at(START + 110 * MS)
    assert counters["arm/partial"] == 2  # just young enough
    state.at(START + 110 * MS + 1)
    assert (counters["arm/missing"], counters["arm/stale"]) == (3, 1)


def test_a_field_that_a_driver_never_sends_makes_no_tick_partial() -> None:
    spec = StateSpec(names=("a", "b"), fields=("position", "effort"))
    for values, cause in (((1, 2, NAN, NAN), ""), ((1, NAN, NAN, 2), ""), ((1, NAN, 2, NAN), "partial")):
        state, counters = merger(spec)
        state.add(StateSample(START, "/arm", np.array(values, np.float32)))
        state.at(START)
        assert counters == Counter({"arm/received": 1, **({f"arm/{cause}": 1} if cause else {})})
    state, counters = merger(spec)
    for offset, values in enumerate(((1, 2, 3, 4), (1, 2, 3, NAN), (1, 2, 3, 4), (1, 2, NAN, NAN))):
        state.add(StateSample(START + offset, "/arm", np.array(values, np.float32)))
        state.at(START + offset)
    assert counters["arm/partial"] == 2  # it was sent before
    state, counters = merger(StateSpec(fields=("force.x", "force.y")))
    state.add(StateSample(START, "/ft", np.array([1, NAN], np.float32)))
    state.at(START)
    assert counters["arm/partial"] == 1


def test_a_looped_bag_starts_afresh() -> None:
    stream = [sample(START + i * 10 * MS, (i, i, i)) for i in range(300)]
    stream += [only(START + i * 70 * MS, 1, -i, "/gripper") for i in range(40)]
    stream.sort(key=lambda one: one.stamp_ns)
    state, counters = merger()
    loops = []
    for _ in range(3):
        answers, rest = [], list(stream)
        for stamp_ns in range(START, START + 3 * S, 100 * MS):
            while rest and rest[0].stamp_ns <= stamp_ns + 30 * MS:  # some come before the clock jumped back
                state.add(rest.pop(0))
            answers.append(text(state.at(stamp_ns)))
        loops.append(answers)
    assert loops[0] == loops[1] == loops[2]
    assert not counters["arm/late"] and not counters["arm/missing"] and not counters["arm/repeated"]


def test_what_waited_before_a_jump_back_is_forgotten() -> None:
    state, _ = merger()
    state.add(sample(START + 10 * S))
    state.at(START + 10 * S)
    state.add(sample(START + 10 * S + 5 * MS, (9, 9, 9)))  # of the old time
    state.add(sample(START, (1, 1, 1)))
    assert state.at(START + MS).values.tolist() == [1, 1, 1]
    assert not state.at(START + 10 * S + 6 * MS).valid.any()
    assert BACKWARD_JUMP_NS < 10 * S


@pytest.mark.parametrize("age_s", [0.1, 3600.0])
def test_memory_stays_bounded_while_the_clock_is_silent(age_s: float) -> None:
    state, counters = merger(replace(SPEC, max_age_s=age_s))
    slow = only(START - 50 * MS, 2, 8.0, "/gripper")
    state.add(slow)
    for i in range(20_000):
        state.add(sample(START + i * MS // 2, (i, i, i), (True, True, False)))
    assert held(state) == MOST_WAITING
    assert counters["arm/overflowed"] == 20_001 - MOST_WAITING
    found = state.at(START + 10_000 * MS)
    assert found.values.tolist() == [19_999, 19_999, 8 * (age_s > 1)]  # nothing slow was pushed out by what is fast
    assert held(state) == 0


@pytest.mark.parametrize("period_ms", [1, 10, 100])
def test_messages_wait_for_seconds_however_fast_their_driver_is(period_ms: int) -> None:
    state, counters = merger(replace(SPEC, max_age_s=3600))
    for i in range(12_000 // period_ms):
        state.add(sample(START + i * period_ms * MS, (i, i, i)))
    assert state.at(START + 4 * S).values.tolist() == [4_000 / period_ms] * 3  # the clock is eight seconds late
    assert counters["arm/overflowed"] <= 2_000 / period_ms


@pytest.mark.parametrize("far_s", [-5000, 5000])
def test_one_stamp_that_is_far_off_empties_no_buffer(far_s: int) -> None:
    state, _ = merger(replace(SPEC, max_age_s=3600))
    for i in range(500):
        state.add(sample(START + i * 10 * MS, (i, i, i)))
        if i == 300:
            state.add(sample(START + far_s * S))
    assert state.at(START + S).values.tolist() == [100] * 3


def test_memory_stays_bounded_whatever_names_come() -> None:
    state, _ = merger(replace(SPEC, names=tuple(f"joint_{i}" for i in range(20))))
    for i in range(5_000):
        bits = np.array([bool(i + 1 >> bit & 1) for bit in range(20)])
        state.add(StateSample(START + i * MS, "/arm", np.ones(20, np.float32), bits))
        if i % 50 == 0:
            state.at(START + i * MS)
    assert len(state._kinds) <= MOST_KINDS + 50 and held(state) <= 50
    assert len(state._spent) <= MOST_WAITING


def held(state: StateMerger) -> int:
    return sum(len(kind.stamps) for kind in state._kinds.values())


@pytest.mark.parametrize("present", [None, (True, False, True)], ids=["whole", "a name is never sent"])
@pytest.mark.parametrize("rate_hz", [100, 1000, 4000])
def test_a_tick_looks_at_one_message_of_each_kind(
    present: Sequence[bool] | None, rate_hz: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[StateSample] = []
    state, _ = merger(replace(SPEC, max_age_s=3600))
    merge = state._merge
    monkeypatch.setattr(state, "_merge", lambda one: (looked_at.append(one), merge(one)))
    for i in range(rate_hz):
        state.add(sample(START + i * S // rate_hz, present=present))
        state.add(only(START + i * S // rate_hz, 1, 1.0, "/gripper"))
        if i % (rate_hz // 10) == rate_hz // 10 - 1:
            state.at(START + i * S // rate_hz)
    assert len(looked_at) == 20  # two kinds, ten ticks
