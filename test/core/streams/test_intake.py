"""What the intake counts, and that alignment there is causal."""

from __future__ import annotations

import numpy as np
from hal_ros.core.intake import Intake

from fakes import make_card
from hal_ros.core.observations import JointSample

PERIOD = 100_000_000
START = 2_000_000_000


def sample(stamp_ns: int) -> JointSample:
    values = np.full(2, stamp_ns / 1e9, np.float32)
    return JointSample(stamp_ns, values, values, values)


def test_every_stamp_is_counted_under_one_verdict() -> None:
    intake = Intake(make_card(max_held_ticks=3))
    for offset in (0, 1, PERIOD, PERIOD, PERIOD - 1, 3 * PERIOD, 30 * PERIOD):
        intake.image(START + offset)
    intake.image(0)
    verdicts = {name: intake.counters[name] for name in ("due", "not_due", "repeated", "backwards", "zero")}
    assert verdicts == {"due": 4, "not_due": 1, "repeated": 1, "backwards": 1, "zero": 1}
    assert intake.counters["images"] == sum(verdicts.values())
    assert intake.counters["restarts"] == 2 and intake.counters["joints_missing"] == 4


def test_the_newest_causal_joint_sample_is_taken() -> None:
    intake = Intake(make_card())
    for offset in (-200, -30, -10, 5):  # ms; the limit is 100 ms
        intake.joints(sample(START + offset * 1_000_000))
    due = intake.image(START)
    assert due is not None and due.joints is not None and due.joints.stamp_ns == START - 10_000_000


def test_a_sample_that_came_too_late_for_its_tick_is_counted() -> None:
    intake = Intake(make_card())
    intake.joints(sample(START - 20_000_000))
    intake.image(START)
    intake.joints(sample(START + 1))
    assert intake.counters["joints_late"] == 0
    intake.joints(sample(START - 10_000_000))
    assert intake.counters["joints_late"] == 1


def test_a_stale_sample_is_missing_not_used() -> None:
    intake = Intake(make_card())
    intake.joints(sample(START - 2 * PERIOD))
    due = intake.image(START)
    assert due is not None and due.joints is None and intake.counters["joints_missing"] == 1


def test_reset_starts_a_fresh_grid_with_the_next_stamp() -> None:
    intake = Intake(make_card())
    intake.image(START)
    intake.image(START + PERIOD)
    intake.reset()
    due = intake.image(START + 2 * PERIOD)
    assert due is not None and (due.tick, due.origin_ns) == (0, START + 2 * PERIOD)


def test_joints_of_another_stream_are_forgotten() -> None:
    intake = Intake(make_card())
    for offset_ms in range(0, 5000, 10):
        intake.joints(sample(START + offset_ms * 1_000_000))
    intake.image(START + 5_000_000_000)
    intake.joints(sample(START + 12_000_000))  # a simulation that was reset: older samples lie nearer to the image
    due = intake.image(START + 20_000_000)
    assert due is not None and due.joints is not None and due.joints.stamp_ns == START + 12_000_000


def test_the_joint_buffer_is_bounded() -> None:
    intake = Intake(make_card())
    for i in range(5000):
        intake.joints(sample(START + i))
    assert len(intake._samples) < 2000
