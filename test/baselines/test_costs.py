"""Laws of the cost of a tick."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("torch")

import torch

from hal_ros.baselines import costs
from hal_ros.baselines.costs import Tick, logistic_tick, measure, rule_tick, sequence_tick
from hal_ros.baselines.networks.causal_tcn import CausalTcn
from hal_ros.baselines.networks.gru import GruModel
from hal_ros.baselines.networks.ms_tcn import MsTcn
from hal_ros.baselines.sequence import Size
from hal_ros.core.streams.columns import ValueGroups
from hal_ros.train.clips import Columns
from joint_names import joints_named

F, K, LAG = 5, 3, 2


def work(units: int) -> None:
    total = 0
    for number in range(4000 * units):
        total += number


def test_who_does_more_costs_more_and_sleep_costs_nothing() -> None:
    systems = {
        "one": Tick(1, lambda: work(1)),
        "five": Tick(5, lambda: work(5)),
        "asleep": Tick(0, lambda: time.sleep(2e-3)),
    }
    found = measure(systems, steps=40)
    assert 2 < found["five"].ms_per_tick / found["one"].ms_per_tick < 12
    assert found["asleep"].ms_per_tick < 1
    assert [cost.parameters for cost in found.values()] == [1, 5, 0]


def test_systems_take_turns_and_a_whole_clip_is_shared_by_its_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "WARM_UP", 0)
    order: list[str] = []
    clip = Tick(0, lambda: (order.append("clip"), work(50)), ticks=50)
    found = measure({"step": Tick(0, lambda: (order.append("step"), work(1))), "clip": clip}, steps=2 * costs.ROUNDS)
    assert order == ["step", "step", "clip"] * costs.ROUNDS
    assert 0.3 < found["clip"].ms_per_tick / found["step"].ms_per_tick < 3


def test_a_stream_goes_on_where_it_was() -> None:
    model = GruModel(F, K, Size(width=8))
    seen: list[torch.Tensor] = []
    model.gru.register_forward_pre_hook(lambda _, given: seen.append(given[1].clone()))
    tick = sequence_tick(model)
    for _ in range(3):
        tick.step()
    assert not seen[0].any() and seen[1].any() and not torch.equal(seen[1], seen[2])


def test_every_kind_of_baseline_has_a_step_and_its_parameters() -> None:
    size = Size(width=8, layers=2, stages=2)
    columns = Columns(attended=1, values=6, groups=ValueGroups((0, 1) * 3, (0,) * 6))
    causal, offline = CausalTcn(F, K, size), MsTcn(F, K, LAG, size)
    systems = {
        "causal": sequence_tick(causal),
        "offline": sequence_tick(offline, ticks=20),
        "rule": rule_tick(columns, joints_named(["arm", "gripper"]), K, LAG),
        "logistic": logistic_tick(F, K, LAG),
    }
    found = measure(systems, steps=costs.ROUNDS)
    assert all(cost.ms_per_tick > 0 for cost in found.values())
    assert systems["offline"].ticks == 20
    assert found["causal"].parameters == causal.parameter_count
    assert found["logistic"].parameters == (F + 1) * K + (2 * F + 1) * K
