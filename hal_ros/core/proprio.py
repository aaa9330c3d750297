"""Joint values: picked by name from a message, and laid out as the step graph takes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hal_ros.core.arrays import FloatArray
from hal_ros.core.card import JointSpec
from hal_ros.core.observations import JointSample

FIELDS = ("position", "velocity", "effort")
"""What is known of a joint, in the order in which the step graph takes it: first all positions, and so on."""
VALUES_PER_JOINT = len(FIELDS)


def value_count(spec: JointSpec | None) -> int:
    """Return how many joint values one tick has: 3J, 0 without joints."""
    return 0 if spec is None else VALUES_PER_JOINT * len(spec.names)


def select(
    stamp_ns: int,
    names: Sequence[str],
    position: Sequence[float],
    velocity: Sequence[float],
    effort: Sequence[float],
    spec: JointSpec,
) -> JointSample | None:
    """Bring a sensor_msgs/JointState into the card's joint order; absent joints and fields become NaN.

    Names may come in any order and among others. Returns None when none of the card's joints is named.
    """
    index = {name: i for i, name in enumerate(names)}
    picked = [index.get(name, -1) for name in spec.names]
    if all(i < 0 for i in picked):
        return None
    return JointSample(stamp_ns, *(_pick(values, picked) for values in (position, velocity, effort)))


def _pick(values: Sequence[float], picked: Sequence[int]) -> FloatArray:
    """A field that a driver leaves empty or short is absent, not zero."""
    return np.array([values[i] if 0 <= i < len(values) else np.nan for i in picked], np.float32)


def to_input(sample: JointSample | None, joint_count: int) -> tuple[FloatArray, FloatArray]:
    """Return joints (3J,) = position | velocity | effort, and validity (3J,) in {0, 1}; what is not finite is 0, 0."""
    if sample is None:
        values = VALUES_PER_JOINT * joint_count
        return np.zeros(values, np.float32), np.zeros(values, np.float32)
    joints = np.concatenate([getattr(sample, field) for field in FIELDS]).astype(np.float32)
    valid = np.isfinite(joints)
    return np.where(valid, joints, np.float32(0)), valid.astype(np.float32)
