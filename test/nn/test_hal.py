"""Causality and parity of the causal model (laws 1 and 2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hal_ros.nn.band_attention import LockedDropout  # noqa: E402
from hal_ros.nn.hal import (  # noqa: E402
    CausalHal,
    HalConfig,
    Inputs,
    Outputs,
)
from hal_ros.nn.recurrence import leak  # noqa: E402
from hal_ros.nn.state import State, flatten_state, state_names, unflatten_state  # noqa: E402

CONFIG = HalConfig(
    actions=5,
    joint_values=9,
    attended=12,
    width=16,
    heads=2,
    lookback=(3, 5, 9),
    feed_forward=32,
)
EYELESS = replace(CONFIG, attended=0)
TWO = replace(CONFIG, cameras=2)
BLIND = replace(CONFIG, cameras=0)
PICTURES = replace(CONFIG, cameras=2, joint_values=0)
SHORT = replace(CONFIG, short_lookback=(3, 5), recurrent_layers=1)
NEWER = {
    "differences": replace(CONFIG, differences=(1, 4)),
    "mingru": replace(CONFIG, trunk="mingru"),
    "rg_lru-over-band": replace(SHORT, trunk="rg_lru"),
    "gru-slow": replace(SHORT, trunk="gru", differences=(2,), context_gate="vector", context_every=3),
}
TOLERANCE = 1e-5
WINDOW = CONFIG.window_ticks
TICKS = int(2.5 * WINDOW)


def make_model(config: HalConfig) -> CausalHal:
    torch.manual_seed(0)
    model = CausalHal(config).eval()
    with torch.no_grad():  # away from the zeros that biases start with
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


FIRST = {
    "eye": CONFIG,
    "no-eye": EYELESS,
    "no-gate": replace(CONFIG, gate=False),
    "two-cameras": TWO,
    "states-alone": BLIND,
    "cameras-alone": PICTURES,
}


@pytest.fixture(params=[*FIRST.values(), *NEWER.values()], ids=[*FIRST, *NEWER])
def model(request: pytest.FixtureRequest) -> CausalHal:
    return make_model(request.param)


@pytest.fixture(params=[*FIRST.values()], ids=[*FIRST])
def windowed(request: pytest.FixtureRequest) -> CausalHal:
    """Models whose past but the context is what attention sees."""
    return make_model(request.param)


def random_inputs(model: CausalHal, ticks: int, batch: int = 1, seed: int = 1) -> Inputs:
    """Inputs with missing images and joints, and with held ticks."""
    random = torch.Generator().manual_seed(seed)

    def flags(*shape: int) -> Any:
        return (torch.rand(shape, generator=random) < 0.85).float()

    inputs = Inputs(
        torch.randn(batch, ticks, model.config.eyes * model.config.attended, generator=random),
        flags(batch, ticks, model.config.eyes),
        torch.randn(batch, ticks, model.config.joint_values, generator=random),
        flags(batch, ticks, model.config.joint_values),
    )
    held = [max(0, tick - 1) if tick % 11 in (5, 6) else tick for tick in range(ticks)]
    return Inputs(*(x[:, held] for x in inputs))


def cut(inputs: Inputs, start: int, stop: int) -> Inputs:
    return Inputs(*(x[:, start:stop] for x in inputs))


def difference(first: Iterable[Any], second: Iterable[Any]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))


@torch.no_grad()
def step_through(model: CausalHal, inputs: Inputs, state: State) -> tuple[Outputs, State]:
    steps = []
    for tick in range(inputs.joints.shape[1]):
        outputs, state = model.step(Inputs(*(x[:, tick] for x in inputs)), state)
        steps.append(outputs)
    return Outputs(*(torch.stack(column, 1) for column in zip(*steps, strict=True))), state


@torch.no_grad()
def test_the_future_never_changes_the_past(model: CausalHal) -> None:
    inputs, other = random_inputs(model, TICKS), random_inputs(model, TICKS, seed=2)
    for tick in (0, 3, WINDOW, TICKS - 2):
        changed = Inputs(
            *(torch.cat([a[:, : tick + 1], b[:, tick + 1 :]], 1) for a, b in zip(inputs, other, strict=True))
        )
        before, _ = model(inputs, model.initial_state())
        after, _ = model(changed, model.initial_state())
        assert difference(cut_outputs(before, tick + 1), cut_outputs(after, tick + 1)) == 0
        assert difference(before, after) > 1e-3  # the control: the change does arrive


def cut_outputs(outputs: Outputs, stop: int) -> tuple:
    return tuple(x[:, :stop] for x in outputs)


@torch.no_grad()
def test_the_presence_of_a_tick_reaches_the_end_of_the_window(windowed: CausalHal) -> None:
    """Attention sees window_ticks and no more; the control for causality being no mere blindness."""
    model = windowed
    free = replace(model.config, classifier_reads="trunk")
    blind_gate = CausalHal(free).eval()
    blind_gate.load_state_dict(model.state_dict())
    inputs = random_inputs(model, 2 * WINDOW)
    changed = Inputs(*(x.clone() for x in inputs))
    for values in (changed.joints, changed.attended):
        values[:, 0] += 1.0
    for kind in ("joints_valid", "image_valid"):
        for each in (changed, inputs):
            getattr(each, kind)[:, 0] = 1.0
    before, _ = blind_gate(inputs, blind_gate.initial_state())
    after, _ = blind_gate(changed, blind_gate.initial_state())
    change = (before.log_probs - after.log_probs).abs().amax((0, 2))
    assert float(change[WINDOW:].max()) == 0
    assert float(change[:WINDOW].max()) > 0


def test_a_sequence_equals_its_steps(model: CausalHal) -> None:
    """Through warm-up, held ticks, missing inputs and over more than two windows."""
    inputs = random_inputs(model, TICKS, batch=2)
    with torch.no_grad():
        outputs, state = model(inputs, model.initial_state(2))
    stepped, stepped_state = step_through(model, inputs, model.initial_state(2))
    assert difference(outputs, stepped) <= TOLERANCE
    assert difference(flatten_state(state), flatten_state(stepped_state)) <= TOLERANCE


def test_parity_notices_a_cache_that_is_one_tick_late(model: CausalHal) -> None:
    inputs = random_inputs(model, TICKS)
    with torch.no_grad():
        outputs, _ = model(inputs, model.initial_state())
    state = model.initial_state()
    worst = 0.0
    with torch.no_grad():
        for tick in range(TICKS):
            stepped, fresh = model.step(Inputs(*(x[:, tick] for x in inputs)), state)
            # keys, or recurrent vectors, stay behind, the rest goes on
            state = fresh._replace(keys=state.keys) if state.keys else fresh._replace(hidden=state.hidden)
            worst = max(worst, float((stepped.log_probs - outputs.log_probs[:, tick]).abs().max()))
    assert worst > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("chunks", [(1, TICKS - 1), (7, WINDOW, TICKS - WINDOW - 7), (TICKS - 1, 1)])
def test_chunks_with_carried_state_equal_the_whole(model: CausalHal, chunks: tuple[Any, ...]) -> None:
    inputs = random_inputs(model, TICKS)
    whole, _ = model(inputs, model.initial_state())
    state, start, pieces = model.initial_state(), 0, []
    for length in chunks:
        outputs, state = model(cut(inputs, start, start + length), state)
        pieces.append(outputs)
        start += length
    joined = tuple(torch.cat(column, 1) for column in zip(*pieces, strict=True))
    assert difference(whole, joined) <= TOLERANCE


@torch.no_grad()
def test_the_last_window_with_the_carried_context_equals_the_step(windowed: CausalHal) -> None:
    """What a fresh process could recompute: attention from the last window, the context from the stream."""
    model = windowed
    inputs = random_inputs(model, TICKS)
    before, _ = model(cut(inputs, 0, TICKS - 1), model.initial_state())
    _, state = step_through(model, cut(inputs, 0, TICKS - 1), model.initial_state())
    stepped, _ = model.step(Inputs(*(x[:, -1] for x in inputs)), state)
    warm = model.initial_state()
    _, warm = model(cut(inputs, TICKS - WINDOW, TICKS - 1), warm)
    warm = warm._replace(context=before.context[:, -1])
    again, _ = model.step(Inputs(*(x[:, -1] for x in inputs)), warm)
    assert difference((stepped.log_probs, stepped.lagged_log_probs), (again.log_probs, again.lagged_log_probs)) <= 1e-5
    short = model.initial_state()
    _, short = model(cut(inputs, TICKS - WINDOW // 2, TICKS - 1), short)
    wrong, _ = model.step(Inputs(*(x[:, -1] for x in inputs)), short._replace(context=before.context[:, -1]))
    assert float((stepped.log_probs - wrong.log_probs).abs().max()) > 1e-4  # half a window is not enough


@torch.no_grad()
def test_a_reset_stream_is_a_new_one_and_its_neighbour_goes_on(model: CausalHal) -> None:
    inputs = random_inputs(model, 40, batch=2)
    _, state = model(cut(inputs, 0, 20), model.initial_state(2))
    reset, _ = model(cut(inputs, 20, 40), state.where_kept(torch.tensor([0.0, 1.0])))
    fresh, _ = model(cut(inputs, 20, 40), model.initial_state(2))
    whole, _ = model(inputs, model.initial_state(2))
    assert difference((reset.log_probs[:1],), (fresh.log_probs[:1],)) <= TOLERANCE
    assert difference((reset.log_probs[1:],), (whole.log_probs[1:, 20:],)) <= TOLERANCE


@torch.no_grad()
def test_values_under_a_zero_flag_are_ignored(model: CausalHal) -> None:
    inputs = random_inputs(model, 30)
    seen = inputs.image_valid.repeat_interleave(model.config.attended, -1) > 0
    garbage = Inputs(
        torch.where(seen, inputs.attended, torch.full_like(inputs.attended, 7.0)),
        inputs.image_valid,
        torch.where(inputs.joints_valid > 0, inputs.joints, torch.full_like(inputs.joints, -9.0)),
        inputs.joints_valid,
    )
    before, after = (model(x, model.initial_state())[0] for x in (inputs, garbage))
    assert difference(before, after) == 0
    counted = [garbage._replace(joints_valid=torch.ones_like(inputs.joints_valid))] if model.config.joint_values else []
    for camera in range(model.config.eyes):
        flags = inputs.image_valid.clone()
        flags[..., camera] = 1.0
        counted.append(garbage._replace(image_valid=flags))
    for each in counted:
        assert difference(before, model(each, model.initial_state())[0]) > 1e-3


@torch.no_grad()
def test_the_first_tick_takes_the_context_whole_and_outputs_are_probabilities(model: CausalHal) -> None:
    outputs, _ = model(random_inputs(model, 20), model.initial_state())
    assert float(outputs.boundary[0, 0]) == 1.0
    assert bool(((outputs.boundary >= 0) & (outputs.boundary <= 1)).all())
    torch.testing.assert_close(outputs.log_probs.exp().sum(-1), torch.ones(1, 20))


def test_state_flattens_to_the_named_tensors_and_back(model: CausalHal) -> None:
    state = model.initial_state()
    flat = flatten_state(state)
    assert len(flat) == len(state_names(model.config.state_shape))
    assert all(float(tensor.abs().max()) == 0 for tensor in flat)
    assert difference(flatten_state(unflatten_state(flat, model.config.state_shape)), flat) == 0


@torch.no_grad()
def test_each_camera_counts_on_its_own() -> None:
    model = make_model(TWO)
    inputs, width = random_inputs(model, 20), TWO.attended
    before, _ = model(inputs, model.initial_state())
    exchanged = inputs._replace(
        attended=inputs.attended.roll(width, -1), image_valid=inputs.image_valid.flip(-1)
    )  # the other camera's picture with its own flag
    assert difference(before, model(exchanged, model.initial_state())[0]) > 1e-3
    for camera in model.camera_inputs():  # and each has its own standardising numbers, projection and stand-in
        for part in (camera.mean, camera.spread, camera.blind, *camera.project.parameters()):
            kept = part.clone()
            part += 0.5
            assert difference(before, model(inputs, model.initial_state())[0]) > 1e-4
            part.copy_(kept)
    assert difference(before, model(inputs, model.initial_state())[0]) == 0


def test_each_camera_is_dropped_on_its_own() -> None:
    model = make_model(replace(TWO, dropout=0.0, attended_dropout=0.5)).train()
    gone = []
    for camera in range(2):
        drop = model.camera_inputs()[camera].drop
        gone.append(drop(torch.ones(1, 64, 3))[0, :, 0] == 0)
    assert 0 < int(gone[0].sum()) < 64 and not torch.equal(*gone)


def test_one_camera_has_the_names_that_it_had_alone() -> None:
    one, two = ({*CausalHal(config).state_dict()} for config in (CONFIG, TWO))
    parts = {"seen_mean", "seen_spread", "seen.weight", "seen.bias", "blind"}
    assert parts < one
    assert two - one == {"seen_mean_1", "seen_spread_1", "seen_1.weight", "seen_1.bias", "blind_1"}


def test_a_model_that_takes_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="neither cameras nor state values"):
        CausalHal(replace(BLIND, joint_values=0))


@pytest.mark.parametrize("config", [CONFIG, TWO, BLIND, PICTURES, *NEWER.values()])
def test_config_survives_json(config: HalConfig) -> None:
    import json

    assert HalConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_an_older_checkpoints_config_is_read() -> None:
    saved = CONFIG.to_json()
    assert saved["values"] == CONFIG.joint_values
    assert "joint_values" not in saved
    del saved["cameras"]
    assert HalConfig.from_json(saved) == CONFIG
    assert HalConfig.from_json({**saved, "seen": 0}).eyes == 0


@torch.no_grad()
def test_the_leak_in_one_sum_is_the_leak_tick_by_tick() -> None:
    """Also where a gate is wide open, and over a stretch whose products of (1 - g) underflow."""
    gates = torch.sigmoid(torch.randn(2, 600, 1) * 4)
    gates[:, [0, 17]] = 1.0
    candidate, context = torch.randn(2, 600, 3), torch.randn(2, 3)
    unrolled, expected = context, []
    for tick in range(600):
        unrolled = unrolled + gates[:, tick] * (candidate[:, tick] - unrolled)
        expected.append(unrolled)
    torch.testing.assert_close(leak(gates, candidate, context), torch.stack(expected, 1), atol=1e-5, rtol=0)


def test_dropout_takes_a_channel_for_the_whole_stretch_and_nothing_at_run_time() -> None:
    drop = LockedDropout(0.5)
    dropped = drop(torch.ones(4, 10, 32))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(dropped, dropped[:, :1].expand(4, 10, 32))
    assert torch.equal(drop.eval()(torch.ones(1, 3, 4)), torch.ones(1, 3, 4))


@torch.no_grad()
def step_rings_through(model: CausalHal, inputs: Inputs, slip: int = 0) -> tuple[Outputs, list[Any]]:
    """Step over rings written here, from the second window on `slip` slots too far; returns their columns as well."""
    spans = [lookback - 1 for lookback in model.config.attention]
    state, steps = model.initial_state(), []
    for tick in range(inputs.joints.shape[1]):
        orders = [((torch.arange(span) - tick) % span).int() for span in spans]
        outputs, following = model.advance(*model.embed(Inputs(*(x[:, tick] for x in inputs)), state), state, orders)
        for rings, fresh in ((state.keys, following.keys), (state.values, following.values)):
            for ring, row, span in zip(rings, fresh, spans, strict=True):
                ring[:, (tick + (slip if tick >= WINDOW else 0)) % span] = row[:, 0]
        state = following._replace(keys=state.keys, values=state.values)
        steps.append(outputs)
    ticks = inputs.joints.shape[1]
    columns = [[(ticks + column) % span for column in range(span)] for span in spans]
    keys, values = ([ring[:, at] for ring, at in zip(x, columns, strict=True)] for x in (state.keys, state.values))
    unrolled = state._replace(keys=tuple(keys), values=tuple(values))
    return Outputs(*(torch.stack(column, 1) for column in zip(*steps, strict=True))), flatten_state(unrolled)


def test_rings_hold_what_the_shifted_caches_hold(model: CausalHal) -> None:
    """Through warm-up and two wraps of the longest ring; with the control of a row written one slot too far."""
    inputs = random_inputs(model, TICKS)
    outputs, state = step_through(model, inputs, model.initial_state())
    found, columns = step_rings_through(model, inputs)
    assert difference(outputs, found) <= TOLERANCE
    assert difference(flatten_state(state), columns) <= TOLERANCE
    slipped, _ = step_rings_through(model, inputs, slip=1)
    assert not model.config.attention or difference(outputs, slipped) > 1e-3
