"""The executor does what it was told last and then holds still, and the world shows what it did."""

from __future__ import annotations

from itertools import groupby

import pytest

from hal_ros.core.errors import ConfigError
from hal_ros.sim.benchmark import RECIPES, episode
from hal_ros.sim.driven.disturbances import NONE, Disturbances
from hal_ros.sim.driven.executor import HOLDING, Executor, skills_of
from hal_ros.sim.driven.goals import Goals
from hal_ros.sim.driven.held import HeldScript
from hal_ros.sim.driven.skills import SKILLS
from hal_ros.sim.episode import Simulation

SPEC = episode("serve", 50_000)


class Run:
    """An executor in its simulation, told one skill after the other."""

    def __init__(self, kinds: Disturbances = NONE) -> None:
        self.executor = Executor(SPEC.seed, kinds)
        self.simulation = Simulation(SPEC, self.executor.script)
        self.goals = Goals(self.simulation.physics, RECIPES[SPEC.recipe])
        self.labels: list[str] = []

    def step(self, ticks: int = 1) -> None:
        for _ in range(ticks):
            assert self.simulation.step()  # it never ends by itself
            self.goals.observe()
            self.labels.append(self.simulation.action)

    def do(self, skill: str) -> list[str]:
        start = len(self.labels)
        self.executor.tell(skill)
        while not self.executor.now.done:
            self.step()
        self.step(30)
        return list(dict.fromkeys(self.labels[start:]))


def test_skills_do_what_the_macro_is_for_and_end_in_a_hold() -> None:
    run = Run()
    run.step(50)
    assert set(run.labels) == {HOLDING}
    assert [run.do(skill) for skill in skills_of("red_to_plate")] == [
        ["move", "pick_red", HOLDING],
        ["carry", "place_plate", HOLDING],
    ]
    assert run.goals.reached() == {"red_to_plate": True, "press": False, "blue_to_tray": False}


def test_a_missed_grasp_is_seen_as_one_and_can_be_tried_again() -> None:
    run = Run(Disturbances(miss=1.0))
    assert run.do("pick_red") == ["move", "missed_grasp", HOLDING]
    assert run.executor.held() == ""
    assert run.do("place_plate") == ["move", HOLDING]  # an empty hand carries and places nothing
    assert not any(run.goals.reached().values())


def test_a_block_that_was_moved_is_missed() -> None:
    run = Run(Disturbances(moved_object=1.0))
    before = run.simulation.physics.position("red").copy()
    assert "missed_grasp" in run.do("pick_red")
    assert run.executor.trouble.moved == 1
    assert abs(run.simulation.physics.position("red") - before)[:2].max() > 0.03


def test_a_pause_keeps_the_label_of_what_it_interrupts() -> None:
    run = Run(Disturbances(pause_rate_hz=4.0, pause_s=(0.1, 0.1)))
    assert run.do("press_button") == ["move", "press_button", HOLDING]
    assert run.executor.trouble.pauses > 5


def test_a_skill_can_be_broken_off_below_the_table_tops_and_another_begins() -> None:
    run = Run()
    run.executor.tell("pick_red")
    while run.simulation.action != "pick_red":
        run.step()
    run.step(100)
    assert run.do("safe") == ["move", HOLDING]
    assert run.executor.broken_off == 1
    assert run.simulation.physics.tip()[2] > 0.1


def test_what_can_not_be_done_is_refused_and_counted() -> None:
    run = Run()
    with pytest.raises(ConfigError, match="skill 'fly' is unknown; expected one of pick_red"):
        run.executor.tell("fly")
    assert run.do("pick_cup") == [HOLDING]  # this episode has none
    assert run.executor.refused == {"pick_cup": 1}
    assert {skill for macros in RECIPES.values() for macro in macros for skill in skills_of(macro)} <= set(SKILLS)


def test_disturbances_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"miss 1\.5"):
        Disturbances(miss=1.5)
    with pytest.raises(ConfigError, match="pause_rate_hz -1"):
        Disturbances(pause_rate_hz=-1)


def test_an_episode_with_holds_repeats_and_waits_between_its_skills() -> None:
    def labels(ticks: int) -> list[str]:
        simulation = Simulation(SPEC, HeldScript(SPEC, Disturbances(miss=0.3)).script)
        return [simulation.action for _ in range(ticks) if simulation.step()]

    first = labels(1200)
    assert labels(400) == first[:400]
    runs = [label for label, _ in groupby(first)]
    assert runs[:4] == [HOLDING, "move", "pick_red", HOLDING]
    assert first.count(HOLDING) > 40 * runs.count(HOLDING) / 2
