"""What is fitted after training, on the validation split alone: the heads' temperatures and the decoder."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hal_ros.core import decode
from hal_ros.core.metrics import Pair, edit_score, f1_pooled, mean_over_frames, segment_ratio
from hal_ros.core.types import NO_ACTION, DecoderSpec, FloatArray
from hal_ros.model.hal import CausalHal
from hal_ros.train.loop import Answers, answer
from hal_ros.train.tracks import Track

TEMPERATURES = np.geomspace(0.5, 4.0, 40)
ENTER_PROBABILITIES = (0.0, 0.4, 0.5, 0.6, 0.7)
HOLDS_TICKS = (1, 2, 3, 4)
SMOOTHINGS = (0.0, 0.3, 0.5, 0.7)


class Decoded(NamedTuple):
    """How a decoder does on confirmed labels, in percent; the ratio is predicted over true segments."""

    decoder: DecoderSpec
    mof: float
    edit: float
    f1_50: float
    segment_ratio: float

    @property
    def score(self) -> float:
        """What is chosen by: frames and segments alike."""
        return (self.mof + self.edit + self.f1_50) / 3


def fit_temperatures(model: CausalHal, tracks: Sequence[Track], lag_ticks: int) -> tuple[float, float]:
    """Set the model's two temperatures to those of least negative log-likelihood; returns them."""
    with torch.no_grad():
        model.temperature.fill_(1.0)
    answers = [answer(model, track) for track in tracks]
    now = [(a.log_probs, track.actions) for a, track in zip(answers, tracks, strict=True)]
    lagged = [
        (a.lagged_log_probs[lag_ticks:], track.actions[: track.ticks - lag_ticks])
        for a, track in zip(answers, tracks, strict=True)
    ]
    best = _best_temperature(now), _best_temperature(lagged)
    with torch.no_grad():
        model.temperature.copy_(torch.tensor(best))
    return best


def _best_temperature(rows: Sequence[tuple[FloatArray, NDArray[np.int64]]]) -> float:
    log_probs = np.concatenate([a for a, _ in rows]).astype(np.float64)
    actions = np.concatenate([b for _, b in rows])
    log_probs, actions = log_probs[actions != NO_ACTION], actions[actions != NO_ACTION]

    def loss(temperature: float) -> float:
        scaled = log_probs / temperature
        return float((np.logaddexp.reduce(scaled, 1) - scaled[np.arange(len(scaled)), actions]).mean())

    return float(min(TEMPERATURES, key=loss))


def choose_decoder(model: CausalHal, tracks: Sequence[Track], lag_ticks: int) -> Decoded:
    """Return the hysteresis decoder with the best mean of MoF, Edit and F1@50 of the confirmed labels."""
    answers = [answer(model, track) for track in tracks]
    grid = itertools.product(ENTER_PROBABILITIES, HOLDS_TICKS, SMOOTHINGS)
    specs = [DecoderSpec("hysteresis", enter, hold, smoothing) for enter, hold, smoothing in grid]
    return max((score_decoder(spec, answers, tracks, lag_ticks) for spec in specs), key=lambda decoded: decoded.score)


def score_decoder(spec: DecoderSpec, answers: Sequence[Answers], tracks: Sequence[Track], lag_ticks: int) -> Decoded:
    """Score the confirmed labels; the last `lag_ticks` ticks of a track never get one and are left out."""
    pairs = [
        Pair(track.actions[: track.ticks - lag_ticks], confirmed(spec, answers_of.lagged_log_probs, lag_ticks))
        for answers_of, track in zip(answers, tracks, strict=True)
    ]
    return Decoded(spec, mean_over_frames(pairs), edit_score(pairs), f1_pooled(pairs, 50), segment_ratio(pairs))


def confirmed(spec: DecoderSpec, lagged_log_probs: FloatArray, lag_ticks: int) -> NDArray[np.int64]:
    """Return the confirmed actions (T - lag,) as the segmenter decodes them."""
    return decode.decode(decode.Decoder(spec), lagged_log_probs[lag_ticks:])
