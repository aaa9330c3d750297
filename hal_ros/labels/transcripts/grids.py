"""Clips on a coarse grid of about `STEPS` steps a segment: what each step looks like, and what it may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from hal_ros.datasets.clips import Clip
from hal_ros.datasets.standardising import measure_columns
from hal_ros.labels.transcripts.pins import Allowed, Pins, allowed_actions, on_steps

Array = NDArray[np.float64]
STEPS = {1: 7, 2: 10}
"""Steps of the coarse grid in a segment of mean length, by how many states an action has."""
LEAST_STEPS = 2
"""Steps that every clip keeps for each of its own segments, as long as it has the ticks."""
CONTEXT = 0.15
"""How far before and after a tick it is looked as well, as a share of the mean segment."""
RAW_DIMS = 64
"""Longer features are cut to their first principal components, before the context is put beside them."""
DIMS, PICTURE_DIMS = 24, 96
"""And after that: joints and other states to fewer than features of pictures, which have more columns than RAW_DIMS."""
FIT_ROWS = 20_000
STILL = 0.05
"""A change this small, in standard deviations, counts as no change."""


@dataclass(frozen=True)
class ClipGrid:
    """A clip in steps of its own."""

    clip: Clip
    features: Array  # (N, d)
    step: int  # ticks
    share: float  # of a common step
    allowed: Allowed | None  # (N, K * states), of a clip with pins
    order: tuple[int, ...]  # the states it passes through (`learned_actions`)
    states: int  # of an action

    def __len__(self) -> int:
        """N."""
        return len(self.features)


@dataclass(frozen=True)
class Grids:
    """All clips, and what their steps have in common."""

    of_clips: Sequence[ClipGrid]
    step: int  # ticks of a common step
    segment: float  # steps of the mean segment
    states: int = 1  # of an action


def make_grids(clips: Sequence[Clip], actions: int, pins: Pins, states: int = 1) -> Grids:
    """Return the grids of clips with transcripts over K actions of 1 or 2 states; `pins` have been checked."""
    mean_segment = sum(clip.ticks for clip in clips) / sum(len(clip.transcript) for clip in clips)
    common = max(1, round(mean_segment / STEPS[states]))
    steps = [_own_step(clip, common) for clip in clips]
    features = _features(clips, steps, max(1, round(CONTEXT * mean_segment)))
    grids = []
    for clip, rows, step in zip(clips, features, steps, strict=True):
        order = order_of_states(clip.transcript, states, len(rows))
        allowed = None
        if clip.name in pins:
            allowed = on_steps(np.repeat(allowed_actions(pins[clip.name], actions), states, 1), order, step)
        grids.append(ClipGrid(clip, rows, step, step / common, allowed, order, states))
    return Grids(grids, common, mean_segment / common, states)


def order_of_states(transcript: Sequence[int], states: int, steps: int) -> tuple[int, ...]:
    """Return the states that a clip passes through; where it has too few steps for all, each action's first alone.

    State q of action a is a * states + q.
    """
    actions = [action for action, _ in groupby(transcript)]
    shown = states if len(actions) * states <= steps else 1
    return tuple(action * states + state for action in actions for state in range(shown))


def _own_step(clip: Clip, common: int) -> int:
    """Return the ticks between two steps of this clip."""
    segments = sum(1 for _ in groupby(clip.transcript))
    return max(1, min(common, clip.ticks // (LEAST_STEPS * segments)))


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
    most = PICTURE_DIMS if sample.shape[1] > RAW_DIMS else DIMS
    axes = _axes((everything - centre) / scale, most, whiten=True)
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
