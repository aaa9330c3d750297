"""The decoder: what makes it change its mind, and what does not."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.card import DecoderSpec, Priors
from hal_ros.core.decoding import decode
from hal_ros.core.decoding.decode import Decoder
from hal_ros.core.errors import ConfigError


def decode_all(tops: list[int], spec: DecoderSpec, probability: float = 0.9) -> list[int]:
    decoder, state, actions = Decoder(spec), decode.INITIAL, []
    for top in tops:
        probabilities = np.full(3, (1 - probability) / 2, np.float32)
        probabilities[top] = probability
        decision, state = decoder.step(np.log(probabilities), state)
        assert 0 <= decision.confidence <= 1
        actions.append(decision.action)
    return actions


def test_argmax_follows_every_flicker() -> None:
    assert decode_all([0, 1, 0, 2], DecoderSpec("argmax")) == [0, 1, 0, 2]


def test_hysteresis_ignores_flicker_and_follows_a_lasting_change() -> None:
    spec = DecoderSpec("hysteresis", 0.5, hold_ticks=3, smoothing=0.0)
    assert decode_all([0, 1, 0, 1, 1, 0, 2, 2, 2, 2], spec) == [0] * 8 + [2, 2]


def test_alternating_challengers_do_not_add_up() -> None:
    spec = DecoderSpec("hysteresis", 0.5, hold_ticks=2, smoothing=0.0)
    assert decode_all([0, 1, 2, 1, 2, 1], spec) == [0] * 6


def test_a_challenger_below_the_threshold_waits() -> None:
    assert decode_all([0, 1, 1, 1], DecoderSpec("hysteresis", 0.7, 1, 0.0), probability=0.6) == [0] * 4
    assert decode_all([0, 1, 1, 1], DecoderSpec("hysteresis", 0.5, 1, 0.0), probability=0.6) == [0, 1, 1, 1]


def test_smoothing_delays_a_change() -> None:
    quick, slow = (decode_all([0] * 5 + [1] * 10, DecoderSpec("hysteresis", 0.5, 1, s)) for s in (0.0, 0.8))
    assert quick.index(1) == 5 < slow.index(1)


def test_the_first_tick_needs_no_threshold() -> None:
    assert decode_all([2], DecoderSpec("hysteresis", 0.99, 10, 0.0)) == [2]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="'viterbi' is unknown"):
        Decoder(DecoderSpec("viterbi"))


def test_a_filter_without_priors_is_refused() -> None:
    with pytest.raises(ConfigError, match="no priors"):
        Decoder(DecoderSpec("duration"))


PRIORS = Priors((0.8, 0.1, 0.1), ((0.0, 0.9, 0.1), (0.1, 0.0, 0.9), (0.9, 0.1, 0.0)), (8.0,) * 3, (5.0,) * 3, 40)
SPECS = [DecoderSpec(kind, boundary_gain=1.0, boundary_delay_ticks=1, priors=PRIORS) for kind in decode.KINDS]


def evidence(ticks: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    logits = 2 * np.eye(3)[np.arange(ticks) // 8 % 3] + random.normal(size=(ticks, 3))
    log_probs = logits - np.logaddexp.reduce(logits, 1, keepdims=True)
    return log_probs.astype(np.float32), random.random(ticks).astype(np.float32)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_the_future_changes_no_decision(spec: DecoderSpec) -> None:
    log_probs, boundary = evidence(80)
    whole = decode.decode(Decoder(spec), log_probs, boundary)
    assert len(set(whole.tolist())) == 3
    for cut in (1, 17, 60):
        changed = (
            np.concatenate([log_probs[:cut], np.roll(log_probs[cut:], 1, axis=1)]),
            np.concatenate([boundary[:cut], boundary[cut:] / 2]),
        )
        np.testing.assert_array_equal(decode.decode(Decoder(spec), *changed)[:cut], whole[:cut])
        assert (decode.decode(Decoder(spec), *changed) != whole).any()  # negative control


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_the_state_is_all_that_is_remembered(spec: DecoderSpec) -> None:
    log_probs, boundary = evidence(40)
    whole = decode.decode(Decoder(spec), log_probs, boundary)
    state, again = decode.INITIAL, []
    for row, value in zip(log_probs, boundary, strict=True):
        decoder = Decoder(spec)  # a new one each tick
        before = copy.deepcopy(state)
        decision, after = decoder.step(row, state, float(value))
        assert same(before, state)  # the old state is left alone
        state = after
        again.append(decision.action)
    assert again == whole.tolist()


def same(first: decode.DecoderState, second: decode.DecoderState) -> bool:
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return all(np.array_equal(a, b) if a is not None else b is None for a, b in pairs)


def test_the_first_commitment_needs_no_threshold_and_others_do() -> None:
    assert decode.commit(np.array([0.3, 0.4, 0.3]), NO_ACTION, 0.9) == (1, pytest.approx(0.4))
    assert decode.commit(np.array([0.3, 0.4, 0.3]), 0, 0.9) == (0, pytest.approx(0.3))
    assert decode.commit(np.array([0.02, 0.95, 0.03]), 0, 0.9) == (1, pytest.approx(0.95))


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_boundary_values_are_brought_to_the_ticks_of_the_lagged_answers(delay: int) -> None:
    lag, ticks = 3, 10
    lagged = np.maximum(np.arange(ticks) - lag, 0)[:, None].astype(np.float32)  # each row names the tick it speaks of
    boundary = np.arange(ticks).astype(np.float32) - delay  # likewise
    rows, values = decode.aligned(DecoderSpec(boundary_delay_ticks=delay), lagged, boundary, lag)
    np.testing.assert_array_equal(rows[:, 0], np.arange(ticks - lag))
    np.testing.assert_array_equal(values, np.arange(ticks - lag))
    short, none = decode.aligned(DecoderSpec(boundary_delay_ticks=delay), lagged[:2], boundary[:2], lag)
    assert len(short) == len(none) == 0
