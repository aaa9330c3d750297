"""The teacher's probabilities laid under transcripts, by whichever aligner the settings name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.labels.teacher.config import TeacherConfig
from hal_ros.labels.transcripts.align import AlignConfig, align, most_correct, posterior
from hal_ros.labels.transcripts.durations import Durations, Placed, place

PUBLISHED = AlignConfig()
MOST_STEPS = 2000
"""Explicit durations cost time with the square of the steps: a longer clip is aligned on a coarser grid."""
LEAST_STEPS = 4
"""Steps that a segment of mean length keeps on it."""
LEAST_SHARE = 1e-3
PINNED_LOG = -30.0
"""Log-probability of any other action than the one that somebody has told of a tick."""


@dataclass(frozen=True)
class Told:
    """What is known of a clip, or of its steps, before anything is aligned."""

    transcript: Sequence[int]
    pins: NDArray[np.int64] | None = None  # (N,) what a person said, NO_ACTION where nobody did; None: nowhere
    claims: NDArray[np.float64] | None = None  # (N, K) log-evidence of what tools said; None: they are silent

    @property
    def pinned(self) -> NDArray[np.int64]:
        """The steps that are pinned, (P,)."""
        return np.empty(0, np.int64) if self.pins is None else np.flatnonzero(self.pins != NO_ACTION)

    def at_steps(self, ticks: int, width: int) -> Told:
        """Return what is known of steps of `width` ticks: what all told ticks of a step agree on, and mean claims."""
        starts = np.arange(0, ticks, width)
        pins, claims = self.pins, self.claims
        if pins is not None:
            least = np.minimum.reduceat(pins, starts)  # NO_ACTION is above every id
            most = np.maximum.reduceat(np.where(pins == NO_ACTION, -1, pins), starts)
            pins = np.where(least == most, least, NO_ACTION)
        if claims is not None:
            claims = np.add.reduceat(claims, starts, 0) / np.diff(starts, append=ticks)[:, None]
        return Told(self.transcript, pins, claims)


@dataclass(frozen=True)
class Known:
    """What is known of clips beside their transcripts, tick by tick, by clip name; nothing of clips that are not in."""

    pins: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)  # (T,)
    claims: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)  # (T, K)

    def told(self, name: str, transcript: Sequence[int]) -> Told:
        """Return what is known of one clip."""
        return Told(transcript, self.pins.get(name), self.claims.get(name))


NOTHING_KNOWN = Known()


@dataclass(frozen=True)
class ActionStatistics:
    """What alignments so far have shown of the actions."""

    frequency: NDArray[np.float64]  # (K,) share of all steps
    durations: Durations  # in steps


@dataclass(frozen=True)
class ClipAlignment:
    """One clip under its transcript, step by step."""

    soft: NDArray[np.float32]  # (N, K); rows sum to 1
    hard: NDArray[np.int64]  # (N,), in the transcript's order
    placed: Placed  # segments and their lengths in steps


def align_clip(
    config: TeacherConfig,
    log_probs: NDArray[np.float32],
    told: Told,
    statistics: ActionStatistics,
    published: AlignConfig = PUBLISHED,
) -> ClipAlignment:
    """Lay a transcript over log-probabilities (N, K), through what is pinned. Raises DatasetError as `align` does."""
    log_probs = log_probs if told.claims is None else _normal(log_probs + told.claims).astype(np.float32)
    likelihood = log_probs - config.prior_share * np.log(statistics.frequency + LEAST_SHARE)
    if config.aligner == "durations":
        placed = place_coarsely(config.temper * likelihood, told, statistics.durations)
        return ClipAlignment(placed.soft.astype(np.float32), _most_correct(placed.soft, told), placed)
    if config.aligner == "posterior":
        normal = pinned_log_probs(_normal(likelihood), told)
        soft = with_pins(posterior(normal, told.transcript, temper=config.temper), told)
        return _alignment(soft, _most_correct(soft, told))
    hard = align(pinned_log_probs(log_probs, told), told.transcript, published).labels
    hard = _hard_with_pins(hard, told)
    return _alignment(np.eye(log_probs.shape[1])[hard], hard)


def _normal(logs: NDArray[np.floating]) -> NDArray[np.floating]:
    return logs - np.log(np.exp(logs).sum(1, keepdims=True))


def _alignment(soft: NDArray[np.float64], hard: NDArray[np.int64]) -> ClipAlignment:
    starts = np.flatnonzero(np.diff(hard, prepend=-1))
    lengths = np.diff(starts, append=len(hard)).astype(np.float64)
    return ClipAlignment(soft.astype(np.float32), hard, Placed(soft, hard[starts], lengths))


def place_coarsely(scores: NDArray[np.floating], told: Told, durations: Durations) -> Placed:
    """Do what `place` does, with scores (N, K) and lengths in steps, on a coarser grid where N is large."""
    steps = len(scores)
    merged = max(1, min(-(-steps // MOST_STEPS), steps // (LEAST_STEPS * len(told.transcript))))
    scores = pinned_log_probs(scores, told)
    if merged == 1:
        placed = place(np.asarray(scores, np.float64), told.transcript, durations)
    else:
        starts = np.arange(0, steps, merged)
        coarse = place(np.add.reduceat(scores, starts, 0, np.float64), told.transcript, durations.scaled(1 / merged))
        placed = Placed(np.repeat(coarse.soft, merged, 0)[:steps], coarse.actions, coarse.lengths * merged)
    return replace(placed, soft=with_pins(placed.soft, told))


# --- pins -------------------------------------------------------------------------------------------------------------


def pinned_log_probs(log_probs: NDArray[np.floating], told: Told) -> NDArray[np.floating]:
    """Return log-probabilities (N, K) that are all but sure of what is pinned; the same where nothing is."""
    if not len(at := told.pinned):
        return log_probs
    assert told.pins is not None
    rows = np.array(log_probs)
    rows[at] = PINNED_LOG
    rows[at, told.pins[at]] = 0.0
    return rows


def with_pins(soft: NDArray[Any], told: Told) -> NDArray[Any]:
    """Return probabilities (N, K) that are sure of what is pinned; the same where nothing is."""
    if not len(at := told.pinned):
        return soft
    assert told.pins is not None
    rows = np.array(soft)
    rows[at] = 0
    rows[at, told.pins[at]] = 1
    return rows


def _most_correct(soft: NDArray[np.floating], told: Told) -> NDArray[np.int64]:
    return _hard_with_pins(most_correct(soft, told.transcript).labels, told)


def _hard_with_pins(hard: NDArray[np.int64], told: Told) -> NDArray[np.int64]:
    """Return labels (N,) that are what is pinned."""
    return hard if told.pins is None else np.where(told.pins == NO_ACTION, hard, told.pins)
