"""What the robot's sensors make of true values: noise, bias, drift and dropout, from random streams of their own."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from hal_ros.core.arrays import FloatArray
from hal_ros.sim.arm import Vector
from hal_ros.sim.benchmark import JOINT_NAMES
from hal_ros.sim.controller import TICK_S
from hal_ros.sim.world.physics import Physics

_POSITION_SIGMA = np.array([1.5e-3] * 6 + [4e-4])  # rad, metres for the gripper
_POSITION_BIAS = np.array([6e-3] * 6 + [1.5e-3])
_VELOCITY_SIGMA = np.array([0.025] * 6 + [0.004])
_EFFORT_SIGMA = np.array([0.5, 0.8, 0.8, 0.4, 0.2, 0.2, 2.5])  # Nm, N
_EFFORT_DRIFT = 1.5 * _EFFORT_SIGMA
_LOST_SAMPLE, _LOST_JOINT_START = 0.004, 0.0015  # probabilities per sample of 10 ms
_LOST_JOINT_TICKS = (10, 60)
_WRENCH_SIGMA = np.array([0.08] * 3 + [0.004] * 3)  # N, Nm
_WRENCH_BIAS = np.array([0.2] * 3 + [0.01] * 3)
_WRENCH_DRIFT = np.array([0.1] * 3 + [0.005] * 3)
_POSE_SIGMA = np.array([3e-4] * 3 + [1e-3] * 3)  # metres, rad
_POSE_BIAS = np.array([1.5e-3] * 3 + [4e-3] * 3)


@dataclass(frozen=True)
class JointSample:
    """What the encoders say at one control tick, (J,) float32 each in the order of JOINT_NAMES; NaN where lost."""

    stamp_ns: int
    position: FloatArray
    velocity: FloatArray
    effort: FloatArray


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


@dataclass(frozen=True)
class ToolSample:
    """What the wrist says at one tick."""

    force: Vector  # (3,) N, on the gripper beside its own weight, in the axes of the flange
    torque: Vector  # (3,) Nm, at the flange
    position: Vector  # (3,) metres, of the fingertips in the base's frame
    quaternion: Vector  # (4,) x, y, z, w


class ToolSensors:
    """Force-torque sensor at the wrist, and the tool's pose. They look at the physics and change nothing in it.

    The wrench is of what the gripper touches and holds, and of its own inertia; its weight is taken off, as drivers do.
    The inertia follows from the momentum of two ticks, as the accelerations that MuJoCo keeps are not those of its
    implicit integrator.
    """

    def __init__(self, physics: Physics, rng: np.random.Generator) -> None:
        self._physics, self._rng = physics, rng
        self._wrench_bias = rng.normal(0.0, 1.0, 6) * _WRENCH_BIAS
        self._pose_bias = rng.normal(0.0, 1.0, 6) * _POSE_BIAS
        self._drift = rng.normal(0.0, 1.0, 6)
        self._momentum = physics.gripper_momentum()
        self._quaternion = np.array([1.0, 0.0, 0.0, 0.0])

    def sample(self) -> ToolSample:
        """Return what they say now; to be asked once per control tick, as each call draws anew."""
        noise = self._rng.standard_normal((3, 6))
        self._drift = 0.999 * self._drift + np.sqrt(1 - 0.999**2) * noise[2]
        wrench = self.true_wrench() + noise[0] * _WRENCH_SIGMA + self._wrench_bias + self._drift * _WRENCH_DRIFT
        error = self._pose_bias + noise[1] * _POSE_SIGMA
        w, x, y, z = self._turned(error[3:])
        return ToolSample(wrench[:3], wrench[3:], self._physics.tip() + error[:3], np.array([x, y, z, w]))

    def true_wrench(self) -> Vector:
        """Return force and torque (6,) at the flange without noise, of the time since this was asked last."""
        before, self._momentum = self._momentum, self._physics.gripper_momentum()
        inertia = (self._momentum - before) / TICK_S
        return self._physics.at_flange(self._physics.gripper_touch() - inertia)

    def _turned(self, error: Vector) -> Vector:
        """Return the orientation (4,) w, x, y, z turned by a small rotation vector, of the sign nearest to the last."""
        turn, quaternion = np.zeros(4), np.zeros(4)
        angle = float(np.linalg.norm(error))
        mujoco.mju_axisAngle2Quat(turn, error / angle, angle)
        mujoco.mju_mulQuat(quaternion, turn, self._physics.tip_quaternion())
        self._quaternion = quaternion if quaternion @ self._quaternion >= 0 else -quaternion
        return self._quaternion
