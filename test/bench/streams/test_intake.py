"""The intake is fed as the node feeds it, and what stays in memory is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakes import make_card
from hal_ros.bench.streams import intake, robot
from hal_ros.bench.streams.arrivals import Arrival, arrivals

MODEL = Path(__file__).parents[3] / "models" / "tabletop"


def test_due_ticks_have_a_picture_of_each_camera_and_all_values() -> None:
    feeder = intake.Feeder(robot.streams())
    dues = [due for arrival in arrivals(2, 200) if (due := feeder.take(arrival)) is not None]
    assert len(dues) == 20
    assert all(due.valid.all() for due in dues)
    assert all(picture is not None for due in dues for picture in due.pictures.values())


def test_a_joint_that_is_never_sent_is_never_valid() -> None:
    feeder = intake.Feeder(robot.streams(), robot.JOINTS[:-1])
    (due, *_) = [due for arrival in arrivals(1, 200) if (due := feeder.take(arrival)) is not None]
    joints = due.valid[feeder.spec.columns(robot.ARM)].reshape(3, len(robot.JOINTS))
    np.testing.assert_array_equal(joints, np.repeat([[1.0] * 6 + [0.0]], 3, 0))


def test_costs_are_of_ticks_and_of_the_arms_messages() -> None:
    tick_us, message_us = intake.costs_us(intake.Feeder(robot.streams(1)), 1)
    assert tick_us > 0 and message_us > 0


def test_what_stays_with_each_message_is_growth_and_what_goes_is_not() -> None:
    arriving = [Arrival("arm", stamp_ns) for stamp_ns in range(1, 10**9, 10**6)]
    kept: list[list[int]] = []
    assert intake.blocks_growth(arriving, 1, lambda each: kept.append([each.stamp_ns])) >= 800
    assert intake.blocks_growth(arriving, 1, lambda each: [each.stamp_ns]) < 100


def test_intake_and_pipeline_forget_what_they_have_answered() -> None:
    card = make_card(streams=robot.streams(), window_ticks=1)
    assert intake.intake_growth(20) < 1000
    assert intake.pipeline_growth(card, 20) < 4000  # the windows of its stopwatch still fill


def test_the_cost_is_that_of_the_quietest_round(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([(60.0, 20.0), (70.0, 30.0), (80.0, 9.0), (40.0, 10.0), (55.0, 40.0), (90.0, 9.0)])
    monkeypatch.setattr(intake, "ROUNDS", 2)
    monkeypatch.setattr(intake, "costs_us", lambda *_: next(taken))
    monkeypatch.setattr(intake, "intake_growth", lambda _: 3)
    monkeypatch.setattr(intake, "pipeline_growth", lambda *_: 2000)
    rows = intake.rows(MODEL)
    assert [(row.value, row.holds) for row in rows] == [
        *((40.0, True), (55.0, None), (80.0, None), (10.0, None), (30.0, None)),
        *((3.0, True), (2000.0, False)),
    ]
    assert [(row.name, row.unit, row.target) for row in rows if row.target] == intake.EXPECTED
