"""The decoder: what makes it change its mind, and what does not."""

from __future__ import annotations

import numpy as np
import pytest

from hal_ros.core import decode
from hal_ros.core.errors import ConfigError
from hal_ros.core.types import DecoderSpec


def decode_all(tops: list[int], spec: DecoderSpec, probability: float = 0.9) -> list[int]:
    state, actions = decode.INITIAL, []
    for top in tops:
        probabilities = np.full(3, (1 - probability) / 2, np.float32)
        probabilities[top] = probability
        action, confidence, state = decode.step(np.log(probabilities), state, spec)
        assert 0 <= confidence <= 1
        actions.append(action)
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
        decode.step(np.zeros(3, np.float32), decode.INITIAL, DecoderSpec("viterbi"))
