"""What goes wrong around the robot, from a random stream of its own: grasps that miss, blocks that move, pauses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hal_ros.core.errors import ConfigError
from hal_ros.sim.arm import Vector
from hal_ros.sim.controller import TICK_S
from hal_ros.sim.world.layout import DRAWER_Y, TableLayout
from hal_ros.sim.world.physics import Physics

SHIFT_M = (0.08, 0.13)
"""How far somebody moves a block: so far that the gripper closes beside it."""
CLEARANCE_M = 0.068
"""Of a moved block's middle from everything else's."""
REACH_X, REACH_Y, DRAWER_REACH_Y = (0.18, 0.35), 0.2, 0.1


@dataclass(frozen=True)
class Disturbances:
    """How often they come. All zero: an undisturbed robot."""

    miss: float = 0.0  # probability of a grasp beside the block, per grasp
    moved_object: float = 0.0  # probability that somebody moves the block while the gripper is on its way, per grasp
    pause_rate_hz: float = 0.0  # pauses per second of motion
    pause_s: tuple[float, float] = (0.6, 3.0)  # shortest and longest

    def __post_init__(self) -> None:
        """Raise ConfigError for values out of range."""
        if not (0 <= self.miss <= 1 and 0 <= self.moved_object <= 1):
            raise ConfigError(f"miss {self.miss}, moved_object {self.moved_object}; expected probabilities, 0 to 1")
        if not (0 <= self.pause_rate_hz <= 10 and 0 <= self.pause_s[0] <= self.pause_s[1] <= 60):
            raise ConfigError(
                f"pause_rate_hz {self.pause_rate_hz}, pause_s {self.pause_s}; expected 0 to 10 Hz, and shortest before "
                "longest within 60 s"
            )


NONE = Disturbances()
USUAL = Disturbances(miss=0.15, moved_object=0.15, pause_rate_hz=0.08)
"""Those of the demo, the experiment and the training episodes."""


class Trouble:
    """Makes the disturbances of one episode."""

    def __init__(self, kinds: Disturbances, rng: np.random.Generator) -> None:
        self._kinds, self._rng = kinds, rng
        self.pauses = self.misses = self.moved = 0

    def pause_ticks(self) -> int:
        """Return for how many ticks the robot pauses from now on; to be asked once per tick of motion."""
        if self._rng.random() >= self._kinds.pause_rate_hz * TICK_S:
            return 0
        self.pauses += 1
        return round(float(self._rng.uniform(*self._kinds.pause_s)) / TICK_S)

    def grasp_misses(self) -> bool:
        """Return whether the next grasp goes beside."""
        missed = bool(self._rng.random() < self._kinds.miss)
        self.misses += missed
        return missed

    def move_block(self, physics: Physics, block: str) -> bool:
        """Now and then put a block somewhere else on the table; return whether that was done."""
        if self._rng.random() >= self._kinds.moved_object:
            return False
        for _ in range(40):
            angle, far = self._rng.uniform(-math.pi, math.pi), self._rng.uniform(*SHIFT_M)
            target = physics.position(block)[:2] + far * np.array([math.cos(angle), math.sin(angle)])
            if _is_free(physics, block, target):
                physics.put(block, (float(target[0]), float(target[1])))
                self.moved += 1
                return True
        return False


def _is_free(physics: Physics, block: str, target: Vector) -> bool:
    """Tell whether a place can be reached, and nothing stands there or in the drawer's way."""
    layout: TableLayout = physics.layout
    others = [np.asarray(xy) for xy in layout.places.values()]
    others += [physics.position(name)[:2] for name in layout.blocks if name != block]
    limit = REACH_Y if not layout.drawer_side else DRAWER_REACH_Y
    towards_drawer = float(target[1]) * (layout.drawer_side or 1)
    in_reach = REACH_X[0] < target[0] < REACH_X[1] and abs(target[1]) < REACH_Y and towards_drawer < limit
    in_reach = in_reach and 0.2 < float(np.hypot(*target)) < 0.37 and towards_drawer < DRAWER_Y
    return in_reach and all(float(np.linalg.norm(target - other)) > CLEARANCE_M for other in others)
