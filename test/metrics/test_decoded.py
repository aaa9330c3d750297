"""From stored answers to streams and scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from clip_answers import LAG, PERIOD_NS, TRUTH, clip
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.card import DecoderSpec
from hal_ros.metrics.answer_files import ClipAnswers
from hal_ros.metrics.decoded import CONFIRMED_ARGMAX, OFFLINE, score_clips, streams
from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL

ARGMAX = DecoderSpec(kind="argmax")


def scores(*clips: Any, decoders: Any = None) -> Any:
    decoders = {CONFIRMED: ARGMAX} if decoders is None else decoders
    said = [streams(one, decoders, LAG, PERIOD_NS) for one in clips]
    return score_clips(clips, said, PERIOD_NS)


def test_a_confirmed_answer_is_about_its_tick_and_as_late_as_the_lag() -> None:
    said = streams(clip(now=np.roll(TRUTH, 2)), {CONFIRMED: ARGMAX}, LAG, PERIOD_NS)
    assert np.array_equal(said[CONFIRMED].labels, TRUTH)
    assert set((said[CONFIRMED].emitted_ns - said[PROVISIONAL].emitted_ns)[:-LAG]) == {LAG * PERIOD_NS}
    assert np.array_equal(said[PROVISIONAL].labels, np.roll(TRUTH, 2))
    found = scores(clip())
    assert found[CONFIRMED]["MoF"] == 100
    assert found[CONFIRMED]["latency median s"] == pytest.approx(0.4)
    assert found[PROVISIONAL]["latency median s"] == 0


def test_the_last_ticks_keep_the_action_in_force() -> None:
    truth = TRUTH.copy()
    truth[-2:] = 0  # too late to be confirmed
    said = streams(clip(about=truth), {CONFIRMED: ARGMAX}, LAG, PERIOD_NS)
    assert np.array_equal(said[CONFIRMED].labels, TRUTH)
    assert said[CONFIRMED].emitted_ns[-1] == (len(TRUTH) - 1) * PERIOD_NS


def test_a_clip_shorter_than_the_lag_is_answered_at_once() -> None:
    one = clip()
    cut: list[Any] = [value[:3] if isinstance(value, np.ndarray) else value for value in vars(one).values()]
    short = ClipAnswers(*cut)
    said = streams(short, {CONFIRMED: ARGMAX}, LAG, PERIOD_NS)
    assert np.array_equal(said[CONFIRMED].labels, TRUTH[:3])


def test_an_offline_system_has_one_output_and_no_latency() -> None:
    found = scores(clip(offline=True))
    assert list(found) == [OFFLINE]
    assert not any("latency" in metric for metric in found[OFFLINE])


def test_what_can_not_be_measured_is_none() -> None:
    quiet = replace(clip(), truth=np.full(len(TRUTH), NO_ACTION))
    assert scores(quiet)[PROVISIONAL]["MoF"] is None


def test_each_decoder_is_an_output_of_its_own() -> None:
    flicker = TRUTH.copy()
    flicker[[5, 15, 25]] = [2, 0, 0]
    calm = DecoderSpec("hysteresis", enter_probability=0.0, hold_ticks=2, smoothing=0.0)
    found = scores(clip(about=flicker), decoders={CONFIRMED: calm, CONFIRMED_ARGMAX: ARGMAX})
    assert found[CONFIRMED]["Edit"] == 100 > found[CONFIRMED_ARGMAX]["Edit"]
