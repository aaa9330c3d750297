"""The robot's skills: the motions of the benchmark's macros, cut where a planner may decide what comes next.

A skill ends with the arm still, above the table, with or without something in the gripper. It begins wherever the last
one ended or was broken off. The label changes when what is done can be seen, as in the benchmark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from hal_ros.core.errors import ConfigError
from hal_ros.sim.arm import FINGER_OPEN, Pose
from hal_ros.sim.controller import HOME, Controller, Motion
from hal_ros.sim.driven.disturbances import Trouble
from hal_ros.sim.tasks import (
    CUP_GRASP_Z,
    CUP_PITCH,
    GRASP_Z,
    POUR_PITCH,
    POUR_Z,
    STACK_OFFSET,
    TRAVEL_Z,
    Tasks,
    pointing,
)
from hal_ros.sim.world import layout as table_layout
from hal_ros.sim.world.physics import Physics

LOW_Z = 0.1  # fingertips below it rise first
GONE_M = 0.02  # a block so far from where it was aimed at is missed
SKILLS = (
    *("pick_red", "pick_blue", "place_plate", "place_tray", "press_button", "hover_button", "open_drawer"),
    *("close_drawer", "pick_cup", "pour", "tilt_empty", "return_cup", "home", "safe"),
)


class Skills(Tasks):
    """The skills of one episode. They look where things are when they begin, and not again."""

    def __init__(self, controller: Controller, physics: Physics, trouble: Trouble) -> None:
        super().__init__(controller, physics)
        self._trouble = trouble

    def motion(self, skill: str) -> Motion:
        """Return the motion of a skill; raises ConfigError for one that there is not, or not in this episode."""
        if skill not in SKILLS:
            raise ConfigError(f"skill {skill!r} is unknown; expected one of {', '.join(SKILLS)}")
        if absent := [name for name in _needs(skill) if not self._physics.has(name)]:
            raise ConfigError(f"skill {skill!r} needs {absent[0]}, which this episode has not; expected another skill")
        return self._raised(skill)

    def held(self) -> str:
        """Return which block, or cup, is between the fingers; '' for nothing."""
        names = [*self._layout.blocks, *(["cup"] if self._physics.has("cup") else [])]
        return next((name for name in names if self._physics.pads_on(name) == 2), "")

    def _raised(self, skill: str) -> Motion:
        """Rise first where the last skill was broken off below."""
        c = self._c
        if c.pose.z < LOW_Z:
            c.action = self._transit()
            yield from c.go(c.pose._replace(z=TRAVEL_Z, roll=0.0), 0.8)
        yield from self._do(skill)

    def _do(self, skill: str) -> Motion:
        name, _, what = skill.partition("_")
        if what in self._layout.blocks:
            return self._pick_once(what)
        if name == "place":
            return self._place_held(what)
        if what == "button":
            return self._button(press=name == "press")
        if what == "drawer":
            self._drawer_open = self._physics.drawer_opening()
            return self._drawer(opening=name == "open")
        if skill in ("pour", "tilt_empty"):
            return self._tilt_held(skill)
        return {"pick_cup": self._pick_cup, "return_cup": self._return_cup, "home": self._go_home}.get(
            skill, self._be_safe
        )()

    def _transit(self) -> str:
        return "carry" if self.held() else "move"

    # --- blocks -------------------------------------------------------------------------------------------------------

    def _pick_once(self, colour: str) -> Motion:
        """Grasp once; what happens beside the block is a missed grasp, and ends with open fingers."""
        x, y, _ = (float(v) for v in self._physics.position(colour))
        at = above = Pose(x, y, TRAVEL_Z, self._grasp_yaw(colour))
        if self._trouble.grasp_misses():
            off = float(self._rng.choice((-1, 1)) * self._rng.uniform(0.038, 0.046))
            at = above.moved(off * math.cos(above.yaw), off * math.sin(above.yaw))
        self._c.action = "move"
        yield from self._c.go(at, grip=FINGER_OPEN)
        self._trouble.move_block(self._physics, colour)
        yield from self._c.hesitate()
        far = math.dist(self._physics.position(colour)[:2], (at.x, at.y))
        self._c.action = f"pick_{colour}" if far < GONE_M else "missed_grasp"
        yield from self._grasp(at)
        yield from self._c.go(at, 1.2)
        if not self.held():
            yield from self._c.set_grip(FINGER_OPEN, 0.4)

    def _place_held(self, receptacle: str) -> Motion:
        """Put down what is held; an empty gripper goes the same way, and that is a mere motion."""
        block = self.held()
        px, py = self._layout.places[receptacle]
        off = self._free_side(receptacle, block) * STACK_OFFSET
        yaw = self._near(float(self._rng.uniform(-0.15, 0.15)), math.atan2(py, px + off))
        above = Pose(px + off, py, TRAVEL_Z, yaw)
        self._c.action = self._transit()
        yield from self._c.go(above)
        yield from self._c.hesitate()
        self._c.action = f"place_{receptacle}" if self.held() else "move"
        low = above._replace(z=table_layout.SURFACE_Z + GRASP_Z + 0.001)
        yield from self._c.go(low, float(self._rng.uniform(1.5, 2.2)))
        yield from self._c.wait(0.1)
        yield from self._c.set_grip(
            self._layout.blocks[block].half + 0.012 if block in self._layout.blocks else 0.03, 0.4
        )
        yield from self._c.go(above, 1.2, grip=FINGER_OPEN)

    def _free_side(self, receptacle: str, block: str) -> float:
        """Return -1 or 1, the half of a receptacle that no other block stands on."""
        px, py = self._layout.places[receptacle]
        places = (self._physics.position(name) for name in self._layout.blocks if name != block)
        there = [float(at[0]) - px for at in places if abs(at[0] - px) < 0.05 and abs(at[1] - py) < 0.05]
        return -math.copysign(1.0, there[0]) if there else float(self._rng.choice((-1, 1)))

    # --- cup ----------------------------------------------------------------------------------------------------------

    def _cup_poses(self) -> Mapping[str, Pose]:
        """Return where the gripper takes the cup from its own place: `at` it, `back` from it, and `up` with it."""
        place = self._layout.places["cup"]
        yaw = table_layout.cup_yaw(place)
        at = self._cup_pose((*place, CUP_GRASP_Z), yaw, CUP_PITCH)
        up = self._cup_pose((*place, POUR_Z), yaw, POUR_PITCH)
        return {"at": at, "back": at.moved(*(-0.085 * pointing(at))), "up": up}

    def _pick_cup(self) -> Motion:
        poses = self._cup_poses()
        self._c.action = "move"
        yield from self._c.go(poses["back"], grip=FINGER_OPEN)
        self._c.action = "pick_cup"
        yield from self._c.go(poses["at"], 1.3, straight=True)
        yield from self._c.set_grip(0.0, 0.5)
        yield from self._c.wait(0.15)
        yield from self._c.go(poses["up"], 1.4)

    def _tilt_held(self, action: str) -> Motion:
        self._c.action = self._transit()
        yield from self._tilt(action if self.held() else "move")
        self._c.action = self._transit()

    def _return_cup(self) -> Motion:
        poses, held = self._cup_poses(), bool(self.held())
        self._c.action = self._transit()
        yield from self._c.go(poses["up"])
        self._c.action = "return_cup" if held else "move"
        yield from self._c.go(poses["at"].moved(dz=0.001), 1.4)
        yield from self._c.wait(0.1)
        yield from self._c.set_grip(FINGER_OPEN, 0.5)
        yield from self._c.go(poses["back"], 0.9, straight=True)
        yield from self._c.go(poses["back"]._replace(z=TRAVEL_Z), 0.6)

    # --- anywhere -----------------------------------------------------------------------------------------------------

    def _go_home(self) -> Motion:
        self._c.action = "move"
        yield from self._c.go(HOME, grip=FINGER_OPEN)

    def _be_safe(self) -> Motion:
        """Rise, upright and without letting go, and come to rest."""
        self._c.action = self._transit()
        yield from self._c.go(self._c.pose._replace(z=TRAVEL_Z, roll=0.0), 1.0)


def _needs(skill: str) -> tuple[str, ...]:
    """Return the bodies without which a skill means nothing."""
    stations = {"pick_cup": ("cup",), "return_cup": ("cup",), "pour": ("cup", "bowl"), "tilt_empty": ("cup", "bowl")}
    if skill in stations:
        return stations[skill]
    what = skill.partition("_")[2]
    return (what,) if what and what != "empty" else ()
