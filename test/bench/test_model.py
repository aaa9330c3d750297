"""The benchmark's rows of one process that need no bundle's weights."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakes import FakeBackend, FakeState, make_card
from hal_ros.bench import model as bench_model
from hal_ros.core.card import DecoderSpec, ModelCard, Priors
from hal_ros.core.step import StepInput, StepOutput

THIRDS = (1 / 3,) * 3
HALVES = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))


def test_following_a_plan_is_timed_with_the_bundles_own_actions() -> None:
    bare = make_card()
    card = replace(bare, decoder=DecoderSpec("duration", priors=Priors(THIRDS, HALVES, (20.0,) * 3, (4.0,) * 3)))
    for each in (bare, card):
        row = bench_model._plan_row(each, repeats=3)
        assert row.name == "following a known plan, median per tick"
        assert isinstance(row.value, float) and row.value > 0 and row.unit == "ms"
        assert row.note == "3 actions, a plan of 3 steps"


class Counting(FakeBackend):
    """Notes how long each step's stream has run."""

    def __init__(self, card: ModelCard) -> None:
        super().__init__(card)
        self.ticks: list[int] = []

    def step(self, inputs: StepInput, state: FakeState) -> tuple[StepOutput, FakeState]:
        self.ticks.append(state.ticks)
        return super().step(inputs, state)


def test_uptime_compares_a_long_run_with_the_first_full_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_model, "UPTIME_TICKS", 50)
    card = make_card()
    backend = Counting(card)
    row = bench_model.uptime_row(backend, bench_model.random_inputs(card), card, "caches shift", rounds=2)
    assert (row.name, row.unit, row.target) == (
        "step after 50 ticks against one window, caches shift",
        "times",
        "<= 1.1",
    )
    timed = backend.ticks[card.window_ticks + 50 :]
    assert sorted(timed) == [*range(card.window_ticks, card.window_ticks + 10), *range(50, 60)]


def test_a_stepper_steps_one_stream() -> None:
    card = make_card()
    backend = Counting(card)
    step = bench_model.Stepper(backend, bench_model.random_inputs(card), ticks=3)
    step()
    assert backend.ticks == [0, 1, 2, 3]
