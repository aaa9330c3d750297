"""The teacher's probabilities laid under transcripts, by whichever aligner the settings name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal_ros.labels.teacher.config import TeacherConfig
from hal_ros.labels.transcripts.align import AlignConfig, align, fit_into, most_correct, posterior
from hal_ros.labels.transcripts.durations import Durations, Placed, place
from hal_ros.labels.transcripts.pins import Allowed, constrained, on_steps

PUBLISHED = AlignConfig()
MOST_STEPS = 2000
"""Explicit durations cost time with the square of the steps: a longer clip is aligned on a coarser grid."""
LEAST_STEPS = 4
"""Steps that a segment of mean length keeps on it."""
LEAST_SHARE = 1e-3


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
    transcript: Sequence[int],
    statistics: ActionStatistics,
    published: AlignConfig = PUBLISHED,
    allowed: Allowed | None = None,
) -> ClipAlignment:
    """Lay a transcript over log-probabilities (N, K), through what is `allowed` (N, K) by known ticks.

    Raises DatasetError as `align` does.
    """
    likelihood = log_probs - config.prior_share * np.log(statistics.frequency + LEAST_SHARE)
    if config.aligner == "durations":
        placed = place_coarsely(config.temper * likelihood, transcript, statistics.durations, allowed)
        hard = most_correct(placed.soft, transcript, allowed).labels
        return ClipAlignment(placed.soft.astype(np.float32), hard, placed)
    normal = likelihood - np.log(np.exp(likelihood).sum(1, keepdims=True))
    if config.aligner == "posterior":
        soft = posterior(normal, transcript, temper=config.temper, allowed=allowed)
        return _alignment(soft, most_correct(soft, transcript, allowed).labels)
    hard = align(log_probs, transcript, published, allowed=allowed).labels
    return _alignment(np.eye(log_probs.shape[1])[hard], hard)


def _alignment(soft: NDArray[np.float64], hard: NDArray[np.int64]) -> ClipAlignment:
    starts = np.flatnonzero(np.diff(hard, prepend=-1))
    lengths = np.diff(starts, append=len(hard)).astype(np.float64)
    return ClipAlignment(soft.astype(np.float32), hard, Placed(soft, hard[starts], lengths))


def place_coarsely(
    scores: NDArray[np.floating], transcript: Sequence[int], durations: Durations, allowed: Allowed | None = None
) -> Placed:
    """Do what `place` does, with scores (N, K) and lengths in steps, on a coarser grid where N is large.

    There too what is `allowed` (N, K) is kept at each of the N steps.
    """
    steps = len(scores)
    merged = max(1, min(-(-steps // MOST_STEPS), steps // (LEAST_STEPS * len(transcript))))
    if merged == 1:
        return place(np.asarray(scores, np.float64), transcript, durations, allowed)
    starts = np.arange(0, steps, merged)
    coarse = None if allowed is None else on_steps(allowed, fit_into(transcript, steps)[0], merged)
    summed = np.add.reduceat(scores, starts, 0, np.float64)
    placed = place(summed, transcript, durations.scaled(1 / merged), coarse)
    soft = np.repeat(placed.soft, merged, 0)[:steps]
    if allowed is not None:
        soft = constrained(soft, allowed, placed.actions)
    return Placed(soft, placed.actions, placed.lengths * merged)
