"""The physical state of an episode, asked by name: what is held, how far the drawer is open, where the balls are."""

from __future__ import annotations

import mujoco
import numpy as np

from hal_ros.sim.arm import ARM_JOINTS, FINGER_OPEN, Vector
from hal_ros.sim.benchmark import JOINT_NAMES
from hal_ros.sim.world import layout as table_layout
from hal_ros.sim.world.layout import TableLayout

SUBSTEPS = 4  # of the physics in one control tick of 10 ms


class Physics:
    """MuJoCo's model and data of one episode, in the words of the tabletop."""

    def __init__(self, model: mujoco.MjModel, layout: TableLayout, angles: Vector) -> None:
        self.model, self.layout = model, layout
        self.data = mujoco.MjData(model)
        self.joint_qpos = np.array([model.joint(name).qposadr[0] for name in JOINT_NAMES])
        self.joint_dofs = np.array([model.joint(name).dofadr[0] for name in JOINT_NAMES])
        self._pads = (model.geom("pad_left").id, model.geom("pad_right").id)
        self._body = {model.body(i).name: i for i in range(model.nbody)}
        self._site = model.site("ee_site").id
        self._flange = self._body["link_6"]
        self._gripper = [self._flange, self._body["carriage_left"], self._body["carriage_right"]]
        self._balls = [self._body[f"ball_{i}"] for i in range(table_layout.BALL_COUNT)] if layout.balls_in else []
        self.data.qpos[self.joint_qpos] = [*angles, FINGER_OPEN]
        self.data.qpos[model.joint("right_carriage_joint").qposadr[0]] = FINGER_OPEN
        self.command(angles, FINGER_OPEN)
        self.advance(60)

    def command(self, angles: Vector, grip: float) -> None:
        """Set the position targets of the arm's joints (6,) and of the left finger, metres from the middle."""
        self.data.ctrl[:ARM_JOINTS] = angles
        self.data.ctrl[ARM_JOINTS] = grip

    def advance(self, ticks: int = 1) -> None:
        """Advance by control ticks of 10 ms."""
        mujoco.mj_step(self.model, self.data, SUBSTEPS * ticks)

    def put(self, name: str, xy: tuple[float, float]) -> None:
        """Set a free body down somewhere else at its own height, at rest."""
        body = self._body[name]
        first, dof = self.model.jnt_qposadr[self.model.body_jntadr[body]], self.model.body_dofadr[body]
        self.data.qpos[first : first + 2] = xy
        self.data.qvel[dof : dof + 6] = [0, 0, -1e-3, 0, 0, 0]  # a body that sleeps wakes only if it moves
        mujoco.mj_kinematics(self.model, self.data)  # whoever asks where it is before the next step is told

    def has(self, name: str) -> bool:
        """Tell whether a body stands in this episode."""
        return name in self._body

    def position(self, name: str) -> Vector:
        """Return the position (3,) of a body's frame."""
        return np.asarray(self.data.xpos[self._body[name]])

    def rotation(self, name: str) -> Vector:
        """Return the rotation (3, 3) of a body."""
        return np.asarray(self.data.xmat[self._body[name]]).reshape(3, 3)

    def tip(self) -> Vector:
        """Return the position (3,) of the fingertips."""
        return np.asarray(self.data.site_xpos[self._site])

    def tip_quaternion(self) -> Vector:
        """Return the orientation (4,) w, x, y, z of the fingertips."""
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, self.data.site_xmat[self._site])
        return quaternion

    def gripper_touch(self) -> Vector:
        """Return force and torque (6,) of all that touches the gripper, about its centre of mass: N, Nm."""
        data = self.data
        mujoco.mj_rnePostConstraint(self.model, data)  # fills in what no step reads
        touch = data.cfrc_ext[self._gripper].sum(0)
        force = touch[3:]
        reference = data.subtree_com[self.model.body_rootid[self._flange]]  # where MuJoCo takes this torque
        torque = touch[:3] + _cross(reference - data.subtree_com[self._flange], force)
        return np.concatenate([force, torque])

    def gripper_momentum(self) -> Vector:
        """Return the gripper's linear momentum and its angular one about its centre of mass (6,): Ns, Nms."""
        model, data, flange = self.model, self.data, self._flange
        mujoco.mj_subtreeVel(model, data)  # fills in what no step reads
        linear = model.body_subtreemass[flange] * data.subtree_linvel[flange]
        return np.concatenate([linear, data.subtree_angmom[flange]])

    def at_flange(self, wrench: Vector) -> Vector:
        """Return a wrench (6,) about the gripper's centre of mass as one at its flange, in the flange's axes."""
        data, flange = self.data, self._flange
        force = wrench[:3]
        torque = wrench[3:] + _cross(data.subtree_com[flange] - data.xpos[flange], force)
        rotation = data.xmat[flange].reshape(3, 3)
        return np.concatenate([rotation.T @ force, rotation.T @ torque])

    def speed(self, name: str) -> float:
        """Return the linear speed of a free body, metres per second."""
        first = self.model.body_dofadr[self._body[name]]
        return float(np.linalg.norm(self.data.qvel[first : first + 3]))

    def grip(self) -> float:
        """Return the left finger's distance from the middle, metres."""
        return float(self.data.qpos[self.joint_qpos[ARM_JOINTS]])

    def pads_on(self, name: str) -> int:
        """Return how many finger pads (0..2) touch a body."""
        contact, body = self.data.contact, self._body[name]
        pairs = contact.geom
        touched = 0
        for pad in self._pads:
            others = np.concatenate([pairs[pairs[:, 0] == pad, 1], pairs[pairs[:, 1] == pad, 0]])
            touched += bool(np.any(self.model.geom_bodyid[others] == body))
        return touched

    def bottom(self, block: str) -> float:
        """Return the height of a block's lowest face above the table, for a block that stands or hangs upright."""
        return float(self.position(block)[2]) - self.layout.blocks[block].half

    def drawer_opening(self) -> float:
        """Return how far the drawer is open, metres."""
        return float(self.data.joint("drawer").qpos[0])

    def button_travel(self) -> float:
        """Return how far the button is pressed, metres."""
        return float(self.data.joint("button").qpos[0]) if self.has("button") else 0.0

    def lamp_on(self) -> bool:
        """Tell whether the lamp is lit: while the button is pressed more than half way."""
        return self.button_travel() > 0.5 * table_layout.BUTTON_TRAVEL

    def cup_tilt(self) -> float:
        """Return the angle between the cup's axis and the vertical, radians."""
        return float(np.arccos(np.clip(self.rotation("cup")[2, 2], -1.0, 1.0)))

    def balls_in_bowl(self) -> int:
        """Count the balls inside the bowl."""
        bowl = self.position("bowl")
        return sum(
            bool(np.hypot(*(self.data.xpos[b][:2] - bowl[:2])) < 0.06 and self.data.xpos[b][2] < 0.05)
            for b in self._balls
        )

    def balls_in_cup(self) -> int:
        """Count the balls inside the cup."""
        cup, rotation = self.position("cup"), self.rotation("cup")
        local = [rotation.T @ (self.data.xpos[b] - cup) for b in self._balls]
        return sum(
            bool(np.hypot(p[0], p[1]) < table_layout.CUP_RADIUS and 0 < p[2] < table_layout.CUP_HEIGHT) for p in local
        )


def _cross(one: Vector, other: Vector) -> Vector:
    """Return the cross product (3,); numpy's takes twenty times as long for two single vectors."""
    product = np.zeros(3)
    mujoco.mju_cross(product, one, other)
    return product
