"""What the intake counts, and that alignment there is causal."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fakes import make_streams
from hal_ros.core.streams.intake import Due, Intake
from hal_ros.core.streams.merge import Source, StateSample
from hal_ros.core.streams.pictures import TimedPicture
from hal_ros.core.streams.spec import CameraSpec, StateSpec, StreamSpec

MS = 1_000_000
PERIOD = 100 * MS
START = 2_000_000_000
ROBOT = StreamSpec(
    "front",
    {"wrist": CameraSpec(max_age_s=0.2), "front": CameraSpec()},
    {
        "arm": StateSpec(names=("a", "b"), fields=("position",)),
        "wrench": StateSpec(type="geometry_msgs/msg/Wrench", fields=("force.x",), max_age_s=0.05),
    },
)


def sample(stamp_ns: int, value: float = 1.0, count: int = 6, topic: str = "/joint_states") -> StateSample:
    return StateSample(stamp_ns, topic, np.full(count, value, np.float32))


def shot(stamp_ns: int, topic: str = "/camera") -> TimedPicture:
    return TimedPicture(stamp_ns, topic, None)


def test_every_stamp_of_the_clock_is_counted_under_one_verdict() -> None:
    intake = Intake(make_streams(max_held_ticks=3))
    for offset in (0, 1, PERIOD, PERIOD, PERIOD - 1, 3 * PERIOD, 90 * PERIOD, 4 * PERIOD, 30 * PERIOD, 31 * PERIOD):
        intake.picture("camera", shot(START + offset))
    intake.picture("camera", shot(0))
    names = ("due", "not_due", "repeated", "backwards", "zero", "outlier")
    verdicts = {name: intake.counters[name] for name in names}
    assert verdicts == {"due": 6, "not_due": 1, "repeated": 1, "backwards": 1, "zero": 1, "outlier": 1}
    assert intake.counters["camera/received"] == sum(verdicts.values())
    assert intake.counters["restarts"] == 2 and intake.counters["joints/missing"] == 6
    intake.picture("camera", shot(START + 90 * PERIOD))
    intake.reset()  # nothing comes any more that would prove the last one
    assert intake.counters["outlier"] == 2


def test_a_tick_that_waited_for_the_next_stamp_comes_with_it_and_with_what_was_its_own() -> None:
    intake = Intake(make_streams(max_held_ticks=3))
    intake.picture("camera", shot(START), "left")
    first = shot(START + 30 * PERIOD)
    intake.state("joints", sample(first.stamp_ns - MS, 1))
    assert intake.picture("camera", first, "mid") is None
    intake.state("joints", sample(first.stamp_ns + MS, 2))
    due = intake.picture("camera", shot(START + 31 * PERIOD), "right")
    assert due is not None
    before, after = due.in_order
    assert (before.tick, before.origin_ns, before.frame_id, before.pictures["camera"]) == (
        0,
        first.stamp_ns,
        "mid",
        first,
    )
    assert before.values.tolist() == [1] * 6 and before.before is None
    assert (after.tick, after.origin_ns, after.frame_id, after.valid.any()) == (1, first.stamp_ns, "right", True)
    intake.picture("camera", shot(START + 60 * PERIOD))
    alone = intake.picture("camera", shot(START + 60 * PERIOD + 1))  # not due itself
    assert alone is not None and len(alone.in_order) == 1 and alone.stamp_ns == START + 60 * PERIOD


def test_the_newest_causal_message_is_taken() -> None:
    intake = Intake(make_streams())
    for offset_ms in (-200, -30, -10, 5):  # the limit is 100 ms
        intake.state("joints", sample(START + offset_ms * MS, offset_ms))
    due = intake.picture("camera", shot(START))
    assert due is not None and due.values.tolist() == [-10] * 6 and due.valid.all()
    assert due.sources == (Source("camera", "/camera", START), Source("joints", "/joint_states", START - 10 * MS))


def test_a_message_that_came_too_late_for_its_tick_is_counted() -> None:
    intake = Intake(make_streams())
    intake.state("joints", sample(START - 20 * MS))
    intake.picture("camera", shot(START))
    intake.state("joints", sample(START + 1))
    assert intake.counters["joints/late"] == 0
    intake.state("joints", sample(START - 10 * MS))
    assert intake.counters["joints/late"] == 1


def test_a_stale_message_is_missing_not_used() -> None:
    intake = Intake(make_streams())
    intake.state("joints", sample(START - 2 * PERIOD))
    due = intake.picture("camera", shot(START))
    assert due is not None and not due.valid.any() and not due.values.any()
    assert (intake.counters["joints/missing"], intake.counters["joints/stale"]) == (1, 1)


def test_reset_starts_a_fresh_grid_with_the_next_stamp() -> None:
    intake = Intake(make_streams())
    intake.picture("camera", shot(START))
    intake.picture("camera", shot(START + PERIOD))
    intake.reset()
    due = intake.picture("camera", shot(START + 2 * PERIOD))
    assert due is not None and (due.tick, due.origin_ns) == (0, START + 2 * PERIOD)


def test_states_of_another_stream_are_forgotten() -> None:
    intake = Intake(make_streams())
    for offset_ms in range(0, 5000, 10):
        intake.state("joints", sample(START + offset_ms * MS))
    intake.picture("camera", shot(START + 5000 * MS))
    intake.state("joints", sample(START + 12 * MS, 7))  # a simulation that was reset: older ones lie nearer
    assert intake.picture("camera", shot(START + 20 * MS)) is None
    due = intake.picture("camera", shot(START + 21 * MS))
    assert due is not None and due.stamp_ns == START + 20 * MS and due.values.tolist() == [7] * 6


def test_all_streams_stand_in_a_tick_in_the_specs_order() -> None:
    intake = Intake(ROBOT)
    wrist = shot(START - 150 * MS, "/wrist")
    assert intake.state("wrench", sample(START - 40 * MS, 3, 1, "/ft")) is None
    assert intake.picture("wrist", wrist) is None
    assert intake.state("arm", sample(START - 90 * MS, 2, 2)) is None
    front = shot(START, "/front")
    due = intake.picture("front", front)
    assert due is not None and list(due.pictures) == ["wrist", "front"]
    assert due.pictures["wrist"] is wrist and due.pictures["front"] is front
    assert (due.values.tolist(), due.valid.tolist()) == ([2, 2, 3], [1, 1, 1])
    assert [source.stream for source in due.sources] == ["wrist", "front", "arm", "wrench"]
    later = intake.picture("front", shot(START + PERIOD, "/front"))
    assert later is not None and later.pictures["wrist"] is None and not later.valid.any()
    assert [source.stream for source in later.sources] == ["front"]
    causes = {name for name in intake.counters if "/" in name and intake.counters[name]}
    assert causes >= {"wrist/missing", "wrist/stale", "arm/missing", "wrench/missing", "wrench/stale"}


def test_a_state_may_be_the_clock() -> None:
    intake = Intake(StreamSpec("arm", {"front": CameraSpec()}, ROBOT.states))
    intake.state("wrench", sample(START, 3, 1))
    intake.picture("front", shot(START - 1))
    found = [intake.state("arm", sample(START + i * 10 * MS, i, 2)) for i in range(21)]
    due = [one for one in found if one is not None]
    assert [one.tick for one in due] == [0, 1, 2] and [one.values[0] for one in due] == [0, 5, 15]
    assert due[0].pictures["front"] is not None
    assert intake.state("arm", sample(START + 200 * MS, 9, 2)) is None
    assert intake.state("arm", sample(0, 9, 2)) is None
    assert (intake.counters["arm/repeated"], intake.counters["arm/zero"]) == (1, 1)


def test_refusals_of_others_are_counted_by_stream() -> None:
    intake = Intake(ROBOT)
    intake.refuse("arm", "unnamed")
    assert intake.counters == {"arm/unnamed": 1}


arrivals = st.lists(
    st.tuples(st.sampled_from(["wrist", "arm", "wrench"]), st.integers(0, 40), st.integers(1, 5)), max_size=60
)


def run(events: list[tuple[str, int, int]], until: int) -> tuple[list[Due], Intake]:
    """Each tick comes behind all that is not newer; `events` are given in the order of arrival within their tick."""
    intake, found = Intake(ROBOT), []
    for tick in range(until):
        for stream, tens, value in events:
            if tick * 10 - 10 < tens <= tick * 10:
                stamp_ns = START + tens * 10 * MS
                if stream == "wrist":
                    intake.picture(stream, shot(stamp_ns, "/wrist"))
                else:
                    intake.state(stream, sample(stamp_ns, value, 2 if stream == "arm" else 1, f"/{stream}"))
        due = intake.picture("front", shot(START + tick * PERIOD, "/front"))
        assert due is not None
        found.append(due)
    return found, intake


def text(due: Due) -> str:
    return f"{due.stamp_ns} {due.tick} {due.sources} {due.values.tolist()} {due.valid.tolist()}"


@given(arrivals, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter_while_nothing_is_late(events, shuffle) -> None:  # type: ignore[no-untyped-def]
    events = list({(stream, tens): (stream, tens, value) for stream, tens, value in events}.values())  # no repeats
    mixed = shuffle.sample(events, len(events))
    (plain, _), (other, intake) = run(events, 5), run(mixed, 5)
    assert list(map(text, plain)) == list(map(text, other))
    assert not any(name.endswith("/late") and count for name, count in intake.counters.items())


@given(arrivals, st.integers(1, 4))
def test_the_future_changes_nothing_at_a_tick(events: list[tuple[str, int, int]], until: int) -> None:
    known = [event for event in events if event[1] <= (until - 1) * 10]
    assert list(map(text, run(events, until)[0])) == list(map(text, run(known, until)[0]))


def test_a_message_at_the_tick_does_change_it() -> None:  # negative control
    assert list(map(text, run([("arm", 0, 1)], 1)[0])) != list(map(text, run([("arm", 0, 2)], 1)[0]))
