"""Laws of the gripper-and-speed rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hal_ros.baselines import gripper_rule
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.core.streams.columns import joints_of
from hal_ros.core.streams.spec import StateSpec, StreamSpec
from joint_names import joints_named

JOINTS = 3  # two of the arm, then the gripper
NAMED = joints_named(["a", "b", "gripper"])
REACH, CARRY, RETREAT = 0, 1, 2


def recording(seed: Any, ticks: int = 60) -> tuple[Any, ...]:
    """Reach with the gripper open, close it and carry, open it and retreat; rests are seen as speed minima."""
    random = np.random.default_rng(seed)
    labels = np.repeat([REACH, CARRY, RETREAT], ticks // 3)
    joints = np.zeros((ticks, 3 * JOINTS), np.float32)
    joints[:, 2] = np.where(labels == CARRY, 0.0, 1.0)  # gripper position
    joints[:, 3:5] = 1.0 + 0.05 * random.normal(size=(ticks, 2))  # arm velocity
    return joints, np.ones_like(joints), labels


def test_it_learns_what_the_gripper_tells() -> None:
    rule = gripper_rule.train([recording(seed) for seed in range(3)], NAMED)
    joints, valid, labels = recording(9)
    assert np.array_equal(rule.predict(joints, valid), labels)


def test_what_comes_later_changes_nothing_before() -> None:
    rule = gripper_rule.train([recording(seed) for seed in range(3)], NAMED)
    joints, valid, _ = recording(9)
    changed = joints.copy()
    changed[30:, 2] = 1 - changed[30:, 2]
    assert np.array_equal(rule.predict(changed, valid)[:30], rule.predict(joints, valid)[:30])
    assert not np.array_equal(rule.predict(changed, valid)[30:], rule.predict(joints, valid)[30:])


def test_a_rest_begins_a_new_piece() -> None:
    thresholds = gripper_rule.Thresholds(open_above=0.6, closed_below=0.4, rest_below=0.2, moving_above=0.5)
    joints, valid, _ = recording(0)
    joints[10:13, 3:5] = 0
    found = gripper_rule.contexts(joints, valid, NAMED, thresholds)
    assert found[9] == gripper_rule.Context(False, "start", 0, True)
    assert found[10] == gripper_rule.Context(False, "rest", 1, False)
    assert found[13] == gripper_rule.Context(False, "rest", 1, True)
    assert found[20] == gripper_rule.Context(True, "close", 0, True)
    assert found[40].began_by == "open"


def test_missing_joints_keep_their_last_value() -> None:
    rule = gripper_rule.train([recording(seed) for seed in range(3)], NAMED)
    joints, valid, labels = recording(9)
    joints[25:30], valid[25:30] = 0, 0
    assert np.array_equal(rule.predict(joints, valid), labels)


def test_without_annotation_it_refuses() -> None:
    joints, valid, labels = recording(0)
    with pytest.raises(DatasetError, match="annotated"):
        gripper_rule.train([(joints, valid, np.full_like(labels, NO_ACTION))], NAMED)
    with pytest.raises(DatasetError, match="annotated"):
        gripper_rule.train([], NAMED)


def test_a_robot_without_gripper_or_velocities_is_judged_by_what_it_has() -> None:
    joints, valid, labels = recording(9)
    arm = joints_of(StreamSpec("arm", states={"arm": StateSpec(names=("a", "b"), fields=("velocity",))}))
    rule = gripper_rule.train([(joints[:, 3:7], valid[:, 3:7], labels)], arm)
    assert len(rule.predict(joints[:, 3:7], valid[:, 3:7])) == len(labels)
    hand = joints_of(StreamSpec("hand", states={"hand": StateSpec(names=("finger",), fields=("position",))}))
    alone = [(one[:, 2:3], there[:, 2:3], told) for one, there, told in map(recording, range(3))]
    assert np.array_equal(gripper_rule.train(alone, hand).predict(joints[:, 2:3], valid[:, 2:3]), labels)


def test_the_gripper_may_be_in_a_state_of_its_own() -> None:
    arm, hand = StateSpec(names=("a", "b"), fields=("velocity",)), StateSpec(names=("finger",), fields=("position",))
    named = joints_of(StreamSpec("arm", states={"arm": arm, "hand": hand}))
    picked = [3, 4, 2]
    training = [(one[:, picked], there[:, picked], told) for one, there, told in map(recording, range(3))]
    joints, valid, labels = recording(9)
    rule = gripper_rule.train(training, named)
    assert np.array_equal(rule.predict(joints[:, picked], valid[:, picked]), labels)
