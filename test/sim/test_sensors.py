"""The wrist's sensors feel and say what is held, see what is between the fingers, and change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hal_ros.sim.benchmark import episode
from hal_ros.sim.episode import Simulation, Snapshot
from hal_ros.sim.random_streams import stream
from hal_ros.sim.render import FRONT, WRIST, Renderer
from hal_ros.sim.sensors import ToolSensors
from test.sim.conftest import Run, run

pytestmark = pytest.mark.sim

BLOCK_N = 0.045 * 9.81
SIDE_PX = 128


def tool(simulation: Any) -> ToolSensors:
    return ToolSensors(simulation.physics, stream(simulation.spec.seed, "tool_sensors"))


class Watched:
    """One episode with a missed grasp, looked at in every tick."""

    def __init__(self) -> None:
        self.simulation = Simulation(episode("serve", 11))
        self.snapshots: dict[str, Snapshot] = {}  # the last of an action
        self.forces: dict[str, list[np.ndarray]] = {}  # (3,) true, in the base's axes
        sensors = tool(self.simulation)
        physics = self.simulation.physics
        while len(self.forces.get("pick_blue", ())) < 50:
            assert self.simulation.step()
            self.snapshots[self.simulation.action] = self.simulation.snapshot()
            force = physics.rotation("link_6") @ sensors.true_wrench()[:3]
            self.forces.setdefault(self.simulation.action, []).append(force)


@pytest.fixture(scope="module")
def watched() -> Watched:
    return Watched()


def test_sensing_changes_no_trajectory(runs: list[Run]) -> None:
    sensors: list[ToolSensors] = []

    def sense(simulation: Any) -> None:
        if not sensors:
            sensors.append(tool(simulation))
        sensors[0].sample()

    sensed = run(runs[0].spec, sense, ticks=1500)
    assert sensed.joints == runs[0].joints[: len(sensed.joints)]
    assert sensed.actions == runs[0].actions[:1500]


def test_a_free_gripper_feels_nothing_and_a_held_block_its_weight(watched: Watched) -> None:
    free, held = (np.mean(watched.forces[action], 0) for action in ("idle", "carry"))
    np.testing.assert_allclose(free, 0, atol=0.05)
    assert held[2] == pytest.approx(-BLOCK_N, abs=0.1)
    pressed = np.max(watched.forces["press_button"], 0)
    assert pressed[2] > 0.5  # the button's spring pushes back


def test_samples_are_the_truth_with_noise_and_repeat() -> None:
    simulation = Simulation(episode("serve", 11))
    first, again = ([tool(simulation).sample() for _ in range(3)] for _ in range(2))
    np.testing.assert_array_equal(first[-1].force, again[-1].force)
    sensors = tool(simulation)
    samples = [sensors.sample() for _ in range(200)]
    forces = np.array([sample.force for sample in samples])
    assert 0.05 < forces.std(0).max() < 0.3
    assert np.abs(forces.mean(0)).max() < 1.0
    places = np.array([sample.position for sample in samples])
    np.testing.assert_allclose(places.mean(0), simulation.physics.tip(), atol=0.006)


# --- the wrist camera -------------------------------------------------------------------------------------------------


def blue(picture: np.ndarray) -> np.ndarray:
    return (picture[..., 2] > 1.5 * picture[..., 0]) & (picture[..., 2] > 60)


def red(picture: np.ndarray) -> np.ndarray:
    return (picture[..., 0] > 2 * picture[..., 1]) & (picture[..., 0] > 60)


def yellow(picture: np.ndarray) -> np.ndarray:
    return (np.minimum(picture[..., 0], picture[..., 1]) > 2 * picture[..., 2] + 40) & (picture[..., 0] > 120)


def between_fingers(mask: np.ndarray) -> float:
    """The part of the place between the closed fingers that a mask covers."""
    return float(mask[70:90, 54:74].mean())


def test_the_wrist_camera_sees_what_is_between_the_fingers(watched: Watched) -> None:
    with Renderer(watched.simulation, SIDE_PX, SIDE_PX, camera=WRIST) as renderer:
        held = renderer.render(watched.snapshots["pick_red"]).astype(int)
        missed = renderer.render(watched.snapshots["missed_grasp"]).astype(int)
    assert between_fingers(red(held)) > 0.8
    assert between_fingers(blue(missed)) < 0.05
    assert blue(missed).sum() > 100  # it lies beside the fingers, in sight


def test_the_wrist_camera_sees_balls_in_the_cup_that_are_hardly_seen_from_the_front() -> None:
    simulation = Simulation(episode("brew", 13))
    while simulation.action != "pour":
        assert simulation.step()
    full = simulation.snapshot()
    while simulation.action == "pour":
        assert simulation.step()
    empty = simulation.snapshot()
    seen: dict[str, list[np.ndarray]] = {}
    for camera in (FRONT, WRIST):
        with Renderer(simulation, SIDE_PX, SIDE_PX, camera=camera) as renderer:
            seen[camera] = [yellow(renderer.render(one).astype(int)) for one in (full, empty)]
    cup = np.s_[40:75, 40:88]
    assert seen[WRIST][0][cup].sum() > 200
    assert seen[WRIST][1][cup].sum() < 20
    assert seen[FRONT][0].sum() < 60
