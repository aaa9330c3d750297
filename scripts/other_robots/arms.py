"""Arms in MuJoCo: inverse kinematics for a tool's pose, and two ways to drive joints: by position or by torque."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from other_robots.poses import Array, Pose, rotation_vector

DAMPING, POSTURE, ITERATIONS = 0.03, 0.05, 3
FASTEST_RAD_S = 2.5


@dataclass(frozen=True)
class Tool:
    """A frame on a body: offset (3,) and rotation (3, 3) in the body's own frame."""

    body: str
    offset: Array
    rotation: Array


@dataclass(frozen=True)
class Gripper:
    """Two fingers and the actuators that drive them by position; the second finger moves the other way."""

    joints: tuple[str, str]
    actuators: tuple[int, int]
    closed_m: float
    open_m: float


class Arm:
    """One arm and its gripper; the goals are in joint positions (J,), the pose is the one that they stand for."""

    def __init__(self, data: mujoco.MjData, joints: Sequence[str], tool: Tool, gripper: Gripper) -> None:
        """Take the joints' present positions as goal and as the posture to stay near to."""
        self.model, self.data = data.model, data
        self.joints, self.tool, self.gripper = tuple(joints), tool, gripper
        self.qpos = np.array([self.model.joint(name).qposadr[0] for name in joints])
        self.dofs = np.array([self.model.joint(name).dofadr[0] for name in joints])
        self.limits = np.array([self.model.joint(name).range for name in joints])
        self.goal = np.array(data.qpos[self.qpos])
        self.speed = np.zeros(len(joints))
        self.posture = self.goal.copy()
        self.scratch = mujoco.MjData(self.model)
        self.opening_m = float(data.joint(gripper.joints[0]).qpos[0])
        self.pose = self._pose_at(self.goal)

    def follow(self, pose: Pose, period_s: float) -> None:
        """Move the goal towards a pose, as far as the joints may go in one period."""
        goal = self._solve(pose)
        farthest = FASTEST_RAD_S * period_s
        step = np.clip(goal - self.goal, -farthest, farthest)
        self.goal = self.goal + step
        self.speed = step / period_s
        self.pose = pose

    def actual(self) -> Pose:
        """Return where the tool is now."""
        return self._pose_in(self.data)

    def drive(self) -> None:
        """Set this arm's controls for the next step of the physics."""
        first, second = self.gripper.actuators
        self.data.ctrl[first], self.data.ctrl[second] = self.opening_m, -self.opening_m

    def _pose_in(self, data: mujoco.MjData) -> Pose:
        body = data.body(self.tool.body)
        rotation = np.array(body.xmat).reshape(3, 3)
        return Pose(np.array(body.xpos) + rotation @ self.tool.offset, rotation @ self.tool.rotation)

    def _pose_at(self, joints: Array) -> Pose:
        self.scratch.qpos[self.qpos] = joints
        mujoco.mj_kinematics(self.model, self.scratch)
        return self._pose_in(self.scratch)

    def _solve(self, pose: Pose) -> Array:
        """Damped least squares from the present goal; what the pose leaves free goes towards the posture."""
        joints = self.goal.copy()
        body = self.model.body(self.tool.body).id
        moves, turns = np.zeros((3, self.model.nv)), np.zeros((3, self.model.nv))
        for _ in range(ITERATIONS):
            now = self._pose_at(joints)
            mujoco.mj_comPos(self.model, self.scratch)
            mujoco.mj_jac(self.model, self.scratch, moves, turns, now.position, body)
            jacobian = np.concatenate([moves[:, self.dofs], turns[:, self.dofs]])
            turn = now.rotation @ rotation_vector(now.rotation.T @ pose.rotation)
            error = np.concatenate([pose.position - now.position, turn])
            inverse = jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + DAMPING**2 * np.eye(6))
            free = (np.eye(len(joints)) - inverse @ jacobian) @ (POSTURE * (self.posture - joints))
            joints = np.clip(joints + inverse @ error + free, self.limits[:, 0], self.limits[:, 1])
        return joints


class PositionArm(Arm):
    """Driven by position actuators; `lead_s` makes up for their lag."""

    lead_s = 0.08

    def __init__(
        self, data: mujoco.MjData, joints: Sequence[str], tool: Tool, gripper: Gripper, actuators: Sequence[int]
    ) -> None:
        """Take the actuators in the joints' order."""
        super().__init__(data, joints, tool, gripper)
        self.actuators = np.array(actuators)

    def drive(self) -> None:
        """Set this arm's controls for the next step of the physics."""
        super().drive()
        self.data.ctrl[self.actuators] = self.goal + self.lead_s * self.speed


class TorqueArm(Arm):
    """Driven by motors: computed torque, with the arm's own weight made up for."""

    stiffness, damping = 400.0, 40.0

    def __init__(
        self, data: mujoco.MjData, joints: Sequence[str], tool: Tool, gripper: Gripper, actuators: Sequence[int]
    ) -> None:
        """Take the motors in the joints' order."""
        super().__init__(data, joints, tool, gripper)
        self.actuators = np.array(actuators)

    def drive(self) -> None:
        """Set this arm's controls for the next step of the physics."""
        super().drive()
        inertia = np.zeros((self.model.nv, self.model.nv))
        mujoco.mj_fullM(self.model, inertia, self.data.qM)
        error = self.goal - self.data.qpos[self.qpos]
        wanted = self.stiffness * error + self.damping * (self.speed - self.data.qvel[self.dofs])
        torque = inertia[np.ix_(self.dofs, self.dofs)] @ wanted + self.data.qfrc_bias[self.dofs]
        low, high = self.model.actuator_ctrlrange[self.actuators].T
        self.data.ctrl[self.actuators] = np.clip(torque, low, high)
