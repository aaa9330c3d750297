"""The teacher's probabilities laid under transcripts, by whichever aligner the settings name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hal_ros.datasets.clips import Clip
from hal_ros.labels.teacher.config import TeacherConfig
from hal_ros.labels.transcripts.align import AlignConfig, align, fit_into, most_correct, posterior
from hal_ros.labels.transcripts.durations import Durations, Placed, place
from hal_ros.labels.transcripts.pins import Allowed, Pins, allowed_actions, constrained, on_steps

PUBLISHED = AlignConfig()
MOST_STEPS = 2000
"""Explicit durations cost time with the square of the steps: a longer clip is aligned on a coarser grid."""
LEAST_STEPS = 4
"""Steps that a segment of mean length keeps on it."""
LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class Told:
    """What is known of a clip, or of its steps, before anything is aligned."""

    transcript: Sequence[int]
    allowed: Allowed | None = None  # (N, K): what a person left open; None: all of it
    claims: NDArray[np.float64] | None = None  # (N, K): log-evidence of what tools said; None: they are silent

    def at_steps(self, width: int) -> Told:
        """Return what is known of steps of `width` ticks: what their ticks may be, and mean claims."""
        allowed, claims = self.allowed, self.claims
        if allowed is not None:
            steps, segments = -(-len(allowed) // width), fit_into(self.transcript, len(allowed))[0]
            allowed = on_steps(allowed, segments, width) if len(segments) <= steps else None
        if claims is not None:
            starts = np.arange(0, len(claims), width)
            claims = np.add.reduceat(claims, starts, 0) / np.diff(starts, append=len(claims))[:, None]
        return Told(self.transcript, allowed, claims)


@dataclass(frozen=True)
class Known:
    """What is known of clips beside their transcripts, tick by tick, by clip name; nothing of clips that are not in."""

    pins: Pins = field(default_factory=dict)
    claims: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)  # (T, K): log-evidence of tools

    def told(self, clip: Clip, actions: int) -> Told:
        """Return what is known of one clip over K actions."""
        pins = self.pins.get(clip.name)
        allowed = None if pins is None else allowed_actions(pins, actions)
        return Told(clip.transcript, allowed, self.claims.get(clip.name))


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
    allowed, transcript = told.allowed, told.transcript
    if config.aligner == "durations":
        placed = place_coarsely(config.temper * likelihood, transcript, statistics.durations, allowed)
        hard = most_correct(placed.soft, transcript, allowed).labels
        return ClipAlignment(placed.soft.astype(np.float32), hard, placed)
    if config.aligner == "posterior":
        soft = posterior(_normal(likelihood), transcript, temper=config.temper, allowed=allowed)
        return _alignment(soft, most_correct(soft, transcript, allowed).labels)
    hard = align(log_probs, transcript, published, allowed=allowed).labels
    return _alignment(np.eye(log_probs.shape[1])[hard], hard)


def _normal(logs: NDArray[np.floating]) -> NDArray[np.floating]:
    return logs - np.log(np.exp(logs).sum(1, keepdims=True))


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
    coarse = None if allowed is None else on_steps(allowed, fit_into(transcript, steps)[0], merged)
    summed = np.add.reduceat(scores, np.arange(0, steps, merged), 0, np.float64)
    placed = place(summed, transcript, durations.scaled(1 / merged), coarse)
    soft = np.repeat(placed.soft, merged, 0)[:steps]
    if allowed is not None:
        soft = constrained(soft, allowed, placed.actions)
    return Placed(soft, placed.actions, placed.lengths * merged)
