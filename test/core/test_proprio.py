"""Joint values by name, in any order, with what is absent marked."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.core import proprio
from hal_ros.core.card import JointSpec

SPEC = JointSpec(("shoulder", "elbow", "gripper"), max_age_s=0.1)


@given(st.permutations([*SPEC.names, "wheel"]))
def test_the_order_in_the_message_does_not_matter(names: list[str]) -> None:
    values = {"shoulder": 1.0, "elbow": 2.0, "gripper": 3.0, "wheel": 9.0}
    sample = proprio.select(7, names, [values[n] for n in names], [-values[n] for n in names], [], SPEC)
    assert sample is not None and sample.stamp_ns == 7
    np.testing.assert_array_equal(sample.position, [1, 2, 3])
    np.testing.assert_array_equal(sample.velocity, [-1, -2, -3])
    assert np.isnan(sample.effort).all()


def test_absent_joints_short_fields_and_nan_are_invalid_not_zero() -> None:
    sample = proprio.select(1, ["gripper", "shoulder"], [float("nan"), 5.0], [4.0], [], SPEC)
    joints, valid = proprio.to_input(sample, 3)
    np.testing.assert_array_equal(joints, [5, 0, 0, 0, 0, 4, 0, 0, 0])
    np.testing.assert_array_equal(valid, [1, 0, 0, 0, 0, 1, 0, 0, 0])


def test_infinite_values_are_invalid() -> None:
    sample = proprio.select(1, ["elbow"], [float("inf")], [], [], SPEC)
    joints, valid = proprio.to_input(sample, 3)
    assert np.isfinite(joints).all() and not valid.any()


def test_a_message_of_other_joints_is_no_sample() -> None:
    assert proprio.select(1, ["wheel_left", "wheel_right"], [0, 0], [], [], SPEC) is None


def test_no_sample_is_all_invalid() -> None:
    joints, valid = proprio.to_input(None, 3)
    assert joints.shape == valid.shape == (9,) and not valid.any() and not joints.any()


def test_fields_are_those_of_a_sample_and_of_a_message() -> None:
    sample = proprio.select(1, SPEC.names, [1, 2, 3], [4, 5, 6], [7, 8, 9], SPEC)
    joints, _ = proprio.to_input(sample, 3)
    for number, field in enumerate(proprio.FIELDS):
        np.testing.assert_array_equal(joints[3 * number :][:3], getattr(sample, field))
    assert proprio.FIELDS == ("position", "velocity", "effort")
    assert proprio.value_count(SPEC) == len(joints) == 9
    assert proprio.value_count(None) == 0
