"""What is fitted after training, on validation labels alone: temperatures and the decoder, of any sequence model.

Everything here works on arrays: `Answers` of each clip, and labels (T,) of action ids with NO_ACTION where nothing is
known. Row t of the lagged log-probabilities speaks of tick t - lag, so the last `lag` ticks of a clip get no confirmed
label and are left out of every score.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.arrays import FloatArray
from hal_ros.core.card import DecoderSpec, Priors
from hal_ros.core.decoding import decode
from hal_ros.core.decoding.duration_filter import DurationFilter, log_odds, marginals
from hal_ros.core.decoding.hysteresis_search import decode_each
from hal_ros.core.errors import ConfigError, DatasetError
from hal_ros.core.segments import Labels
from hal_ros.metrics.segmentation import Pair, edit_score, f1_pooled, mean_over_frames, segment_ratio
from hal_ros.outside.progress import tracked
from hal_ros.train.answers import Answers
from hal_ros.train.config import AUTO
from hal_ros.train.priors import fit_priors

if TYPE_CHECKING:
    from hal_ros.datasets.clips import Clip
    from hal_ros.nn.hal import CausalHal

TEMPERATURES = np.geomspace(0.4, 10.0, 60)

ENTER_PROBABILITIES = (0.0, 0.5, 0.6, 0.7)
HOLDS_TICKS = (1, 2, 3)
SMOOTHINGS = (0.0, 0.3, 0.5)

TEMPERS = (0.2, 0.4, 0.7, 1.0, 2.0, 3.0)
BOUNDARY_SHARES = (0.5, 1.0)
"""How much of the boundary head's fitted evidence is believed: its ticks are no independent witnesses either."""
COMMIT_PROBABILITIES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9)
TRIED = {"argmax": 1, "hysteresis": 36, "duration": 48}
"""How many decoders of each kind there are at most."""

CHOSEN_FROM = ("hysteresis", "duration")
"""The kinds of decoder between which validation chooses, the simpler one first."""
CLEARLY = 0.5
"""Points of the score by which a decoder has to be better than a simpler one: validation clips are few."""


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

    def __str__(self) -> str:
        return (
            f"{self.decoder.kind}: MoF {self.mof:.1f}, Edit {self.edit:.1f}, F1@50 {self.f1_50:.1f}, "
            f"{self.segment_ratio:.2f} segments for each true one"
        )


# --- temperatures -----------------------------------------------------------------------------------------------------


def fit_temperature(log_probs: Sequence[FloatArray], labels: Sequence[Labels]) -> float:
    """Return the temperature of least negative log-likelihood for clips of log_probs (T, K) and labels (T,).

    Raises DatasetError when no tick is labelled.
    """
    rows = np.concatenate(list(log_probs)).astype(np.float64)
    actions = np.concatenate(list(labels))
    rows, actions = rows[actions != NO_ACTION], actions[actions != NO_ACTION]
    if not len(actions):
        raise DatasetError(f"{len(labels)} clips hold no labelled tick; expected some to fit a temperature to")

    def loss(temperature: float) -> float:
        scaled = rows / temperature
        return float((np.logaddexp.reduce(scaled, 1) - scaled[np.arange(len(scaled)), actions]).mean())

    return float(min(TEMPERATURES, key=loss))


def fit_both_temperatures(answers: Sequence[Answers], labels: Sequence[Labels], lag_ticks: int) -> tuple[float, float]:
    """Return the temperatures of the provisional and of the lagged log-probabilities.

    Raises DatasetError when no clip is longer than the lag, or no tick is labelled.
    """
    _check_lengths(labels, lag_ticks)
    now = fit_temperature([one.log_probs for one in answers], labels)
    lagged = fit_temperature(
        [one.lagged_log_probs[lag_ticks:] for one in answers],
        [clip[: max(len(clip) - lag_ticks, 0)] for clip in labels],
    )
    return now, lagged


def _check_lengths(labels: Sequence[Labels], lag_ticks: int) -> None:
    if all(len(clip) <= lag_ticks for clip in labels):
        raise DatasetError(
            f"none of {len(labels)} validation clips is longer than the lag of {lag_ticks} ticks; expected one, for no "
            "other has confirmed labels"
        )


def calibrated(answers: Answers, temperatures: tuple[float, float]) -> Answers:
    """Return the answers with both log-probabilities divided by their temperature, and normalised again."""
    now, lagged = (
        (values / temperature - np.logaddexp.reduce(values / temperature, 1, keepdims=True)).astype(np.float32)
        for values, temperature in zip((answers.log_probs, answers.lagged_log_probs), temperatures, strict=True)
    )
    return replace(answers, log_probs=now, lagged_log_probs=lagged)


# --- the decoder ------------------------------------------------------------------------------------------------------


def best_of_each_kind(
    answers: Sequence[Answers],
    labels: Sequence[Labels],
    transcripts: Sequence[Sequence[int]],
    lag_ticks: int,
    kinds: Sequence[str] = decode.KINDS,
    priors: Priors | None = None,
) -> dict[str, Decoded]:
    """Return the decoder of each kind with the best mean of MoF, Edit and F1@50 of the confirmed labels.

    `answers` are calibrated. `priors` come from the training clips; without them they are fitted on the labels and
    transcripts given. A boundary head's evidence is fitted here, and taken only where it scores better. Raises
    ConfigError for an unknown kind, and DatasetError when no clip is longer than the lag. Every decoder carries the
    priors: following a known plan needs them, too.
    """
    _check_lengths(labels, lag_ticks)
    priors = priors or fit_priors(labels, transcripts, answers[0].log_probs.shape[1])
    found: dict[str, Decoded] = {}
    for kind in kinds:
        match kind:
            case "argmax":
                scored = iter([score_decoder(DecoderSpec("argmax"), answers, labels, lag_ticks)])
            case "hysteresis":
                scored = _score_hysteresis(answers, labels, lag_ticks)
            case "duration":
                scored = _score_duration(priors, answers, labels, lag_ticks)
            case _:
                raise ConfigError(f"decoder {kind!r} is unknown; expected one of {', '.join(decode.KINDS)}")
        best = max(tracked(scored, f"decoder: {kind}", TRIED[kind]), key=lambda decoded: decoded.score)
        found[kind] = best._replace(decoder=replace(best.decoder, priors=priors))
    return found


def best_decoder(
    kind: str,
    answers: Sequence[Answers],
    labels: Sequence[Labels],
    transcripts: Sequence[Sequence[int]],
    lag_ticks: int,
    priors: Priors | None = None,
) -> Decoded:
    """Return the best decoder of a kind; of kind "auto" of the kind that is chosen. Raises as `best_of_each_kind`."""
    kinds = CHOSEN_FROM if kind == AUTO else (kind,)
    found = best_of_each_kind(answers, labels, transcripts, lag_ticks, kinds, priors)
    return found[chosen_kind(found) if kind == AUTO else kind]


def chosen_kind(found: Mapping[str, Decoded]) -> str:
    """Return which of CHOSEN_FROM validation prefers: a later one has to be better by CLEARLY."""
    best = CHOSEN_FROM[0]
    for other in CHOSEN_FROM[1:]:
        best = other if found[other].score > found[best].score + CLEARLY else best
    return best


def score_decoder(spec: DecoderSpec, answers: Sequence[Answers], labels: Sequence[Labels], lag_ticks: int) -> Decoded:
    """Score a decoder's confirmed labels."""
    return _scored(spec, [confirmed(spec, one, lag_ticks) for one in answers], labels)


def confirmed(spec: DecoderSpec, answers: Answers, lag_ticks: int) -> NDArray[np.int64]:
    """Return the confirmed actions (T - lag,) as the segmenter decodes them."""
    return decode.decode(decode.Decoder(spec), *_rows(spec, answers, lag_ticks))


def _rows(spec: DecoderSpec, answers: Answers, lag_ticks: int) -> tuple[FloatArray, FloatArray]:
    return decode.aligned(spec, answers.lagged_log_probs, answers.boundary, lag_ticks)


def hysteresis_specs() -> Iterator[DecoderSpec]:
    """Yield the hysteresis decoders that are tried."""
    for enter, hold, smoothing in itertools.product(ENTER_PROBABILITIES, HOLDS_TICKS, SMOOTHINGS):
        yield DecoderSpec("hysteresis", enter, hold, smoothing)


def _score_hysteresis(answers: Sequence[Answers], labels: Sequence[Labels], lag_ticks: int) -> Iterator[Decoded]:
    """Yield the scored hysteresis decoders."""
    specs = list(hysteresis_specs())
    said = decode_each(specs, [_rows(specs[0], one, lag_ticks)[0] for one in answers])
    return map(_scored, specs, said, itertools.repeat(labels))


def _score_duration(
    priors: Priors, answers: Sequence[Answers], labels: Sequence[Labels], lag_ticks: int
) -> Iterator[Decoded]:
    """Yield the scored duration decoders: every temper without the boundary head, then the best temper with it."""
    best: Decoded | None = None
    for temper in TEMPERS:
        spec = DecoderSpec("duration", temper=temper, priors=priors)
        for decoded in _score_thresholds(spec, priors, answers, labels, lag_ticks):
            best = decoded if best is None or decoded.score > best.score else best
            yield decoded
    fitted = fit_boundary([one.boundary for one in answers], labels, lag_ticks)
    if best is None or fitted.gain == 0:
        return
    for share in BOUNDARY_SHARES:
        gain, offset = share * fitted.gain, share * fitted.offset
        spec = replace(
            best.decoder, boundary_gain=gain, boundary_offset=offset, boundary_delay_ticks=fitted.delay_ticks
        )
        yield from _score_thresholds(spec, priors, answers, labels, lag_ticks)


def _score_thresholds(
    spec: DecoderSpec, priors: Priors, answers: Sequence[Answers], labels: Sequence[Labels], lag_ticks: int
) -> Iterator[Decoded]:
    """Yield `spec` scored with each threshold: one run of the filter serves them all."""
    filter_ = DurationFilter(spec, priors)
    filtered = [_filtered(filter_, *_rows(spec, one, lag_ticks)) for one in answers]
    for threshold in COMMIT_PROBABILITIES:
        said = [_commit_all(probabilities, threshold) for probabilities in filtered]
        yield _scored(replace(spec, commit_probability=threshold), said, labels)


def _filtered(filter_: DurationFilter, rows: FloatArray, boundary: FloatArray) -> NDArray[np.float64]:
    """Return the filtered probabilities (T - lag, K)."""
    belief, found = None, np.empty(rows.shape)
    for tick, (row, value) in enumerate(zip(rows, boundary, strict=True)):
        belief = filter_.step(row, float(value), belief)
        found[tick] = marginals(belief)
    return found


def _commit_all(probabilities: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """Return the actions (T,) as `decode.commit` takes them one by one."""
    action, actions = NO_ACTION, np.empty(len(probabilities), np.int64)
    tops = probabilities.argmax(1)
    earned = probabilities.max(1, initial=0.0) >= threshold
    for tick, (top, enough) in enumerate(zip(tops.tolist(), earned.tolist(), strict=True)):
        if enough or action == NO_ACTION:
            action = top
        actions[tick] = action
    return actions


def _scored(spec: DecoderSpec, said: Sequence[NDArray[np.int64]], labels: Sequence[Labels]) -> Decoded:
    pairs = [Pair(np.asarray(clip)[: len(actions)], actions) for clip, actions in zip(labels, said, strict=True)]
    return Decoded(spec, mean_over_frames(pairs), edit_score(pairs), f1_pooled(pairs, 50), segment_ratio(pairs))


# --- the boundary head's evidence -------------------------------------------------------------------------------------


class BoundaryFit(NamedTuple):
    """log of how many times more probable a boundary value is at a change = gain * its log-odds + offset."""

    gain: float
    offset: float
    delay_ticks: int
    gained_nats: float  # log-likelihood of the labelled changes, above that of a value that says nothing


def fit_boundary(boundary: Sequence[FloatArray], labels: Sequence[Labels], lag_ticks: int) -> BoundaryFit:
    """Fit a logistic model of 'a new action begins at tick s' given the value of tick s + delay, delay 0..lag.

    The delay of greatest likelihood is taken. A head that says nothing, or the opposite, gets gain 0.
    """
    best = BoundaryFit(0.0, 0.0, 0, 0.0)
    for delay in range(lag_ticks + 1):
        values, changes = _changes(boundary, labels, delay)
        if not changes.any() or changes.all() or np.ptp(values) < 1e-6:
            continue
        fit = _logistic(values, changes)
        if fit[0] > 0 and fit[2] > best.gained_nats:
            best = BoundaryFit(round(fit[0], 4), round(fit[1], 4), delay, fit[2])
    return best


def _changes(
    boundary: Sequence[FloatArray], labels: Sequence[Labels], delay: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the log-odds of all clips' boundary values, and whether an action begins `delay` ticks earlier."""
    values, changes = [], []
    for clip_values, clip in zip(boundary, map(np.asarray, labels), strict=True):
        ticks = np.arange(1, len(clip) - delay)
        known = (clip[ticks] != NO_ACTION) & (clip[ticks - 1] != NO_ACTION)
        ticks = ticks[known & np.isfinite(clip_values[ticks + delay])]  # a system without boundary head says nothing
        changes.append(clip[ticks] != clip[ticks - 1])
        values.append(np.array([log_odds(float(value)) for value in clip_values[ticks + delay]]))
    return np.concatenate(values), np.concatenate(changes)


def _logistic(values: NDArray[np.float64], changes: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return slope, offset above the prior log-odds, and log-likelihood above the prior's; by Newton's method."""
    inputs = np.stack([values - values.mean(), np.ones(len(values))], 1)
    share = changes.mean()
    prior = math.log(share / (1 - share))
    weights = np.array([0.0, prior])
    for _ in range(30):
        probability = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (changes - probability) - 1e-3 * weights * (1, 0)
        curve = (inputs * (probability * (1 - probability))[:, None]).T @ inputs + 1e-3 * np.eye(2)
        weights = weights + np.clip(np.linalg.solve(curve, slope), -2, 2)
    scores = inputs @ weights
    gained = float((changes * scores - np.logaddexp(0, scores)).sum())
    gained -= float((changes * prior - np.logaddexp(0, prior)).sum())
    return float(weights[0]), float(weights[1] - weights[0] * values.mean() - prior), gained


# --- a model and its clips --------------------------------------------------------------------------------------------


def calibrate(model: CausalHal, clips: Sequence[Clip], lag_ticks: int) -> tuple[tuple[float, float], list[Answers]]:
    """Set the model's two temperatures to those of least negative log-likelihood.

    Returns them, and what the model says of the clips with them: it is run over each clip once.
    """
    import torch

    from hal_ros.train.student import logits

    found = [logits(model, clip) for clip in tracked(clips, "answers", len(clips))]
    plain = [one.at(torch.ones(2)) for one in found]
    best = fit_both_temperatures(plain, [clip.actions for clip in clips], lag_ticks)
    with torch.no_grad():
        model.temperature.copy_(torch.tensor(best))
    return best, [one.at(torch.tensor(best)) for one in found]
