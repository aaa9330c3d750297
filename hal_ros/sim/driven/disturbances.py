"""What goes wrong around the robot, from a random stream of its own: grasps that miss, blocks that move, pauses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hal_ros.core.errors import ConfigError
from hal_ros.sim.arm import Vector
from hal_ros.sim.controller import TICK_S
from hal_ros.sim.world.layout import TableLayout
from hal_ros.sim.world.physics import Physics

SHIFT_M = 0.075
"""How far somebody moves a block at least: so far that the gripper closes beside it."""
DRAWS = 200
FROM_STATION_M, FROM_BLOCK_M = 0.08, 0.055
"""Of a moved block's middle from those of everything else."""
REACH_X, REACH_Y, DRAWER_REACH_Y = (0.19, 0.34), 0.19, 0.1
REACH_M = (0.19, 0.385)


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
        for _ in range(DRAWS):
            target = np.array([self._rng.uniform(*REACH_X), self._rng.uniform(-REACH_Y, REACH_Y)])
            if _is_free(physics, block, target):
                physics.put(block, (float(target[0]), float(target[1])))
                self.moved += 1
                return True
        return False


def _is_free(physics: Physics, block: str, target: Vector) -> bool:
    """Tell whether a place can be reached, is not where the block is, and nothing stands there or in a drawer's way."""
    layout: TableLayout = physics.layout
    if layout.drawer_side and float(target[1]) * layout.drawer_side > DRAWER_REACH_Y:
        return False
    far = dict.fromkeys(layout.blocks, FROM_BLOCK_M) | {block: SHIFT_M}
    near_block = any(math.dist(physics.position(name)[:2], target) < least for name, least in far.items())
    near_station = any(math.dist(xy, target) < FROM_STATION_M for xy in layout.places.values())
    return REACH_M[0] < math.hypot(*target) < REACH_M[1] and not near_block and not near_station
