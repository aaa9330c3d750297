"""Joint encoders: noise, calibration error and dropout, from a stream of their own."""

from __future__ import annotations

import numpy as np

from hal_ros.core.observations import JointSample
from hal_ros.sim.arm import Vector
from hal_ros.sim.benchmark import JOINT_NAMES

_POSITION_SIGMA = np.array([1.5e-3] * 6 + [4e-4])  # rad, metres for the gripper
_POSITION_BIAS = np.array([6e-3] * 6 + [1.5e-3])
_VELOCITY_SIGMA = np.array([0.025] * 6 + [0.004])
_EFFORT_SIGMA = np.array([0.5, 0.8, 0.8, 0.4, 0.2, 0.2, 2.5])  # Nm, N
_EFFORT_DRIFT = 1.5 * _EFFORT_SIGMA
_LOST_SAMPLE, _LOST_JOINT_START = 0.004, 0.0015  # probabilities per sample of 10 ms
_LOST_JOINT_TICKS = (10, 60)


class Encoders:
    """Makes one noisy sample per control tick. Draws the same numbers each tick, whatever they are used for."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._bias = rng.normal(0.0, 1.0, len(JOINT_NAMES)) * _POSITION_BIAS
        self._drift = rng.normal(0.0, 1.0, len(JOINT_NAMES))
        self._lost_ticks = np.zeros(len(JOINT_NAMES), int)

    def sample(self, stamp_ns: int, position: Vector, velocity: Vector, effort: Vector) -> JointSample:
        """Return what the encoders say of true values (J,); NaN where a joint or the whole sample was lost."""
        count = len(JOINT_NAMES)
        noise = self._rng.standard_normal((4, count))
        chance = self._rng.random(count + 1)
        self._drift = 0.999 * self._drift + np.sqrt(1 - 0.999**2) * noise[3]
        self._lost_ticks = np.maximum(self._lost_ticks - 1, 0)
        starts = chance[:count] < _LOST_JOINT_START / count
        low, high = _LOST_JOINT_TICKS
        part = chance[:count] * count / _LOST_JOINT_START  # uniform in 0..1 where a loss starts
        self._lost_ticks[starts] = (low + (high - low) * part[starts]).astype(int)
        lost = (self._lost_ticks > 0) | (chance[count] < _LOST_SAMPLE)
        values = np.stack(
            [
                position + self._bias + noise[0] * _POSITION_SIGMA,
                velocity + noise[1] * _VELOCITY_SIGMA,
                effort + noise[2] * _EFFORT_SIGMA + self._drift * _EFFORT_DRIFT,
            ]
        ).astype(np.float32)
        values[:, lost] = np.nan
        return JointSample(stamp_ns, values[0], values[1], values[2])
