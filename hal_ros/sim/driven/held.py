"""Episodes with holds: the recipe's skills one after the other, and in between the robot waits to be told the next one.

They teach a segmenter what a planner's robot looks like: it holds still when it is done, also with something in its
gripper, and pauses in the middle of a skill are no end of it.
"""

from __future__ import annotations

from hal_ros.sim.benchmark import RECIPES, EpisodeSpec
from hal_ros.sim.controller import TICK_S, Controller, Motion
from hal_ros.sim.driven.disturbances import Disturbances
from hal_ros.sim.driven.executor import Executor, skills_of
from hal_ros.sim.random_streams import stream
from hal_ros.sim.world.physics import Physics

HOLD_S = (0.4, 2.2)
"""How long a planner lets the robot wait, at least and at most, but for the LONG ones."""
LONG_S, LONG = (2.2, 5.0), 0.15
ATTEMPTS = 4


class HeldScript:
    """The script of such an episode; pass `script` to a Simulation."""

    def __init__(self, spec: EpisodeSpec, kinds: Disturbances) -> None:
        self._spec = spec
        self._executor = Executor(spec.seed, kinds)
        self._rng = stream(spec.seed, "holds")

    def script(self, controller: Controller, physics: Physics) -> Motion:
        """Do the recipe: each skill until it has succeeded, ATTEMPTS times at most, and a hold after each."""
        robot = self._executor.script(controller, physics)
        yield from self._hold(robot)
        for macro in RECIPES[self._spec.recipe]:
            for skill in skills_of(macro):
                yield from self._until_done(robot, skill)
        yield from self._do(robot, "home")

    def _until_done(self, robot: Motion, skill: str) -> Motion:
        for _ in range(ATTEMPTS):
            yield from self._do(robot, skill)
            if not skill.startswith("pick_") or self._executor.held() == skill.removeprefix("pick_"):
                return

    def _do(self, robot: Motion, skill: str) -> Motion:
        self._executor.tell(skill)
        while not self._executor.now.done:
            next(robot)
            yield
        yield from self._hold(robot)

    def _hold(self, robot: Motion) -> Motion:
        between = LONG_S if self._rng.random() < LONG else HOLD_S
        for _ in range(round(float(self._rng.uniform(*between)) / TICK_S)):
            next(robot)
            yield
