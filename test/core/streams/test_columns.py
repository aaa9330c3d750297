"""What belongs together among all state values, and where a robot's joints and its gripper are."""

from __future__ import annotations

import numpy as np
import pytest

from hal_ros.core.streams.columns import JointColumns, groups_of, joints_of
from hal_ros.core.streams.spec import StateSpec, StreamSpec
from joint_names import joints_named

ARM = StateSpec(names=("shoulder", "elbow"), fields=("position", "velocity"))
HAND = StateSpec(names=("finger",), fields=("position",))
WRENCH = StateSpec(fields=("wrench.force.x", "wrench.force.z"))


def robot(**states: StateSpec) -> StreamSpec:
    return StreamSpec(next(iter(states), ""), states=states)


def test_all_fields_of_a_name_go_together_and_so_does_a_state_without_names() -> None:
    groups = groups_of(robot(arm=ARM, hand=HAND, wrench=WRENCH))
    assert groups.names == (0, 1, 0, 1, 2, 3, 3)
    assert groups.states == (0, 0, 0, 0, 1, 2, 2)
    assert (groups.name_count, groups.state_count) == (4, 3)
    assert groups.of_name(1).tolist() == [1, 3]
    assert groups.of_state(2).tolist() == [5, 6]


def test_equal_names_in_two_states_are_two_joints() -> None:
    left, right = StateSpec(names=("wrist",)), StateSpec(names=("wrist",))
    assert groups_of(robot(left=left, right=right)).names == (0, 0, 0, 1, 1, 1)
    assert joints_of(robot(left=left, right=right)).names == ("wrist", "wrist")


def test_without_states_there_is_nothing() -> None:
    assert (groups_of(robot()).name_count, groups_of(robot()).state_count) == (0, 0)
    assert joints_of(robot()) == joints_named(())
    assert joints_named(()).gripper == -1


def test_joints_are_found_in_all_states_that_name_some() -> None:
    joints = joints_of(robot(wrench=WRENCH, arm=ARM, hand=HAND))
    assert joints.names == ("shoulder", "elbow", "finger")
    assert joints.states == ("arm", "arm", "hand")
    assert joints.columns == {"position": (2, 3, 6), "velocity": (4, 5, -1), "effort": (-1, -1, -1)}


@pytest.mark.parametrize(
    ("joints", "gripper"),
    [
        (joints_named(["finger_joint", "a", "b"]), 0),
        (joints_named(["a", "b", "Gripper"]), 2),
        (joints_named(["a", "b"]), 1),  # the last one, for want of a better
        (joints_of(robot(hand=HAND, arm=ARM)), 0),
        (joints_of(robot(gripper=StateSpec(names=("j",)), arm=ARM)), 0),  # by its state
        (joints_of(robot(arm=ARM, hand=StateSpec(names=("finger",), fields=("effort",)))), 1),  # has no position
        (joints_of(robot(wrench=WRENCH)), -1),
        (joints_of(robot(arm=StateSpec(names=("a",), fields=("velocity",)))), -1),
    ],
)
def test_the_gripper_is_found_by_name_wherever_it_is(joints: JointColumns, gripper: int) -> None:
    assert joints.gripper == gripper


def test_opening_and_speed_are_of_the_gripper_and_of_all_others() -> None:
    held = np.array([[1.0, 2, 3, 4, 5], [1, 2, 0, 0, 6]])
    joints = joints_of(robot(arm=ARM, hand=HAND))
    assert joints.opening(held).tolist() == [5, 6]
    assert joints.arm_speed(held).tolist() == [5, 0]


def test_without_velocities_speed_is_the_change_of_positions() -> None:
    joints = joints_of(robot(arm=StateSpec(names=("a", "b"), fields=("position",)), hand=HAND))
    assert joints.arm_speed(np.array([[0.0, 0, 0], [3, 4, 9], [3, 4, 0]])).tolist() == [0, 5, 0]


def test_a_robot_without_joints_neither_moves_nor_grips() -> None:
    joints, held = joints_of(robot(wrench=WRENCH)), np.ones((3, 2))
    assert not joints.opening(held).any() and not joints.arm_speed(held).any()
