"""Which ticks of a robot's joints are offered as boundaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.core.errors import DatasetError
from hal_ros.core.streams.columns import joints_of
from hal_ros.core.streams.spec import StateSpec, StreamSpec
from hal_ros.labels.transcripts.robot_candidates import gripper_events, robot_candidates, speed_minima
from joint_names import joints_named

NAMED = joints_named(["a", "b", "gripper"])


def recording(ticks: int = 60) -> tuple[Any, ...]:
    """Return joints and flags (T, 9) of two arm joints and a gripper: rest around tick 20, closed from 25 to 44."""
    joints = np.zeros((ticks, 9))
    time = np.arange(ticks)
    joints[:, 3] = np.clip(np.abs(time - 20) / 4.0, 0.0, 1.0)  # speed of the first joint
    joints[:, 2] = np.where((time >= 25) & (time < 45), 0.0, 0.08)
    return joints, np.ones_like(joints)


def test_events_and_rests_are_offered() -> None:
    joints, there = recording()
    assert robot_candidates(joints, there, NAMED).tolist() == [20, 25, 45]
    assert robot_candidates(joints.astype(np.float32), there, NAMED).dtype == np.int64


@given(scale=st.floats(1e-3, 1e3), offset=st.floats(-5, 5))
def test_units_do_not_matter(scale: float, offset: float) -> None:
    joints, there = recording()
    changed = joints * scale
    changed[:, :3] += offset
    assert robot_candidates(changed, there, NAMED).tolist() == [20, 25, 45]


@pytest.mark.parametrize("as_nan", [True, False])
def test_missing_values_keep_the_last_one(as_nan: bool) -> None:
    joints, there = recording()
    for ticks in (slice(0, 3), slice(30, 35)):
        if as_nan:
            joints[ticks] = np.nan
        else:
            joints[ticks], there[ticks] = 99.0, 0.0
    assert robot_candidates(joints, there, NAMED).tolist() == [20, 25, 45]


def test_a_clip_without_values_or_movement_offers_nothing() -> None:
    joints, there = recording()
    assert robot_candidates(joints, np.zeros_like(there), NAMED).size == 0
    assert robot_candidates(np.zeros_like(joints), there, NAMED).size == 0
    for ticks in (0, 1, 2):
        assert robot_candidates(joints[:ticks], there[:ticks], NAMED).size == 0


def test_jitter_is_no_event() -> None:
    jitter = np.random.default_rng(0).normal(size=200)
    assert gripper_events(jitter).size == 0
    assert gripper_events(jitter * 0.01 + (np.arange(200) > 90)).tolist() == [91]


def test_between_open_and_closed_nothing_changes() -> None:
    opening = np.concatenate([np.ones(20), np.full(5, 0.5), np.ones(20), np.full(5, 0.5), np.zeros(20)])
    assert gripper_events(opening).tolist() == [50]


def test_rest_at_the_ends_separates_nothing() -> None:
    speed = np.ones(60)
    speed[:10] = speed[50:] = 0.0
    assert speed_minima(speed).size == 0
    speed[30:33] = [0.1, 0.0, 0.1]
    assert speed_minima(speed).tolist() == [31]


def test_other_shapes_are_refused() -> None:
    joints, there = recording()
    for arguments in (
        (joints[:, :8], there[:, :8]),
        (joints, there[:5]),
        (joints[0], there[0]),
    ):
        with pytest.raises(DatasetError, match=r"expected \(T, V\) twice, V above 8"):
            robot_candidates(*arguments, NAMED)


def test_a_robot_offers_what_it_has() -> None:
    joints, there = recording()
    arm = StateSpec(names=("a", "b"), fields=("velocity",))
    streams = StreamSpec("arm", states={"arm": arm})
    assert robot_candidates(joints[:, 3:5], there[:, 3:5], joints_of(streams)).tolist() == [20]
    hand = StateSpec(names=("finger",), fields=("position",))
    both = joints_of(StreamSpec("arm", states={"hand": hand, "arm": arm}))
    assert robot_candidates(joints[:, [2, 3, 4]], there[:, :3], both).tolist() == [20, 25, 45]
    wrench = joints_of(StreamSpec("wrench", states={"wrench": StateSpec(fields=("wrench.force.x",))}))
    assert robot_candidates(joints[:, 3:4], there[:, 3:4], wrench).size == 0


def test_without_velocities_positions_tell_where_the_arm_rests() -> None:
    joints, there = recording()
    moved = np.cumsum(joints[:, 3:4], axis=0)
    arm = joints_of(StreamSpec("arm", states={"arm": StateSpec(names=("a", "finger"), fields=("position",))}))
    found = robot_candidates(np.concatenate([moved, joints[:, 2:3]], 1), there[:, :2], arm)
    assert found.tolist() == [20, 25, 45]


def test_a_dip_counts_by_its_depth() -> None:
    speed = np.ones(60)
    speed[20:23], speed[40:43] = 0.7, 0.3
    assert speed_minima(speed).tolist() == [41]
