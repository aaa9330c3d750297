"""Two ViperX arms over one cube: gym-aloha's scene `transfer_cube`, with phases of our own, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import mujoco
import numpy as np

from other_robots import layouts
from other_robots.arms import Gripper, PositionArm, Tool
from other_robots.layouts import ALOHA_LINKS, SIDES
from other_robots.poses import DOWN, UP, Array, Pose, frame, horizontal, nearest_face
from other_robots.recording import Recording
from other_robots.sensors import Scene, Sensors, open_renderers, open_streams
from other_robots.simulation import FailedError, Simulation, body_angle, body_position

SIGN = {"left": -1.0, "right": 1.0}  # of x, where an arm stands
POSTURE = np.array([0.0, -0.96, 1.16, 0.0, -0.3, 0.0])
CUBE, HALF_M = "box", 0.02
OPEN_M, CLOSED_M = 0.056, 0.021
TIP_M = 0.137
"""From the gripper's link to where the fingers' pads meet."""


def load_scene() -> Scene:
    """Return gym-aloha's scene, to be looked at from above and from both wrists."""
    import gym_aloha

    path = Path(gym_aloha.__file__).parent / "assets" / "bimanual_viperx_transfer_cube.xml"
    model = mujoco.MjModel.from_xml_path(str(path))
    return Scene(mujoco.MjData(model), open_renderers(model, layouts.aloha(turns=False)))


class Aloha:
    """The script; `coming` are the phases after the present one, which decide where a cube is put."""

    def __init__(self, scene: Scene, recording: Recording, seed: int, phases: Sequence[str]) -> None:
        """Draw where cube and arms are."""
        self.scene, self.model, self.data = scene, scene.data.model, scene.data
        self.random = np.random.default_rng(seed)
        self.coming = list(phases)
        self.holder = ""
        self._reset()
        self.arms = {side: self._arm(side) for side in SIDES}
        self.simulation = Simulation(self.data, self.arms, recording, self.random)
        noise = np.random.default_rng([seed, 1])  # the sensors' own: what is recorded changes no movement
        form = recording.form
        streams = open_streams(layouts.aloha(form.turns), scene, form.raw_pictures, noise)
        self.simulation.sensors = Sensors(streams, recording, noise)
        self.home = {side: self._home(side) for side in SIDES}

    def _reset(self) -> None:
        mujoco.mj_resetData(self.model, self.data)
        for side in SIDES:
            for link, position in zip(ALOHA_LINKS, POSTURE + self.random.normal(0, 0.07, 6), strict=True):
                self.data.joint(f"vx300s_{side}/{link}").qpos[0] = position
            self.data.joint(f"vx300s_{side}/left_finger").qpos[0] = 0.03
            self.data.joint(f"vx300s_{side}/right_finger").qpos[0] = -0.03
        turn = self.random.uniform(-0.35, 0.35)
        spot = self._spot("")
        self.data.joint("red_box_joint").qpos[:] = [*spot, HALF_M, np.cos(turn / 2), 0, 0, np.sin(turn / 2)]
        mujoco.mj_forward(self.model, self.data)

    def _arm(self, side: str) -> PositionArm:
        first = 8 * SIDES.index(side)
        tool = Tool(f"vx300s_{side}/gripper_link", np.array([TIP_M, 0, 0]), np.eye(3))
        fingers = (f"vx300s_{side}/left_finger", f"vx300s_{side}/right_finger")
        gripper = Gripper(fingers, (first + 6, first + 7), CLOSED_M, OPEN_M)
        joints = [f"vx300s_{side}/{link}" for link in ALOHA_LINKS]
        return PositionArm(self.data, joints, tool, gripper, range(first, first + 6))

    # --- where things are ---------------------------------------------------------------------------------------------

    def _spot(self, holder: str) -> Array:
        """Return where the cube can lie for those who reach for it before it is grasped next; nobody: the holder."""
        sides = set()
        for phase in self.coming:
            side, _, verb = phase.partition("_")
            if verb in ("reach", "grasp"):
                sides.add(side)
            if verb == "grasp":
                break
        sides = sides or {holder or str(self.random.choice(SIDES))}
        x_m = self.random.uniform(-0.035, 0.035)
        if len(sides) == 1:
            x_m = SIGN[sides.pop()] * self.random.uniform(0.02, 0.16)
            if holder and np.sign(x_m) != SIGN[holder]:
                x_m = np.clip(x_m, -0.04, 0.04)
        return np.array([x_m, self.random.uniform(0.44, 0.58)])

    def _cube(self) -> Array:
        return body_position(self.data, CUBE)

    def _down(self, side: str, position: Array, angle: float) -> Pose:
        """Return the pose of a tool that points down, its fingers at an angle from the front-back line."""
        fingers = -SIGN[side] * horizontal(np.pi / 2 + angle)
        return Pose(position, frame(DOWN, fingers, "xy"))

    def _home(self, side: str) -> Pose:
        """Return where an arm waits: beside the table's middle, pointing inwards."""
        inwards = np.array([-SIGN[side], 0.0, -0.25])
        fingers = np.array([0.0, -SIGN[side], 0.0])
        place = np.array([0.20 * SIGN[side], 0.5, 0.27]) + self.random.normal(0, 0.02, 3)
        return Pose(place, frame(inwards, fingers, "xy"))

    def _over(self, side: str, height_m: float) -> Pose:
        angle = nearest_face(body_angle(self.data, CUBE), 0.0)
        return self._down(side, self._cube() + height_m * UP, angle)

    def _move(self, side: str, pose: Pose, speed_m_s: float, bow_m: float = 0.0) -> None:
        self.simulation.move({side: pose}, speed_m_s, bow_m)

    def _rise(self, side: str, height_m: float, speed_m_s: float = 0.15) -> None:
        self._move(side, self.arms[side].pose.raised(height_m), speed_m_s)

    # --- phases -------------------------------------------------------------------------------------------------------

    def perform(self, phase: str) -> None:
        """Do one phase; FailedError when the world does not come out as the phase says."""
        self.coming.pop(0)
        side, _, verb = phase.partition("_")
        both: Mapping[str, Callable[[], None]] = {
            "wait": self._wait,
            "handover": self._handover,
            "push": self._push,
            "retreat": self._retreat,
        }
        one: Mapping[str, Callable[[str], None]] = {
            "reach": self._reach,
            "grasp": self._grasp,
            "lift": self._lift,
            "place": self._place,
        }
        if phase in both:
            both[phase]()
        else:
            one[verb](side)

    def _wait(self) -> None:
        self.simulation.hold(float(self.random.uniform(1.2, 2.8)))

    def _retreat(self) -> None:
        self.home = {side: self._home(side) for side in SIDES}
        self.simulation.move(self.home, 0.16, 0.02)

    def _clear(self, side: str) -> None:
        """Send the other arm home if it is in the way."""
        other = _other(side)
        if np.linalg.norm(self.arms[other].pose.position - self._cube()) < 0.17:
            self._move(other, self.home[other], 0.2)

    def _reach(self, side: str) -> None:
        self._clear(side)
        over = self._over(side, self.random.uniform(0.07, 0.10))
        if np.linalg.norm((self.arms[side].pose.position - over.position)[:2]) < 0.06:
            self._move(side, self.home[side], 0.16, 0.02)
        self.simulation.grip({side: OPEN_M})
        self._move(side, over, 0.14, 0.02)

    def _grasp(self, side: str) -> None:
        off = np.array([*self.random.normal(0, 0.003, 2), self.random.uniform(-0.003, 0.004)])
        self._move(side, self._over(side, 0.0).shifted(off), 0.07)
        self.simulation.grip({side: CLOSED_M}, 0.6)
        self.simulation.hold(0.3)
        self.holder = side

    def _lift(self, side: str) -> None:
        self._rise(side, self.random.uniform(0.10, 0.14), 0.09)
        if self._cube()[2] < 0.08:
            raise FailedError("the cube is not lifted")

    def _place(self, side: str) -> None:
        """Turn what is held to lie flat, put it down and rise."""
        arm = self.arms[side]
        spot = self._spot(side)
        angle = self.random.uniform(-0.3, 0.3)
        low = self._down(side, np.array([*spot, HALF_M + 0.006]), angle)
        grip = arm.actual()
        off = grip.rotation.T @ (self._cube() - grip.position)  # where in the tool the cube is
        low = Pose(low.position - low.rotation @ off, low.rotation)
        self._move(side, low.raised(0.12), 0.12, 0.01)
        self._move(side, low, 0.06)
        self.simulation.grip({side: OPEN_M}, 0.5)
        self._rise(side, 0.10, 0.12)
        self.holder = ""
        if self._cube()[2] > HALF_M + 0.01 or np.linalg.norm(self._cube()[:2] - spot) > 0.06:
            raise FailedError("the cube is not where it was placed")

    def _handover(self) -> None:
        """Meet in the air; the one that takes comes from its side with its fingers across the giver's."""
        giver, taker = self.holder, _other(self.holder)
        meeting = np.array([0.05 * SIGN[giver], 0.5, 0.2]) + self.random.normal(0, 0.012, 3)
        held = self.arms[giver].pose
        level = self._down(giver, meeting, 0.0) if held.rotation[2, 0] < -0.7 else Pose(meeting, held.rotation)
        inwards = np.array([-SIGN[taker], 0.0, 0.0])
        across = np.array([0.0, 0.0, SIGN[taker]])
        if abs(level.rotation[2, 1]) > 0.7:
            across = np.array([0.0, -SIGN[taker], 0.0])
        ahead = Pose(meeting - 0.12 * inwards, frame(inwards, across, "xy"))
        self.simulation.grip({taker: OPEN_M})
        self.simulation.move({giver: level, taker: ahead}, 0.13, 0.01)
        at = Pose(self._cube(), ahead.rotation)
        self._move(taker, Pose(at.position - 0.004 * inwards, at.rotation), 0.07)
        self.simulation.grip({taker: CLOSED_M}, 0.6)
        self.simulation.hold(0.2)
        self.simulation.grip({giver: OPEN_M}, 0.5)
        back = self.arms[giver].pose
        self._move(giver, Pose(back.position - 0.1 * back.rotation[:, 0], back.rotation), 0.1)
        self._move(giver, self.home[giver], 0.2)
        self.holder = taker
        if self._cube()[2] < 0.1:
            raise FailedError("the cube fell")

    def _push(self) -> None:
        """Push the cube along the table with closed fingers, with the arm that is nearer."""
        cube = self._cube()
        side = SIDES[0] if cube[0] < 0 else SIDES[1]
        self._clear(side)
        angle = nearest_face(body_angle(self.data, CUBE), 0.0)
        way = horizontal(angle + np.pi / 2) * (1 if cube[1] < 0.5 else -1)
        start = self._down(side, cube - way * (HALF_M + 0.04) + 0.008 * UP, angle)
        self.simulation.grip({side: CLOSED_M})
        self._move(side, start.raised(0.09), 0.14, 0.01)
        self._move(side, start, 0.09)
        self._move(side, start.shifted(way * self.random.uniform(0.08, 0.11)), 0.06)
        self._rise(side, 0.10, 0.12)
        if np.linalg.norm(self._cube() - cube) < 0.02:
            raise FailedError("the cube is not pushed")


def _other(side: str) -> str:
    return SIDES[1 - SIDES.index(side)]
