"""A Panda arm over two cubes: robosuite's scene `Stack`, with phases of our own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import mujoco
import numpy as np

from other_robots import layouts
from other_robots.arms import Gripper, Tool, TorqueArm
from other_robots.poses import DOWN, UP, Array, Pose, frame, horizontal, nearest_face
from other_robots.recording import Recording
from other_robots.sensors import Scene, Sensors, open_renderers, open_streams
from other_robots.simulation import FailedError, Simulation, body_angle, body_position

CUBES = {"red": "cubeA_main", "green": "cubeB_main"}
HALF_M = {"red": 0.020, "green": 0.025}
TABLE_M = 0.8
OPEN_M, CLOSED_M = 0.04, 0.0
FREE_M = 0.105
"""How far apart cubes are put."""
HOME_M = np.array([-0.12, 0.0, 1.04])


def load_scene() -> Scene:
    """Return robosuite's scene, to be looked at by two of its cameras."""
    logging.getLogger("robosuite_logs").setLevel(logging.ERROR)
    import robosuite

    environment = robosuite.make(
        "Stack",
        robots="Panda",
        has_renderer=False,
        has_offscreen_renderer=False,
        use_camera_obs=False,
        use_object_obs=False,
        seed=0,
    )
    model, data = environment.sim.model._model, environment.sim.data._data
    return Scene(data, open_renderers(model, layouts.panda(turns=False)), hidden_groups=(0,))


class Panda:
    """The script: each phase is a method; `held` is what the gripper should hold, `target` what it turned to last."""

    def __init__(self, scene: Scene, recording: Recording, seed: int) -> None:
        """Draw where cubes and arm are."""
        self.scene, self.model, self.data = scene, scene.data.model, scene.data
        self.random = np.random.default_rng(seed)
        self.held, self.target = "", ""
        self._reset()
        arm = self._arm()
        self.simulation = Simulation(self.data, {"arm": arm}, recording, self.random)
        noise = np.random.default_rng([seed, 1])  # the sensors' own: what is recorded changes no movement
        form = recording.form
        streams = open_streams(layouts.panda(form.turns), scene, form.raw_pictures, noise)
        self.simulation.sensors = Sensors(streams, recording, noise)
        self.phases: Mapping[str, Callable[[], None]] = {
            "idle": self._idle,
            "grasp": self._grasp,
            "miss": self._miss,
            "lift": self._lift,
            "put_down": self._put_down,
            "push": self._push,
            "press": self._press,
            "retreat": self._retreat,
        }

    def _reset(self) -> None:
        mujoco.mj_resetData(self.model, self.data)
        posture = np.array([0, np.pi / 16, 0, -np.pi / 2 - np.pi / 3, 0, np.pi - 0.2, np.pi / 4])
        self.data.qpos[:7] = posture + self.random.normal(0, 0.08, 7)
        self.data.qpos[7:9] = (0.03, -0.03)
        taken: list[Array] = []
        for name, body in CUBES.items():
            spot = self._free_spot(taken)
            taken.append(spot)
            turn = self.random.uniform(0, np.pi / 2)
            address = self.model.joint(self.model.body(body).jntadr[0]).qposadr[0]
            height = TABLE_M + HALF_M[name]
            self.data.qpos[address : address + 7] = [*spot, height, np.cos(turn / 2), 0, 0, np.sin(turn / 2)]
        mujoco.mj_forward(self.model, self.data)

    def _arm(self) -> TorqueArm:
        site = self.model.site("gripper0_right_grip_site")
        rotation = np.empty(9)
        mujoco.mju_quat2Mat(rotation, site.quat)
        tool = Tool(self.model.body(site.bodyid[0]).name, np.array(site.pos), rotation.reshape(3, 3))
        return TorqueArm(
            self.data, layouts.PANDA_JOINTS, tool, Gripper(layouts.PANDA_FINGERS, (7, 8), CLOSED_M, OPEN_M), range(7)
        )

    # --- where things are ---------------------------------------------------------------------------------------------

    def _free_spot(self, taken: list[Array]) -> Array:
        for _ in range(500):
            spot = np.array([self.random.uniform(-0.13, 0.11), self.random.uniform(-0.2, 0.2)])
            if all(np.linalg.norm(spot - other) > FREE_M for other in taken):
                return spot
        raise FailedError("no free place on the table")

    def _cube(self, name: str) -> Array:
        return body_position(self.data, CUBES[name])

    def _over(self, name: str, height_m: float) -> Pose:
        """Return the tool pose over a cube: fingers on two of its faces, the tool's height over its middle."""
        angle = nearest_face(body_angle(self.data, CUBES[name]), np.pi / 2)
        return self._pose(self._cube(name) + height_m * UP, angle)

    def _pose(self, position: Array, finger_angle: float) -> Pose:
        return Pose(np.asarray(position), frame(horizontal(finger_angle), DOWN, "xz"))

    def _other(self, name: str) -> str:
        return "green" if name == "red" else "red"

    def _move(self, pose: Pose, speed_m_s: float, bow_m: float = 0.0) -> None:
        self.simulation.move({"arm": pose}, speed_m_s, bow_m)

    def _grip(self, opening_m: float) -> None:
        self.simulation.grip({"arm": opening_m})

    def _rise(self, height_m: float, speed_m_s: float = 0.2) -> None:
        self._move(self.simulation.arms["arm"].pose.raised(height_m), speed_m_s)

    # --- phases -------------------------------------------------------------------------------------------------------

    def perform(self, phase: str) -> None:
        """Do one phase; FailedError when the world does not come out as the phase says."""
        verb, _, name = phase.rpartition("_")
        if verb == "approach":
            self._approach(name)
        elif verb == "stack_on":
            self._stack(name)
        else:
            self.phases[phase]()

    def _idle(self) -> None:
        self.simulation.hold(float(self.random.uniform(1.2, 2.8)))

    def _retreat(self) -> None:
        goal = self._pose(HOME_M + self.random.normal(0, 0.03, 3), np.pi / 2 + self.random.normal(0, 0.1))
        self._move(goal, 0.16, 0.02)

    def _approach(self, name: str) -> None:
        self.target = name
        self.simulation.arms["arm"].opening_m = max(0.02, self.simulation.arms["arm"].opening_m)
        over = self._over(name, self.random.uniform(0.08, 0.12))
        here = self.simulation.arms["arm"].pose
        if np.linalg.norm((here.position - over.position)[:2]) < 0.05:
            self._move(here.shifted(np.array([self.random.normal(0, 0.03), self.random.normal(0, 0.05), 0.08])), 0.14)
        self._grip(OPEN_M)
        self._move(over, 0.14, 0.03)

    def _grasp(self) -> None:
        off = np.array([*self.random.normal(0, 0.003, 2), self.random.uniform(-0.004, 0.006)])
        self._move(self._over(self.target, 0.0).shifted(off), 0.07)
        self._grip(CLOSED_M)
        self.simulation.hold(0.2)
        self.held = self.target

    def _miss(self) -> None:
        """Close beside the cube, or over it; then open again."""
        goal = self._over(self.target, 0.0)
        if self.random.random() < 0.5:
            side = goal.rotation[:, 1] * self.random.choice([-1, 1])
            goal = Pose(goal.position + side * self.random.uniform(0.05, 0.06), goal.rotation)
        else:
            goal = goal.raised(self.random.uniform(0.045, 0.055))
        before = self._cube(self.target)
        self._move(goal, 0.07)
        self._grip(CLOSED_M)
        self.simulation.hold(0.3)
        self._rise(0.05, 0.1)
        self._grip(OPEN_M)
        if self._cube(self.target)[2] > before[2] + 0.01:
            raise FailedError("a grasp that should miss lifts the cube")

    def _lift(self) -> None:
        self._rise(self.random.uniform(0.10, 0.15), 0.1)
        if self._cube(self.held)[2] < TABLE_M + 0.08:
            raise FailedError("the cube is not lifted")

    def _let_go(self, pose: Pose, above_m: float) -> None:
        """Carry what is held to a pose of its middle, let go and rise."""
        hand = self.simulation.arms["arm"]
        off = hand.actual().position - self._cube(self.held)
        goal = Pose(pose.position + off[2] * UP, pose.rotation)
        self._move(goal.raised(0.09), 0.14, 0.02)
        self._move(goal.raised(above_m), 0.06)
        self._grip(OPEN_M)
        self._rise(0.09, 0.12)
        self.held = ""

    def _stack(self, below: str) -> None:
        above = self.held
        middle = self._cube(below) + (HALF_M[below] + HALF_M[above]) * UP
        angle = nearest_face(body_angle(self.data, CUBES[below]), np.pi / 2)
        self._let_go(self._pose(middle, angle), 0.004)
        if self._cube(above)[2] < TABLE_M + 2 * HALF_M[below]:
            raise FailedError("the cube fell")

    def _put_down(self) -> None:
        spot = self._free_spot([self._cube(self._other(self.held))[:2]])
        angle = np.pi / 2 + self.random.uniform(-0.5, 0.5)
        self._let_go(self._pose(np.array([*spot, TABLE_M + HALF_M[self.held]]), angle), 0.005)

    def _press(self) -> None:
        """Press on the cube with closed fingers."""
        self._grip(CLOSED_M)
        top = self._over(self.target, HALF_M[self.target] + 0.012)
        self._move(top.raised(0.03), 0.1)
        self._move(top.raised(-0.012), 0.05)
        self.simulation.hold(float(self.random.uniform(0.5, 1.2)))
        self._rise(0.09, 0.12)

    def _push(self) -> None:
        """Push the cube sideways with closed fingers, towards the middle of the table."""
        self._grip(CLOSED_M)
        cube, other = self._cube(self.target), self._cube(self._other(self.target))
        away = cube[:2] - other[:2]
        angle = nearest_face(body_angle(self.data, CUBES[self.target]), np.arctan2(*(away - cube[:2])[::-1]))
        way = horizontal(angle)
        start = self._pose(cube - way * (HALF_M[self.target] + 0.045) + 0.005 * UP, angle + np.pi / 2)
        self._move(start.raised(0.09), 0.14)
        self._move(start, 0.1)
        far = self.random.uniform(0.09, 0.13)
        self._move(Pose(start.position + way * far, start.rotation), 0.07)
        self._rise(0.1, 0.12)
        if np.linalg.norm(self._cube(self.target) - cube) < 0.02:
            raise FailedError("the cube is not pushed")
