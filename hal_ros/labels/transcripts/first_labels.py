"""The first labels, before there is any model: Gaussian actions with learned durations, fitted to transcripts by EM.

From a flat start (every segmentation in the transcript's order, weighed by length alone) each round estimates a
Gaussian for each action and how long it lasts, and lays the transcripts over the clips again. A simple model that
averages over all clips finds the changes that a network, which can also fit wrong labels, does not (docs/log.md).

Everything runs on a coarse grid of about `STEPS` steps a segment, so the cost doesn't depend on the tick rate. A clip
whose segments are much shorter than the others' has a finer grid of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.standardising import measure_columns
from hal_ros.labels.transcripts.align import fit_into, most_correct
from hal_ros.labels.transcripts.durations import Durations, Placed, estimate, place, uninformed
from hal_ros.labels.transcripts.pins import (
    Allowed,
    Pins,
    allowed_actions,
    checked_pins,
    constrained,
    on_steps,
    order_of,
)

Array = NDArray[np.float64]
STEPS = 7
"""Steps of the coarse grid in a segment of mean length."""
LEAST_STEPS = 2
"""Steps that every clip keeps for each of its own segments, as long as it has the ticks."""
CONTEXT = 0.15
"""How far before and after a tick it is looked as well, as a share of the mean segment."""
ROUNDS = 12
FIRST_TEMPER, TEMPER = 0.04, 0.12
"""Evidence is tempered, for neighbouring steps tell the same; less and less so while the Gaussians take shape."""
SHARED = 0.1
"""Share of the common covariance in each action's own; more where an action has few steps."""
RAW_DIMS, DIMS = 64, 96
"""Longer features are cut to their first principal components, before and after the context is put beside them."""
FIT_ROWS = 20_000
LEAST_VARIANCE = 1e-3
STILL = 0.05
"""A change this small, in standard deviations, counts as no change."""
NO_PINS: Pins = MappingProxyType({})


@dataclass(frozen=True)
class FirstLabels:
    """Clips laid under their transcripts, by clip name.

    Where nothing tells a clip's order (pinned in part, no transcript), unpinned ticks are NO_ACTION and rows of zeros.
    """

    hard: dict[str, NDArray[np.int64]]  # (T,)
    soft: dict[str, NDArray[np.float32]]  # (T, K); rows sum to 1
    durations: Durations  # in ticks


def first_labels(clips: Sequence[Clip], actions: int, pins: Pins = NO_PINS) -> FirstLabels:
    """Return labels of clips with transcripts over K actions, which pass through the `pins`, known ticks by clip name.

    A clip that is pinned throughout needs no transcript. One that is pinned in part and has none keeps its pins, and
    nothing is said of its other ticks. Raises DatasetError for an empty transcript without pins, an action outside the
    vocabulary, and pins that contradict the transcript.
    """
    known = _known(clips, actions, pins)
    ordered = [_ordered(clip, known) for clip in clips]
    laid = [clip for clip in ordered if clip.transcript or clip.name not in known]
    check_transcripts(laid, actions)
    mean_segment = sum(clip.ticks for clip in laid) / sum(len(clip.transcript) for clip in laid)
    common = max(1, round(mean_segment / STEPS))
    steps = [_own_step(clip, common) for clip in laid]
    features = _features(laid, steps, max(1, round(CONTEXT * mean_segment)))
    durations = uninformed(actions, mean_segment / common)
    shares = [step / common for step in steps]
    grids = [
        _Grid(x, clip, share, _allowed_steps(clip, known, actions, step))
        for x, clip, step, share in zip(features, laid, steps, shares, strict=True)
    ]
    placed = [_place(np.zeros((len(grid.features), actions)), grid, durations) for grid in grids]
    for number in range(ROUNDS):
        temper = min(TEMPER, FIRST_TEMPER + (TEMPER - FIRST_TEMPER) * number / (0.6 * ROUNDS))
        gaussians = _fit(features, placed, shares)
        placed = [_place(temper * _log_likelihoods(grid.features, gaussians), grid, durations) for grid in grids]
        durations = estimate(actions, placed)
    found = _labels_of(laid, [result.soft for result in placed], durations.scaled(common), steps)
    return _through_pins(found, ordered, known, actions)


def _known(clips: Sequence[Clip], actions: int, pins: Pins) -> dict[str, NDArray[np.int64]]:
    """Return the pins of these clips, checked; DatasetError for one of another name."""
    named = {clip.name: clip for clip in clips}
    if strangers := sorted(pins.keys() - named.keys()):
        raise DatasetError(f"known ticks of {strangers[0]}, which is none of {len(named)} clips; expected clips' names")
    checked = {name: checked_pins(named[name], known, actions) for name, known in pins.items()}
    return {name: known for name, known in checked.items() if not named[name].transcript or (known != NO_ACTION).any()}


def _ordered(clip: Clip, known: Pins) -> Clip:
    """Return the clip with a transcript, if it has one or is known throughout."""
    if clip.transcript or clip.name not in known:
        return clip
    return replace(clip, transcript=order_of(known[clip.name]))


def _allowed_steps(clip: Clip, known: Pins, actions: int, step: int) -> Allowed | None:
    """Return what the steps of a clip with pins may be, (ceil(T / step), K); None for one without."""
    if clip.name not in known:
        return None
    segments = [action for action, _ in groupby(clip.transcript)]
    return on_steps(allowed_actions(known[clip.name], actions), segments, step)


def _through_pins(found: FirstLabels, clips: Sequence[Clip], known: Pins, actions: int) -> FirstLabels:
    """Return labels that hold at every pinned tick, where those of the steps may have cut corners."""
    hard, soft = dict(found.hard), dict(found.soft)
    for clip in clips:
        if clip.name not in known:
            continue
        pinned, allowed = known[clip.name], allowed_actions(known[clip.name], actions)
        if clip.transcript:
            segments = fit_into(clip.transcript, clip.ticks)[0]
            kept = constrained(soft[clip.name], allowed, segments)
            soft[clip.name] = kept.astype(np.float32)
            hard[clip.name] = most_correct(kept, clip.transcript, allowed).labels
        else:
            hard[clip.name] = pinned.copy()
            soft[clip.name] = np.where((pinned == NO_ACTION)[:, None], 0.0, allowed).astype(np.float32)
    return FirstLabels(hard, soft, found.durations)


def check_transcripts(clips: Sequence[Clip], actions: int) -> None:
    """Raise DatasetError for a clip that can't be laid under its transcript."""
    if not clips:
        raise DatasetError("there is no clip to learn from; expected at least one")
    for clip in clips:
        if not clip.transcript:
            raise DatasetError(f"clip {clip.name} has an empty transcript; expected at least one action")
        if wrong := [action for action in clip.transcript if not 0 <= action < actions]:
            raise DatasetError(f"clip {clip.name}: transcript holds action {wrong[0]}; expected ids below {actions}")
        if not clip.ticks:
            raise DatasetError(f"clip {clip.name} has no ticks; expected at least one")


def _own_step(clip: Clip, common: int) -> int:
    """Return the ticks between two steps of this clip."""
    segments = sum(1 for _ in groupby(clip.transcript))
    return max(1, min(common, clip.ticks // (LEAST_STEPS * segments)))


@dataclass(frozen=True)
class _Grid:
    """A clip in steps of its own."""

    features: Array  # (N, d)
    clip: Clip
    share: float  # of a common step
    allowed: Allowed | None  # (N, K)


def _place(scores: Array, grid: _Grid, durations: Durations) -> Placed:
    """Lay a transcript over steps; durations and lengths are in common steps."""
    placed = place(grid.share * scores, grid.clip.transcript, durations.scaled(1 / grid.share), grid.allowed)
    return replace(placed, lengths=placed.lengths * grid.share)


def _labels_of(
    clips: Sequence[Clip], coarse: Sequence[Array], durations: Durations, steps: Sequence[int]
) -> FirstLabels:
    """Return labels for every tick from posteriors (ceil(T / step), K), each repeated `step` times."""
    hard, soft = {}, {}
    for clip, posterior, step in zip(clips, coarse, steps, strict=True):
        aligned = most_correct(posterior, clip.transcript).labels
        hard[clip.name] = np.repeat(aligned, step)[: clip.ticks]
        soft[clip.name] = np.repeat(posterior.astype(np.float32), step, 0)[: clip.ticks]
    return FirstLabels(hard, soft, durations)


# --- Gaussians --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Gaussians:
    mean: Array  # (K, d)
    whitening: Array  # (K, d, d)
    log_scale: Array  # (K,)


def _fit(features: Sequence[Array], placed: Sequence[Placed], shares: Sequence[float]) -> _Gaussians:
    x = np.concatenate(features)
    share = np.concatenate([size * result.soft for size, result in zip(shares, placed, strict=True)])
    count = share.sum(0)
    dims = x.shape[1]
    mean = share.T @ x / np.maximum(count, 1e-9)[:, None]
    own = np.stack([(x * weight[:, None]).T @ x for weight in share.T]) / np.maximum(count, 1e-9)[:, None, None]
    own -= mean[:, :, None] * mean[:, None, :]
    common = np.tensordot(count, own, 1) / count.sum()
    shared = np.maximum(SHARED, dims / np.maximum(count + dims, 1e-9))[:, None, None]
    covariance = (1 - shared) * own + shared * common + LEAST_VARIANCE * np.eye(dims)
    whitening = np.linalg.cholesky(np.linalg.inv(covariance))
    return _Gaussians(mean, whitening, np.log(np.diagonal(whitening, axis1=1, axis2=2)).sum(1))


def _log_likelihoods(x: Array, gaussians: _Gaussians) -> Array:
    """Return (T, K) up to a constant."""
    white = np.stack([(x - m) @ w for m, w in zip(gaussians.mean, gaussians.whitening, strict=True)], 1)
    return gaussians.log_scale - 0.5 * np.square(white).sum(-1)


# --- features ---------------------------------------------------------------------------------------------------------


def _features(clips: Sequence[Clip], steps: Sequence[int], context: int) -> list[Array]:
    """Return (ceil(T / step), d) for each clip: standardised, with context and log-change, decorrelated."""
    sample = _sample(clips)
    found = measure_columns(sample, np.isfinite(sample))
    mean = found.mean
    std = np.where(found.std > 1e-6 * (1 + np.abs(mean)), found.std, np.inf)  # a constant says nothing

    def standard(rows: NDArray[np.floating]) -> Array:
        rows = np.asarray(rows, np.float64)
        return np.clip(np.where(np.isfinite(rows), (rows - mean) / std, 0), -5, 5)

    axes = _axes(standard(sample), RAW_DIMS) if sample.shape[1] > RAW_DIMS else np.eye(sample.shape[1])
    wide = [_widened(standard(clip.inputs) @ axes, step, context) for clip, step in zip(clips, steps, strict=True)]
    everything = np.concatenate(wide)
    centre, scale = everything.mean(0), everything.std(0) + 1e-6
    axes = _axes((everything - centre) / scale, DIMS, whiten=True)
    return [(rows - centre) / scale @ axes for rows in wide]


def _sample(clips: Sequence[Clip]) -> Array:
    """Return every n-th tick of all clips, at most about FIT_ROWS of them."""
    stride = max(1, sum(clip.ticks for clip in clips) // FIT_ROWS)
    return np.concatenate([np.asarray(clip.inputs[::stride], np.float64) for clip in clips])


def _widened(rows: Array, step: int, context: int) -> Array:
    """Return the middle tick of each step: itself, before, after, and how fast everything changes there."""
    last = len(rows) - 1
    at = np.fromiter(_middles(len(rows), step), np.int64)
    before, after = (rows[np.clip(at + offset, 0, last)] for offset in (-context, context))
    change = rows[np.minimum(at + 1, last)] - rows[np.maximum(at - 1, 0)]
    return np.concatenate([rows[at], before, after, np.log(STILL + np.abs(change))], 1)


def _middles(ticks: int, step: int) -> Iterator[int]:
    return (min(start + step // 2, ticks - 1) for start in range(0, ticks, step))


def _axes(rows: Array, most: int, whiten: bool = False) -> Array:
    """Return the principal axes (d, n) of centred rows; the weakest thousandth of variance is left out.

    A single row varies along none.
    """
    width = rows.shape[1]
    variance, axes = np.linalg.eigh(np.cov(rows.T).reshape(width, width) if len(rows) > 1 else np.zeros((width, width)))
    order = np.argsort(-variance)[:most]
    order = order[variance[order] > 1e-3 * variance.max(initial=1e-9)]
    axes = axes[:, order]
    return axes / np.sqrt(variance[order]) if whiten else axes
