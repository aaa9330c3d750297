"""Motion primitives: generators that yield once per control tick of 10 ms after setting the commands."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from hal_ros.sim.arm import ARM_JOINTS, FINGER_OPEN, Arm, Pose, Vector
from hal_ros.sim.world.physics import Physics

TICK_S = 0.01
KNOT_TICKS = 5  # inverse kinematics is solved every 50 ms along a path, joint angles are interpolated between
HOME = Pose(0.21, 0.0, 0.17, 0.0, 1.25)

Motion = Iterator[None]


class Controller:
    """Owns the commanded state of the arm, and the label of what it does."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.arm = Arm()
        self.action = "idle"
        self.pose = HOME
        self.angles, self.worst_miss = self.arm.reach(HOME)
        self.grip = FINGER_OPEN
        self._pace = float(rng.uniform(0.85, 1.2))  # of the whole episode; larger is slower
        self.physics: Physics

    def apply(self) -> None:
        """Send the commanded state to the motors."""
        self.physics.command(self.angles, self.grip)

    def duration(self, seconds: float) -> float:
        """Return seconds at this episode's pace, with the variation of one motion."""
        return seconds * self._pace * float(np.exp(self.rng.normal(0.0, 0.12)))

    def go(self, pose: Pose, seconds: float | None = None, grip: float | None = None, straight: bool = False) -> Motion:
        """Move to a pose with a minimum-jerk profile, on an arc about the base or straight; the grip changes meanwhile.

        Without `seconds` the duration follows from the distance.
        """
        seconds = self.duration(self._usual_seconds(pose) if seconds is None else seconds)
        ticks = max(2, round(seconds / TICK_S))
        knots = self._knots(pose, max(2, math.ceil(ticks / KNOT_TICKS) + 1), straight)
        times = np.linspace(0.0, 1.0, len(knots))
        grip_0, grip_1 = self.grip, self.grip if grip is None else grip
        start = self.pose
        for tick in range(1, ticks + 1):
            part = tick / ticks
            self.angles = np.array([np.interp(part, times, knots[:, j]) for j in range(ARM_JOINTS)])
            self.grip = grip_0 + (grip_1 - grip_0) * min(1.0, 2 * part)
            self.pose = _along(start, pose, part, straight)  # what breaks this motion off goes on from here
            yield
        self.pose = pose

    def set_grip(self, grip: float, seconds: float) -> Motion:
        """Open or close the fingers; what stands between them stops them, the motor's force is limited."""
        start, ticks = self.grip, max(2, round(self.duration(seconds) / TICK_S))
        for tick in range(1, ticks + 1):
            self.grip = start + (grip - start) * tick / ticks
            yield

    def wait(self, seconds: float) -> Motion:
        """Keep still."""
        for _ in range(round(seconds / TICK_S)):
            yield

    def hesitate(self, probability: float = 0.2) -> Motion:
        """Stop for a moment, now and then."""
        if self.rng.random() < probability:
            yield from self.wait(float(self.rng.uniform(0.15, 0.5)))

    def _usual_seconds(self, pose: Pose) -> float:
        distance = math.dist(self.pose[:3], pose[:3])
        turn = max(abs(a - b) for a, b in zip(self.pose[3:], pose[3:], strict=True))
        return max(0.9, distance / 0.25, turn / 1.8)

    def _knots(self, pose: Pose, count: int, straight: bool) -> Vector:
        """Return joint angles (count, 6) along the path; worst_miss remembers the largest error met."""
        start, angles, rows = self.pose, self.angles, [self.angles]
        for u in np.linspace(0.0, 1.0, count)[1:]:
            angles, miss = self.arm.solve(_along(start, pose, float(u), straight), angles, 12)
            self.worst_miss = max(self.worst_miss, miss)
            rows.append(angles)
        return np.array(rows)


def _along(start: Pose, end: Pose, part: float, straight: bool) -> Pose:
    """Return the pose after a part, 0 to 1, of a motion's time."""
    way = part**3 * (10 - 15 * part + 6 * part * part)
    if straight:
        return Pose(*(a + way * (b - a) for a, b in zip(start, end, strict=True)))
    return start.blend(end, way)
