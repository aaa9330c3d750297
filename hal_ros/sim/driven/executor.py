"""The executor: does the skill that it was told last, and then holds still until it is told another."""

from __future__ import annotations

from itertools import count
from typing import NamedTuple

from hal_ros.core.errors import ConfigError
from hal_ros.sim.controller import Controller, Motion
from hal_ros.sim.driven.disturbances import Disturbances, Trouble
from hal_ros.sim.driven.skills import SKILLS, Skills
from hal_ros.sim.random_streams import stream
from hal_ros.sim.world.physics import Physics

HOLDING = "idle"
"""What a robot is doing that waits to be told: it stands still, with or without something in its gripper."""


class ToldSkill(NamedTuple):
    """A skill that the robot was told, and whether its motion is over."""

    skill: str
    done: bool


class Executor:
    """Pass `script` to a Simulation, and call `tell` at any time, also from another thread.

    A skill that runs is broken off by the next one; one that can't be done is counted in `refused` and holds still.
    """

    def __init__(self, seed: int, kinds: Disturbances) -> None:
        self.trouble = Trouble(kinds, stream(seed, "disturbances"))
        self.broken_off = 0
        self.refused: dict[str, int] = {}
        self._told: str | None = None
        self._now = ToldSkill("", True)
        self._skills: Skills

    @property
    def now(self) -> ToldSkill:
        """What the robot was told last, and whether it is done."""
        return self._now

    def held(self) -> str:
        """Return which block, or cup, is between the fingers; '' for nothing. The simulation has to be built."""
        return self._skills.held()

    def tell(self, skill: str) -> None:
        """Begin a skill in the next tick; raises ConfigError for one that no robot has."""
        if skill and skill not in SKILLS:
            raise ConfigError(f"skill {skill!r} is unknown; expected one of {', '.join(SKILLS)}")
        self._now = ToldSkill(skill, False)
        self._told = skill  # last: from here on the physics' thread may take it up

    def script(self, controller: Controller, physics: Physics) -> Motion:
        """Return the motion of a whole episode, which never ends by itself."""
        self._skills = Skills(controller, physics, self.trouble)
        return self._run(controller)

    def _run(self, controller: Controller) -> Motion:
        motion: Motion | None = None
        paused = 0
        for _ in count():
            if self._told is not None:
                motion, paused = self._begin(self._told, motion), 0
                self._told = None
            if motion is not None and paused == 0:
                paused = self.trouble.pause_ticks()
            if motion is not None and paused == 0 and not _goes_on(motion):
                motion = None
                self._now = self._now._replace(done=True)
            if motion is None:
                controller.action = HOLDING
            paused = max(0, paused - 1)
            yield

    def _begin(self, skill: str, before: Motion | None) -> Motion | None:
        self.broken_off += before is not None
        try:
            motion = self._skills.motion(skill) if skill else None
        except ConfigError:
            self.refused[skill] = self.refused.get(skill, 0) + 1
            motion = None
        self._now = ToldSkill(skill, motion is None)
        return motion


def _goes_on(motion: Motion) -> bool:
    """Do one tick of a motion; False when it is over."""
    return next((True for _ in motion), False)


def skills_of(macro: str) -> tuple[str, ...]:
    """Return the skills that do a macro of a recipe, in order."""
    colour, _, receptacle = macro.partition("_to_")
    if receptacle:
        return f"pick_{colour}", f"place_{receptacle}"
    return {
        "press": ("press_button",),
        "hover": ("hover_button",),
        "open": ("open_drawer",),
        "close": ("close_drawer",),
        "pour": ("pick_cup", "pour", "return_cup"),
        "tilt": ("pick_cup", "tilt_empty", "return_cup"),
    }[macro]
