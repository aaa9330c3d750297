"""What labels claim is physically true; and a false claim is noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hal_ros.sim import tasks
from hal_ros.sim.benchmark import episode
from hal_ros.sim.episode import Simulation
from hal_ros.sim.world import layout as table_layout

if TYPE_CHECKING:
    from test.sim.conftest import Run


OPPOSITES = {
    "pick_red": ("pick_blue", "missed_grasp", "idle"),
    "pick_blue": ("pick_red", "missed_grasp", "carry"),
    "missed_grasp": ("pick_red", "pick_blue", "idle"),
    "place_plate": ("place_tray", "move"),
    "place_tray": ("place_plate", "carry"),
    "press_button": ("hover_button", "move"),
    "hover_button": ("press_button", "idle"),
    "pour": ("tilt_empty",),
    "tilt_empty": ("pour",),
    "open_drawer": ("close_drawer",),
    "close_drawer": ("open_drawer",),
    "pick_cup": ("return_cup", "move"),
    "return_cup": ("pick_cup", "carry"),
    "carry": ("idle",),
    "move": ("idle", "carry"),
}


def test_every_claim_holds(runs: list[Run]) -> None:
    broken = [(result.spec.name, claim) for result in runs for claim in result.claims if not claim.held]
    assert not broken
    for result in runs:
        assert [claim.action for claim in result.claims] == [segment.action for segment in result.segments]


@pytest.mark.parametrize(("recipe", "seed"), [("serve", 11), ("restock", 12), ("brew", 13)])
def test_another_action_s_claim_does_not_hold(recipe: str, seed: int) -> None:
    simulation = Simulation(episode(recipe, seed))
    tried = set()

    def end(
        action: Any,
        start_ns: Any,
        end_ns: Any,
        judge: Any = simulation._monitor.judge,
        original: Any = simulation._monitor.end,
    ) -> None:
        for other in OPPOSITES.get(action, ()):
            needs = {"pour": "cup", "tilt_empty": "cup", "pick_cup": "cup", "return_cup": "cup"}.get(other)
            if "place" in other and other[6:] not in simulation.layout.places:
                continue
            if needs is None or needs in simulation.layout.places:
                assert not judge(other)[0], (action, other, judge(other))
                tried.add(action)
        original(action, start_ns, end_ns)

    simulation._monitor.end = end  # type: ignore[method-assign]
    while simulation.step():
        pass
    assert len(tried) >= 5


def _claims_of(simulation: Any, action: str) -> list[Any]:
    while simulation.step():
        pass
    return [claim.held for claim in simulation.claims() if claim.action == action]


def test_without_friction_nothing_is_picked() -> None:
    simulation = Simulation(episode("stack_tray", 5))
    for name in ("pad_left", "pad_right", "red", "blue"):
        simulation.model.geom(name).friction[:] = 1e-4
    assert _claims_of(simulation, "pick_red") == [False]


def test_a_button_without_pedestal_contact_is_not_pressed() -> None:
    simulation = Simulation(episode("recheck", 7))
    simulation.model.geom("cap").contype = simulation.model.geom("cap").conaffinity = 0
    assert _claims_of(simulation, "press_button") == [False]


def test_balls_beside_the_bowl_are_no_pour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "POUR_OUTWARDS", -0.07)
    assert table_layout.BALL_COUNT >= 4
    assert _claims_of(Simulation(episode("brew", 13)), "pour") == [False]
