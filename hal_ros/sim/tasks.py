"""What a recipe is made of: macros that chain labelled actions. The label changes when what is done can be seen."""

from __future__ import annotations

import math

import numpy as np

from hal_ros.sim.arm import FINGER_OPEN, Pose, Vector
from hal_ros.sim.controller import HOME, Controller, Motion
from hal_ros.sim.world import layout as table_layout
from hal_ros.sim.world.physics import Physics

TRAVEL_Z = 0.125  # height of the fingertips between stations: a held block clears the tallest thing on the table
GRASP_Z = 0.012  # of the fingertips above what a block stands on
CUP_GRASP_Z = 0.036
CUP_PITCH, POUR_PITCH = 0.6, 0.3
POUR_Z = 0.116  # of the cup's grasped middle
POUR_ASIDE, POUR_OUTWARDS = 0.035, 0.03  # of the cup's middle from the bowl's
PAD_BEHIND_TIP = 0.0075
HANDLE_GRIP, HANDLE_Z = 0.026, 0.046
STACK_OFFSET = 0.026  # of a block from the middle of its receptacle, so that two fit
MISS_PROBABILITY = 0.15


class Tasks:
    """The macros of one episode. It knows where things are; a retry after a missed grasp is its own decision."""

    def __init__(self, controller: Controller, physics: Physics) -> None:
        self._c, self._physics, self._layout = controller, physics, physics.layout
        self._rng = controller.rng
        self._drawer_open = 0.0
        self._on: dict[str, list[float]] = {}  # receptacle -> offsets that are taken

    def run(self, macros: tuple[str, ...]) -> Motion:
        """Do a whole recipe: rest, the macros with pauses between them, home, rest."""
        yield from self._rest(0.8, 1.5)
        for index, macro in enumerate(macros):
            if index and self._rng.random() < 0.35:
                yield from self._rest(1.0, 2.2)
            yield from self._macro(macro)
        self._c.action = "move"
        yield from self._c.go(HOME, grip=FINGER_OPEN)
        yield from self._rest(0.9, 1.3)

    def _macro(self, macro: str) -> Motion:
        if "_to_" in macro:
            colour, receptacle = macro.split("_to_")
            yield from self._pick(colour)
            yield from self._place(colour, receptacle)
        elif macro in ("press", "hover"):
            yield from self._button(press=macro == "press")
        elif macro in ("pour", "tilt"):
            yield from self._cup("pour" if macro == "pour" else "tilt_empty")
        else:
            yield from self._drawer(opening=macro == "open")

    def _rest(self, low: float, high: float) -> Motion:
        self._c.action = "idle"
        yield from self._c.wait(float(self._rng.uniform(low, high)))

    # --- blocks -------------------------------------------------------------------------------------------------------

    def _pick(self, colour: str) -> Motion:
        x, y, _ = self._physics.position(colour)
        above = Pose(float(x), float(y), TRAVEL_Z, self._grasp_yaw(colour))
        for _ in range(2):
            if self._rng.random() >= MISS_PROBABILITY:
                break
            yield from self._miss(above)
        self._c.action = "move"
        yield from self._c.go(above, grip=FINGER_OPEN)
        yield from self._c.hesitate()
        self._c.action = f"pick_{colour}"
        yield from self._grasp(above)
        yield from self._c.go(above, 1.2)

    def _miss(self, above: Pose) -> Motion:
        """Grasp beside the block, along the fingers' plane so that they do not hit it; rise, open."""
        off = float(self._rng.choice((-1, 1)) * self._rng.uniform(0.038, 0.046))
        beside = above.moved(off * math.cos(above.yaw), off * math.sin(above.yaw))
        self._c.action = "move"
        yield from self._c.go(beside, grip=FINGER_OPEN)
        yield from self._c.hesitate()
        self._c.action = "missed_grasp"
        yield from self._grasp(beside)
        yield from self._c.go(beside, 1.2)
        yield from self._c.set_grip(FINGER_OPEN, 0.4)

    def _grasp(self, above: Pose) -> Motion:
        yield from self._c.go(above._replace(z=GRASP_Z), float(self._rng.uniform(1.5, 2.3)))
        yield from self._c.hesitate()
        yield from self._c.set_grip(0.0, 0.55)
        yield from self._c.wait(0.15)

    def _place(self, colour: str, receptacle: str) -> Motion:
        px, py = self._layout.places[receptacle]
        taken = self._on.setdefault(receptacle, [])
        side = -math.copysign(1.0, taken[0]) if taken else float(self._rng.choice((-1, 1)))
        off = side * STACK_OFFSET
        taken.append(off)
        yaw = self._near(float(self._rng.uniform(-0.15, 0.15)), math.atan2(py, px + off))
        above = Pose(px + off, py, TRAVEL_Z, yaw)
        self._c.action = "carry"
        yield from self._c.go(above)
        yield from self._c.hesitate()
        self._c.action = f"place_{receptacle}"
        yield from self._c.go(
            above._replace(z=table_layout.SURFACE_Z + GRASP_Z + 0.001), float(self._rng.uniform(1.5, 2.2))
        )
        yield from self._c.wait(0.1)
        yield from self._c.set_grip(self._layout.blocks[colour].half + 0.012, 0.4)
        yield from self._c.go(above, 1.2, grip=FINGER_OPEN)

    def _grasp_yaw(self, block: str) -> float:
        """Return a yaw of the gripper along the block's sides, any of those that the wrist reaches."""
        x, y, _ = self._physics.position(block)
        rotation = self._physics.rotation(block)
        yaw, radial = math.atan2(rotation[1, 0], rotation[0, 0]), math.atan2(y, x)
        turned = (yaw - radial + math.pi / 4) % (math.pi / 2) - math.pi / 4
        return radial + turned + float(self._rng.choice((0.0, 0.0, math.pi / 2 if turned < 0 else -math.pi / 2)))

    @staticmethod
    def _near(yaw: float, radial: float) -> float:
        """Return yaw or its opposite, which is the same to a two-fingered gripper, whichever is nearer to radial."""
        return radial + (yaw - radial + math.pi / 2) % math.pi - math.pi / 2

    # --- button -------------------------------------------------------------------------------------------------------

    def _button(self, press: bool) -> Motion:
        x, y, z = (float(v) for v in self._physics.position("button"))
        top = z + table_layout.CAP_HEIGHT / 2
        yaw = math.atan2(y, x) + float(self._rng.uniform(-0.7, 0.7))
        over = Pose(x, y, top + 0.028, yaw)
        self._c.action = "move"
        yield from self._c.go(over._replace(z=TRAVEL_Z), grip=0.0)
        yield from self._c.go(over, 0.8)
        self._c.action = "press_button" if press else "hover_button"
        stop = top - 0.0075 if press else top + float(self._rng.uniform(0.008, 0.012))
        yield from self._c.go(over._replace(z=stop), 0.8)
        yield from self._c.wait(float(self._rng.uniform(1.7, 3.2)))
        yield from self._c.go(over._replace(z=TRAVEL_Z), 1.0)

    # --- cup ----------------------------------------------------------------------------------------------------------

    def _cup(self, action: str) -> Motion:
        place = self._layout.places["cup"]
        yaw = table_layout.cup_yaw(place)
        at = self._cup_pose((*place, CUP_GRASP_Z), yaw, CUP_PITCH)
        back = at.moved(*(-0.085 * pointing(at)))
        up = self._cup_pose((*place, POUR_Z), yaw, POUR_PITCH)
        self._c.action = "move"
        yield from self._c.go(back, grip=FINGER_OPEN)
        self._c.action = "pick_cup"
        yield from self._c.go(at, 1.3, straight=True)
        yield from self._c.set_grip(0.0, 0.5)
        yield from self._c.wait(0.15)
        yield from self._c.go(up, 1.4)
        self._c.action = "carry"
        yield from self._tilt(action)
        self._c.action = "carry"
        yield from self._c.go(up)
        self._c.action = "return_cup"
        yield from self._c.go(at.moved(dz=0.001), 1.4)
        yield from self._c.wait(0.1)
        yield from self._c.set_grip(FINGER_OPEN, 0.5)
        yield from self._c.go(back, 0.9, straight=True)
        yield from self._c.go(back._replace(z=TRAVEL_Z), 0.6)

    def _tilt(self, action: str) -> Motion:
        bx, by = self._layout.places["bowl"]
        radial = math.atan2(by, bx)
        side = 1.0 if math.atan2(self._c.pose.y, self._c.pose.x) > radial else -1.0
        out = np.array([math.cos(radial), math.sin(radial)]) * POUR_OUTWARDS
        aside = np.array([-math.sin(radial), math.cos(radial)]) * side * POUR_ASIDE
        middle = (bx + out[0] + aside[0], by + out[1] + aside[1], POUR_Z)
        beside = self._cup_pose(middle, radial, POUR_PITCH)
        yield from self._c.go(beside)
        yield from self._c.wait(0.2)
        self._c.action = action
        roll = side * float(self._rng.uniform(2.25, 2.45))
        yield from self._c.go(beside._replace(roll=roll), float(self._rng.uniform(1.8, 2.4)))
        yield from self._c.wait(float(self._rng.uniform(0.8, 1.4)))
        yield from self._c.go(beside, 1.4)

    @staticmethod
    def _cup_pose(middle: tuple[float, float, float], yaw: float, pitch: float) -> Pose:
        """Return the pose of the fingertips whose pads hold the cup at its middle."""
        pose = Pose(*middle, yaw, pitch)
        return pose.moved(*(PAD_BEHIND_TIP * pointing(pose)))

    # --- drawer -------------------------------------------------------------------------------------------------------

    def _drawer(self, opening: bool) -> Motion:
        x, y = self._layout.drawer_x + self._drawer_open, self._layout.drawer_y
        travel = table_layout.DRAWER_TRAVEL - 0.006 if opening else -self._drawer_open - 0.003
        yaw = self._near(math.pi / 2, math.atan2(y, x))
        over = Pose(x, y, TRAVEL_Z - 0.015, yaw)
        held = over._replace(z=HANDLE_Z)
        self._c.action = "move"
        yield from self._c.go(over, grip=HANDLE_GRIP)
        self._c.action = "open_drawer" if opening else "close_drawer"
        yield from self._c.go(held, 1.0)
        yield from self._c.set_grip(0.0, 0.4)
        yield from self._c.go(held.moved(travel), float(self._rng.uniform(1.5, 2.2)), straight=True)
        yield from self._c.set_grip(HANDLE_GRIP, 0.3)
        self._drawer_open = self._physics.drawer_opening()
        yield from self._c.go(self._c.pose._replace(z=over.z), 0.9)


def pointing(pose: Pose) -> Vector:
    """Return the unit vector (3,) along which the gripper points."""
    cp = math.cos(pose.pitch)
    return np.array([cp * math.cos(pose.yaw), cp * math.sin(pose.yaw), -math.sin(pose.pitch)])
