"""Pictures show what the labels speak of, and are a function of the snapshot alone."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from hal_ros.core.errors import HalError
from hal_ros.sim.benchmark import episode
from hal_ros.sim.episode import Simulation
from hal_ros.sim.render import Renderer, check_gl

try:
    check_gl()
    GL = ""
except HalError as error:
    GL = str(error)

needs_gl = pytest.mark.skipif(bool(GL), reason=GL)


def _until(simulation: Any, action: str) -> None:
    while simulation.action != action:
        assert simulation.step()


@needs_gl
def test_a_picture_is_a_function_of_the_snapshot_and_rendering_changes_nothing() -> None:
    simulation = Simulation(episode("serve", 11))
    with Renderer(simulation, 128, 128) as renderer:
        first = simulation.snapshot()
        one = renderer.render(first)
        assert one.shape == (128, 128, 3)
        assert one.dtype == np.uint8
        for _ in range(200):
            simulation.step()
        later = renderer.render(simulation.snapshot())
        np.testing.assert_array_equal(renderer.render(first), one)
        assert np.abs(later.astype(int) - one).mean() > 1
        assert 0.3 < renderer.vertical_fov_rad < 1.0


@needs_gl
def test_the_centre_square_of_the_live_picture_is_the_training_picture() -> None:
    simulation = Simulation(episode("serve", 11))
    snapshot = simulation.snapshot()
    with Renderer(simulation, 640, 480) as live:
        square = live.render(snapshot)[:, 80:560].reshape(120, 4, 120, 4, 3).mean((1, 3))
    with Renderer(simulation, 120, 120) as small:
        picture = small.render(snapshot).astype(float)
    assert np.abs(square - picture).mean() < 6
    assert np.abs(square[:, ::-1] - picture).mean() > 10


@needs_gl
def test_the_lamp_is_seen_when_the_button_is_pressed() -> None:
    simulation = Simulation(episode("recheck", 7))
    _until(simulation, "press_button")
    for _ in range(170):
        simulation.step()
    pressed = simulation.snapshot()
    assert pressed.lamp_on
    with Renderer(simulation, 128, 128) as renderer:
        lit = renderer.render(pressed).astype(int)
        dark = renderer.render(pressed._replace(lamp_on=False)).astype(int)
    assert (np.abs(lit - dark).max(-1) > 80).sum() >= 20


@needs_gl
def test_a_block_is_at_least_eight_pixels_wide() -> None:
    simulation = Simulation(episode("serve", 11))
    with Renderer(simulation, 128, 128) as renderer:
        picture = renderer.render(simulation.snapshot()).astype(int)[35:]
    for channel, others in ((0, (1, 2)), (2, (0, 1))):
        mask = picture[..., channel] > 1.8 * np.maximum(*(picture[..., c] for c in others)) + 20
        columns = np.flatnonzero(mask.sum(0) >= 4)
        assert len(columns) >= 8


@needs_gl
def test_shadows_and_level_change_the_picture() -> None:
    pictures = []
    for level, shadows in (("default", False), ("default", True), ("hard", False)):
        simulation = Simulation(episode("serve", 11, level))
        with Renderer(simulation, 96, 96, shadows) as renderer:
            pictures.append(renderer.render(simulation.snapshot()).astype(int))
    assert np.abs(pictures[0] - pictures[1]).mean() > 0.5
    assert np.abs(pictures[0] - pictures[2]).mean() > 5


def test_missing_gl_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AttributeError("'NoneType' object has no attribute 'eglQueryString'")

    fail.__module__ = "mujoco.egl"
    monkeypatch.setattr(mujoco, "GLContext", fail, raising=False)
    with pytest.raises(HalError, match="libegl1") as caught:
        check_gl()
    assert "\n" not in str(caught.value)
