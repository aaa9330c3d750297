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

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.errors import DatasetError
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.standardising import measure_columns
from hal_ros.labels.transcripts.align import most_correct
from hal_ros.labels.transcripts.durations import Durations, Placed, estimate, place, uninformed

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


@dataclass(frozen=True)
class FirstLabels:
    """Clips laid under their transcripts, by clip name."""

    hard: dict[str, NDArray[np.int64]]  # (T,)
    soft: dict[str, NDArray[np.float32]]  # (T, K); rows sum to 1
    durations: Durations  # in ticks


def first_labels(clips: Sequence[Clip], actions: int) -> FirstLabels:
    """Return labels of clips with transcripts over K actions.

    Raises DatasetError for an empty transcript, or an action outside the vocabulary.
    """
    check_transcripts(clips, actions)
    mean_segment = sum(clip.ticks for clip in clips) / sum(len(clip.transcript) for clip in clips)
    common = max(1, round(mean_segment / STEPS))
    steps = [_own_step(clip, common) for clip in clips]
    features = _features(clips, steps, max(1, round(CONTEXT * mean_segment)))
    durations = uninformed(actions, mean_segment / common)
    shares = [step / common for step in steps]
    grids = list(zip(features, clips, shares, strict=True))
    placed = [_place(np.zeros((len(x), actions)), clip, durations, share) for x, clip, share in grids]
    for number in range(ROUNDS):
        temper = min(TEMPER, FIRST_TEMPER + (TEMPER - FIRST_TEMPER) * number / (0.6 * ROUNDS))
        gaussians = _fit(features, placed, shares)
        placed = [_place(temper * _log_likelihoods(x, gaussians), clip, durations, share) for x, clip, share in grids]
        durations = estimate(actions, placed)
    return _labels_of(clips, [result.soft for result in placed], durations.scaled(common), steps)


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


def _place(scores: Array, clip: Clip, durations: Durations, share: float) -> Placed:
    """Lay a transcript over steps that are `share` of a common one; durations and lengths are in common steps."""
    placed = place(share * scores, clip.transcript, durations.scaled(1 / share))
    return replace(placed, lengths=placed.lengths * share)


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
