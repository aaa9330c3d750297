"""Kinematics of the arm alone: poses of the fingertips, and the joint angles that reach them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

ASSETS = Path(__file__).parent / "assets"
ARM_JOINTS = 6
DOWN = math.pi / 2  # pitch of a gripper that points at the table
FINGER_OPEN = 0.04  # metres each finger stands from the middle

_SEEDS = (
    np.array([0.0, 1.05, 0.95, 0.7, 0.0, 0.0]),
    np.array([0.0, 1.4, 1.2, 1.2, 0.0, 0.0]),
    np.array([0.0, 1.0, 1.3, 0.2, 0.0, 0.0]),
)


class Pose(NamedTuple):
    """Where the fingertips are (metres) and where the gripper points: yaw about z, then pitch, then roll (radians).

    Pitch 0 points away from the robot, pitch DOWN at the table; the fingers open along the gripper's y axis.
    """

    x: float
    y: float
    z: float
    yaw: float
    pitch: float = DOWN
    roll: float = 0.0

    def rotation(self) -> Vector:
        """Return the gripper's rotation matrix (3, 3)."""
        cy, sy, cp, sp = math.cos(self.yaw), math.sin(self.yaw), math.cos(self.pitch), math.sin(self.pitch)
        cr, sr = math.cos(self.roll), math.sin(self.roll)
        about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
        return about_z @ about_y @ about_x

    def blend(self, other: Pose, part: float) -> Pose:
        """Return the pose a part of the way to other, on an arc about the robot's base."""
        radius, angle = math.hypot(self.x, self.y), math.atan2(self.y, self.x)
        radius_1, angle_1 = math.hypot(other.x, other.y), math.atan2(other.y, other.x)
        start = (radius, angle, self.z, self.yaw - angle, self.pitch, self.roll)
        end = (radius_1, angle_1, other.z, other.yaw - angle_1, other.pitch, other.roll)
        r, a, z, yaw, pitch, roll = (p + part * (q - p) for p, q in zip(start, end, strict=True))
        return Pose(r * math.cos(a), r * math.sin(a), z, yaw + a, pitch, roll)

    def moved(self, dx: float = 0.0, dy: float = 0.0, dz: float = 0.0) -> Pose:
        """Return the same orientation at a shifted place."""
        return self._replace(x=self.x + dx, y=self.y + dy, z=self.z + dz)


class Arm:
    """Inverse kinematics by damped least squares on a model of the arm without a scene."""

    def __init__(self) -> None:
        self._model = mujoco.MjModel.from_xml_path(str(ASSETS / "wxai.xml"))
        self._data = mujoco.MjData(self._model)
        self._site = self._model.site("ee_site").id
        self._low, self._high = self._model.jnt_range[:ARM_JOINTS].T
        self._jacobian = np.zeros((6, self._model.nv))

    def tip(self, angles: Vector) -> tuple[Vector, Vector]:
        """Return position (3,) and rotation (3, 3) of the fingertips at joint angles (6,)."""
        self._data.qpos[:ARM_JOINTS] = angles
        mujoco.mj_kinematics(self._model, self._data)
        return self._data.site_xpos[self._site].copy(), self._data.site_xmat[self._site].reshape(3, 3).copy()

    def solve(self, pose: Pose, start: Vector, iterations: int = 60) -> tuple[Vector, float]:
        """Return joint angles (6,) near start that reach the pose, and the distance in metres by which they miss it."""
        angles = start.copy()
        target, rotation = np.array(pose[:3]), pose.rotation()
        for _ in range(iterations):
            position, current = self.tip(angles)
            error = np.concatenate([target - position, 0.25 * _rotation_vector(rotation @ current.T)])
            if np.linalg.norm(error) < 1e-5:
                break
            mujoco.mj_comPos(self._model, self._data)
            mujoco.mj_jacSite(self._model, self._data, self._jacobian[:3], self._jacobian[3:], self._site)
            jacobian = self._jacobian[:, :ARM_JOINTS].copy()
            jacobian[3:] *= 0.25
            change = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + 1e-6 * np.eye(6), error)
            angles = np.clip(angles + np.clip(change, -0.3, 0.3), self._low, self._high)
        position, current = self.tip(angles)
        miss = np.linalg.norm(target - position) + 0.1 * np.linalg.norm(_rotation_vector(rotation @ current.T))
        return angles, float(miss)

    def reach(self, pose: Pose, near: Vector | None = None) -> tuple[Vector, float]:
        """Solve from several starts and return the solution with the smallest miss, then nearest to `near`."""
        turned = np.array([math.atan2(pose.y, pose.x), 0, 0, 0, 0, 0])
        starts = [seed + turned for seed in _SEEDS] + ([] if near is None else [near])
        solutions = [self.solve(pose, start) for start in starts]
        home = _SEEDS[0] + turned if near is None else near
        return min(solutions, key=lambda s: (round(s[1], 4), float(np.abs(s[0] - home).sum())))


def _rotation_vector(rotation: Vector) -> Vector:
    """Return axis times angle (3,) of a rotation matrix; enough near the identity and up to half a turn."""
    axis = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine = float(np.linalg.norm(axis)) / 2
    angle = math.atan2(sine, (float(np.trace(rotation)) - 1) / 2)
    return axis * (angle / (2 * sine)) if sine > 1e-9 else np.zeros(3)
