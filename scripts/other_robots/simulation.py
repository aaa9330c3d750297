"""One episode of any robot: physics, sensors and the movements that phases are made of."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np

from other_robots.arms import Arm
from other_robots.poses import Array, Pose, between
from other_robots.recording import Recording
from other_robots.sensors import Sensors

CONTROL_S = 0.01
TREMBLE_M, TREMBLE_S = 0.0025, 0.4
"""How far, on average, a tool is from where it should be, and how long such an error lasts."""
PAUSE_SHARE = 0.12
"""Share of movements before which the robot hesitates."""


class FailedError(Exception):
    """The world is not as the phases say: the episode is not used."""


class Simulation:
    """Steps physics and sensors; the script calls `begin`, `move`, `grip` and `hold`, which take simulated time."""

    def __init__(
        self, data: mujoco.MjData, arms: Mapping[str, Arm], recording: Recording, random: np.random.Generator
    ) -> None:
        """Take the clock's zero and the episode's pace at random; `sensors` are set before the first step."""
        self.data, self.model, self.arms, self.recording, self.random = data, data.model, arms, recording, random
        self.sensors = Sensors([], recording, random)
        self.start_ns = 1_700_000_000_000_000_000 + int(random.integers(10**9)) * 10**6
        self.pace = float(np.exp(random.normal(0.32, 0.15)))
        self.error = {name: np.zeros(3) for name in arms}
        self.zero_s = data.time

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return float(self.data.time - self.zero_s)

    @property
    def now_ns(self) -> int:
        """Now on the sensors' clock."""
        return self.start_ns + round(self.now_s * 1e9)

    def begin(self, action: str) -> None:
        """Say that a phase begins."""
        self.recording.begin(action, self.now_ns)

    def step(self) -> None:
        """Advance by one period of control."""
        for _ in range(round(CONTROL_S / self.model.opt.timestep)):
            for arm in self.arms.values():
                arm.drive()
            mujoco.mj_step(self.model, self.data)
            self.sensors.sample(self.now_s, self.start_ns)
        if not np.isfinite(self.data.qpos).all():
            raise FailedError("the simulation diverges")

    def move(self, goals: Mapping[str, Pose], speed_m_s: float = 0.2, bow_m: float = 0.0) -> None:
        """Move tools to poses, each with a random bow; the slowest sets the time."""
        starts = {name: self.arms[name].pose for name in goals}
        if self.random.random() < PAUSE_SHARE:
            self.hold(float(self.random.uniform(0.1, 0.5)))
        seconds = self._varied(max(_distance(starts[name], goal) for name, goal in goals.items()) / speed_m_s)
        bows = {name: self.random.normal(0.0, bow_m, 3) if bow_m else np.zeros(3) for name in goals}
        count = max(1, round(max(seconds, 0.3) / CONTROL_S))
        for index in range(1, count + 1):
            poses = {
                name: between(starts[name], goal, index / count, bows[name] * [1, 1, 0.3])
                for name, goal in goals.items()
            }
            self._follow(poses)
        self._settle(goals)

    def grip(self, openings_m: Mapping[str, float], seconds: float = 0.4) -> None:
        """Open or close grippers."""
        starts = {name: self.arms[name].opening_m for name in openings_m}
        count = round(self._varied(seconds) / CONTROL_S)
        for index in range(1, count + 1):
            for name, opening_m in openings_m.items():
                self.arms[name].opening_m = starts[name] + (opening_m - starts[name]) * index / count
            self._follow({})
        self._follow({})

    def hold(self, seconds: float) -> None:
        """Stay, as well as one can."""
        for _ in range(round(self._varied(seconds) / CONTROL_S)):
            self._follow({})

    def _varied(self, seconds: float) -> float:
        return seconds * self.pace * float(np.exp(self.random.normal(0.0, 0.12)))

    def _follow(self, poses: Mapping[str, Pose]) -> None:
        """Follow the poses for one period, trembling; arms without one stay where they should be."""
        keep = np.exp(-CONTROL_S / TREMBLE_S)
        for name, arm in self.arms.items():
            kick = self.random.standard_normal(3) * TREMBLE_M * np.sqrt((1 - keep**2) / 3)
            self.error[name] = keep * self.error[name] + kick
            wanted = poses.get(name, arm.pose)
            arm.follow(Pose(wanted.position + self.error[name], wanted.rotation), CONTROL_S)
            arm.pose = wanted
        self.step()

    def _settle(self, goals: Mapping[str, Pose]) -> None:
        """Wait a moment for the joints to arrive."""
        for _ in range(30):
            gaps = [np.linalg.norm(self.arms[name].actual().position - goal.position) for name, goal in goals.items()]
            if max(gaps) < 0.008:
                return
            self._follow({})


def _distance(start: Pose, end: Pose) -> float:
    """Return how far two poses are apart in metres; a turn counts, too: a quarter as 0.15 m."""
    turn = np.arccos(np.clip((np.trace(start.rotation.T @ end.rotation) - 1) / 2, -1, 1))
    return float(max(np.linalg.norm(start.position - end.position), 0.15 * turn / (np.pi / 2)))


def body_position(data: mujoco.MjData, name: str) -> Array:
    """Return where a body is (3,)."""
    return np.array(data.body(name).xpos)


def body_angle(data: mujoco.MjData, name: str) -> float:
    """Return how far a cube is turned about the vertical, whichever face is up: modulo a quarter turn."""
    rotation = np.array(data.body(name).xmat).reshape(3, 3)
    flat = min(range(3), key=lambda axis: abs(rotation[2, axis]))
    return float(np.arctan2(rotation[1, flat], rotation[0, flat]))
