"""Poses of tools and smooth ways between them. Dims: positions (3,) in metres, rotations (3, 3) in the world."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
UP = np.array([0.0, 0.0, 1.0])
DOWN = -UP


@dataclass(frozen=True)
class Pose:
    """Where a tool is, or shall be."""

    position: Array  # (3,)
    rotation: Array  # (3, 3)

    def raised(self, height_m: float) -> Pose:
        """Return the pose this much higher."""
        return Pose(self.position + height_m * UP, self.rotation)

    def shifted(self, way: Array) -> Pose:
        """Return the pose moved along a way (3,) in the world."""
        return Pose(self.position + way, self.rotation)


def frame(first: Array, second: Array, order: str) -> Array:
    """Return the rotation whose axes, named in `order` as 'xy' or 'zx', are two perpendicular directions."""
    axes = {order[0]: first / np.linalg.norm(first), order[1]: second / np.linalg.norm(second)}
    (missing,) = set("xyz") - set(order)
    after = {"x": ("y", "z"), "y": ("z", "x"), "z": ("x", "y")}[missing]
    axes[missing] = np.cross(axes[after[0]], axes[after[1]])
    return np.stack([axes["x"], axes["y"], axes["z"]], axis=1)


def horizontal(angle: float) -> Array:
    """Return the direction at an angle about the vertical."""
    return np.array([np.cos(angle), np.sin(angle), 0.0])


def rotation_vector(rotation: Array) -> Array:
    """Return axis times angle, at most half a turn."""
    quaternion, vector = np.empty(4), np.empty(3)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(rotation).ravel())
    mujoco.mju_quat2Vel(vector, quaternion, 1.0)
    return vector


def rotation_of(vector: Array) -> Array:
    """Return the rotation about an axis by its length."""
    quaternion, matrix = np.empty(4), np.empty(9)
    angle = float(np.linalg.norm(vector))
    axis = vector / angle if angle > 0 else np.array([1.0, 0.0, 0.0])
    mujoco.mju_axisAngle2Quat(quaternion, axis, angle)
    mujoco.mju_quat2Mat(matrix, quaternion)
    return matrix.reshape(3, 3)


def between(start: Pose, end: Pose, share: float, bow: Array) -> Pose:
    """Return the pose a share of the way from start to end, bent by `bow` (3,) in the middle."""
    smooth = share**3 * (10 - 15 * share + 6 * share**2)
    position = start.position + (end.position - start.position) * smooth + bow * np.sin(np.pi * smooth)
    turn = rotation_vector(start.rotation.T @ end.rotation)
    return Pose(position, start.rotation @ rotation_of(turn * smooth))


def nearest_face(angle: float, wanted: float) -> float:
    """Return the face angle of a cube turned by `angle` that is nearest to the wanted one, in radians."""
    quarter = np.pi / 2
    return angle + quarter * round((wanted - angle) / quarter)
