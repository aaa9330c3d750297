"""Inverse kinematics reaches what the scripts ask for."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from hal_ros.sim.arm import Arm, Pose
from hal_ros.sim.benchmark import RECIPES
from hal_ros.sim.controller import Controller
from hal_ros.sim.random_streams import stream
from hal_ros.sim.tasks import Tasks
from hal_ros.sim.world import layout as table_layout
from hal_ros.sim.world import look, scene
from hal_ros.sim.world.physics import Physics

REACHABLE_M = 0.003


def test_forward_and_inverse_kinematics_agree() -> None:
    arm = Arm()
    for pose in (Pose(0.3, 0.1, 0.02, 0.4), Pose(0.22, -0.15, 0.12, -1.0), Pose(0.34, 0.1, 0.12, 0.3, 0.3, 2.3)):
        angles, miss = arm.reach(pose)
        position, rotation = arm.tip(angles)
        assert miss < 1e-4
        np.testing.assert_allclose(position, pose[:3], atol=1e-4)
        np.testing.assert_allclose(rotation, pose.rotation(), atol=1e-3)


def test_a_pose_out_of_reach_reports_its_miss() -> None:
    _, miss = Arm().reach(Pose(0.6, 0.3, 0.2, 0.0))
    assert miss > 10 * REACHABLE_M


def test_blend_keeps_the_distance_from_the_base() -> None:
    start, end = Pose(0.3, 0.0, 0.1, 0.0), Pose(0.0, 0.3, 0.1, math.pi / 2)
    middle = start.blend(end, 0.5)
    assert math.hypot(middle.x, middle.y) == pytest.approx(0.3)
    assert start.blend(end, 1.0) == pytest.approx(end)


class Planner(Controller):
    """Plans every path as the controller does, and arrives at once."""

    def go(self, pose: Any, seconds: Any = None, grip: Any = None, straight: bool = False) -> Iterator[None]:  # noqa: ARG002
        self.angles = self._knots(pose, 12, straight)[-1]
        self.pose = pose
        yield


def _worst_miss(recipe: str, seed: int) -> float:
    """Plan a whole recipe without letting time pass."""
    layout = table_layout.draw(RECIPES[recipe], stream(seed, "layout"))
    model = scene.build(layout, look.draw(stream(seed, "appearance"), "default"))
    controller = Planner(stream(seed, "controller"))
    controller.physics = Physics(model, layout, controller.angles)
    deque(Tasks(controller, controller.physics).run(RECIPES[recipe]), maxlen=0)
    return controller.worst_miss


def test_every_waypoint_of_every_recipe_is_within_reach() -> None:
    misses = {(recipe, seed): _worst_miss(recipe, seed) for seed in (501, 502) for recipe in RECIPES}
    assert max(misses.values()) < REACHABLE_M, max(misses, key=lambda key: misses[key])


def test_the_reach_check_notices_a_table_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_layout, "FAR_X", 0.42)
    assert max(_worst_miss("wash", seed) for seed in (501, 502)) > REACHABLE_M
