"""Laws of the sequence baselines: causality, step parity, receptive fields, missing values."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from hal_ros.baselines.networks.asformer import AsFormer
from hal_ros.baselines.networks.causal_asformer import CausalAsFormer
from hal_ros.baselines.networks.causal_tcn import CausalTcn
from hal_ros.baselines.networks.diffact import DiffAct
from hal_ros.baselines.networks.gru import GruModel
from hal_ros.baselines.networks.mini_road import MiniRoad
from hal_ros.baselines.networks.ms_tcn import MsTcn
from hal_ros.baselines.networks.online_tas import OnlineTas
from hal_ros.baselines.networks.pro_tas import ProTas
from hal_ros.baselines.sequence import LAGGED, NOW, Size

F, K, LAG = 5, 3, 2
CAUSAL = {
    "gru": lambda: GruModel(F, K, Size(width=8)),
    "causal_tcn": lambda: CausalTcn(F, K, Size(width=8, layers=3, stages=2)),
    "causal_asformer": lambda: CausalAsFormer(F, K, Size(width=8, layers=3, stages=3)),
    "mini_road": lambda: MiniRoad(F, K, Size(width=8)),
    "online_tas": lambda: OnlineTas(F, K, Size(width=8, layers=3, clip_ticks=20)),
    "pro_tas": lambda: ProTas(F, K, LAG, Size(width=8, layers=3, stages=2)),
}
OFFLINE = {
    "ms_tcn": lambda: MsTcn(F, K, LAG, Size(width=8, layers=3, stages=2)),
    "asformer": lambda: AsFormer(F, K, LAG, Size(width=8, layers=3, stages=2)),
    "diffact": lambda: DiffAct(F, K, LAG, Size(width=8, layers=3, sampling_steps=3)),
}
ALL = {**CAUSAL, **OFFLINE}


def make(kind: Any) -> Any:
    torch.manual_seed(3)
    model = ALL[kind]().eval()
    model.prepare([[0, 1, 2], [0, 2]])
    return model


def clips(batch: int, ticks: Any, seed: int = 0) -> Any:
    return torch.randn(batch, ticks, F, generator=torch.Generator().manual_seed(seed))


def answers(model: Any, inputs: Any) -> Any:
    with torch.no_grad():
        return model(inputs, torch.ones(inputs.shape[:2]))


def change_by_the_future(model: Any, ticks: int = 70, now: int = 40) -> float:
    """How much answers up to `now` change when everything behind it does."""
    before = clips(2, ticks)
    after = before.clone()
    after[:, now + 1 :] = clips(2, ticks, seed=1)[:, now + 1 :]
    moved = answers(model, before) - answers(model, after)
    return float(moved[:, :, : now + 1].abs().max())


@pytest.mark.parametrize("kind", CAUSAL)
def test_what_comes_later_changes_nothing(kind: str) -> None:
    assert change_by_the_future(make(kind)) == 0


@pytest.mark.parametrize("kind", OFFLINE)
def test_what_comes_later_changes_the_offline_answers(kind: str) -> None:
    assert change_by_the_future(make(kind)) > 1e-3


def streamed(model: Any, inputs: Any, chunk: Any, forget: bool = False) -> Any:
    parts, state = [], model.initial_state(len(inputs))
    with torch.no_grad():
        for start in range(0, inputs.shape[1], chunk):
            logits, after = model.advance(inputs[:, start : start + chunk], state)
            state = state if forget else after
            parts.append(logits)
    return torch.cat(parts, 2)


@pytest.mark.parametrize("chunk", [1, 7, 50])
@pytest.mark.parametrize("kind", CAUSAL)
def test_steps_and_chunks_equal_the_sequence(kind: str, chunk: int) -> None:
    model, inputs = make(kind), clips(2, 150)
    assert torch.allclose(streamed(model, inputs, chunk), answers(model, inputs), atol=1e-5)


@pytest.mark.parametrize("kind", CAUSAL)
def test_steps_without_the_state_differ(kind: str) -> None:
    model, inputs = make(kind), clips(2, 150)
    assert not torch.allclose(streamed(model, inputs, 1, forget=True), answers(model, inputs), atol=1e-3)


@pytest.mark.parametrize("kind", CAUSAL)
def test_the_state_does_not_grow(kind: str) -> None:
    model = make(kind)
    shapes = [tensor.shape for tensor in model.initial_state()]
    state = model.initial_state()
    for ticks in (1, 3, 200):
        state = model.advance(clips(1, ticks), state)[1]
        assert [tensor.shape for tensor in state] == shapes


@pytest.mark.parametrize("kind", ["causal_tcn", "causal_asformer"])
def test_an_answer_depends_on_its_receptive_field_and_on_nothing_before(kind: str) -> None:
    model = make(kind)
    field = model.receptive_field_ticks
    inputs = clips(1, field + 10).requires_grad_()
    model(inputs, torch.ones(1, field + 10))[-1, 0, -1].sum().backward()
    felt = inputs.grad[0].abs().sum(1) > 0
    assert felt[-field:].any()
    assert felt[-field]  # the oldest tick of the field counts
    assert not felt[:-field].any()


def test_the_offline_field_is_centred() -> None:
    model = make("ms_tcn")
    reach = model.reach_ticks
    inputs = clips(1, 2 * reach + 21).requires_grad_()
    now = reach + 10
    model(inputs, torch.ones(inputs.shape[:2]))[-1, 0, now, NOW].sum().backward()
    felt = torch.nonzero(inputs.grad[0].abs().sum(1))[:, 0]
    assert (int(felt[0]), int(felt[-1])) == (now - reach, now + reach)
    assert model.receptive_field_ticks == 2 * reach + 1


@pytest.mark.parametrize("kind", ["gru", "mini_road", "online_tas", "pro_tas", "asformer", "diffact"])
def test_who_carries_a_state_or_takes_norms_over_time_promises_no_field(kind: str) -> None:
    assert make(kind).receptive_field_ticks is None


@pytest.mark.parametrize("kind", OFFLINE)
def test_the_offline_lagged_head_repeats_what_was_said_of_that_tick(kind: str) -> None:
    said = answers(make(kind), clips(1, 20))
    assert torch.equal(said[:, :, LAG:, LAGGED], said[:, :, :-LAG, NOW])


@pytest.mark.parametrize("kind", ALL)
def test_padding_behind_the_end_changes_nothing(kind: Any) -> None:
    model, inputs = make(kind), clips(1, 30)
    padded = torch.cat([inputs, 100 * torch.ones(1, 25, F)], 1)
    mask = torch.cat([torch.ones(1, 30), torch.zeros(1, 25)], 1)
    with torch.no_grad():
        assert torch.allclose(model(padded, mask)[:, :, :30], answers(model, inputs), atol=1e-5)


@pytest.mark.parametrize("kind", ALL)
def test_a_missing_value_counts_as_the_mean(kind: Any) -> None:
    model, inputs = make(kind), clips(1, 20)
    model.standardise_by(torch.arange(F).float().numpy(), torch.full((F,), 2.0).numpy())
    inputs[0, 4, 1], inputs[0, 9, 2] = float("nan"), float("inf")
    filled = inputs.clone()
    filled[0, 4, 1], filled[0, 9, 2] = 1.0, 2.0
    said = answers(model, inputs)
    assert torch.isfinite(said).all()
    assert torch.equal(said, answers(model, filled))


@pytest.mark.parametrize("kind", ALL)
def test_shapes_parameters_and_one_tick(kind: Any) -> None:
    model = make(kind)
    said = answers(model, clips(2, 1))
    assert said.shape[1:] == (2, 1, 2, K)
    assert torch.isfinite(said).all()
    assert model.parameter_count == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("kind", ALL)
def test_input_dropout_takes_whole_columns_away_in_training_alone(kind: Any) -> None:
    model = make(kind)
    model.drop_inputs.p = 0.5
    inputs = clips(1, 20)
    assert torch.equal(answers(model, inputs), answers(model, inputs))
    shown = model.train().standard(inputs)[0]
    away = (shown == 0).all(0)
    assert ((shown == 0).any(0) == away).all()
