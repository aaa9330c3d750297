"""Clips and their targets into padded batches: whole clips, or random windows with the loss on their last ticks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hal_ros.baselines.sequence_loss import WindowBatch
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.arrays import FloatArray
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.standardising import Part, measure_parts
from hal_ros.train.clips import Supervised, probabilities

SMALLEST_STD = 1e-3
"""Columns that vary less in training, flags mostly, are centred and not scaled: a change must not look enormous."""
ROWS_AT_ONCE = 4096


class Sampling(NamedTuple):
    """How clips are cut: whole, in pieces of at most `piece_ticks`; or into windows, unless these have 0 ticks."""

    batch: int
    piece_ticks: int
    window_ticks: int
    window_stride_ticks: int  # one window for so many ticks of a clip
    loss_ticks: int  # of each window, at its end; 0: all of them


class Piece(NamedTuple):
    """Ticks [start, stop) of a clip; those from `counts` on enter the loss."""

    clip: int
    start: int
    stop: int
    counts: int


def measure(clips: Sequence[Clip]) -> tuple[FloatArray, FloatArray]:
    """Return means and standard deviations (F,) of what is not missing; a column without values has 0 and 1."""
    found = measure_parts(lambda: _parts(clips))
    std = np.where(found.std < SMALLEST_STD, 1.0, found.std)
    return found.mean.astype(np.float32), std.astype(np.float32)


def _parts(clips: Sequence[Clip]) -> Iterator[Part]:
    """Yield a few rows at a time: a memory-mapped clip may be longer than memory."""
    for clip in clips:
        for start in range(0, clip.ticks, ROWS_AT_ONCE):
            rows = np.asarray(clip.inputs[start : start + ROWS_AT_ONCE], np.float64)
            yield rows, np.isfinite(rows)


def check(supervised: Supervised, actions: int) -> Supervised:
    """Return the clips that have a target. Raises DatasetError when a target does not fit, or none says anything."""
    clips = [clip for clip in supervised.clips if clip.name in supervised.targets and clip.ticks]
    known = 0
    for clip in clips:
        target = supervised.targets[clip.name]
        expected = (clip.ticks,) if target.ndim == 1 else (clip.ticks, actions)
        if target.shape != expected:
            raise DatasetError(f"clip {clip.name}: target has shape {target.shape}; expected {expected}")
        labels = supervised.labels(clip)
        labels = labels[labels != NO_ACTION]
        if len(labels) and not 0 <= labels.min() <= labels.max() < actions:
            ids = f"{labels.min()} to {labels.max()}"
            raise DatasetError(f"clip {clip.name}: target has ids {ids}; expected 0 to {actions - 1}")
        known += len(labels)
    if not known:
        raise DatasetError(f"none of {len(supervised.clips)} clips has a tick with a target; expected some")
    return replace(supervised, clips=clips)


def plan(lengths: Sequence[int], sampling: Sampling, random: np.random.Generator) -> list[list[Piece]]:
    """Return an epoch's batches of pieces of similar lengths, in random order."""
    cut = _windows if sampling.window_ticks else _pieces
    pieces = [piece for clip, ticks in enumerate(lengths) for piece in cut(clip, ticks, sampling, random)]
    # a little disorder in the lengths, so that not always the same pieces meet
    keys = np.array([piece.stop - piece.start for piece in pieces]) * random.uniform(0.9, 1.1, len(pieces))
    ordered = [pieces[index] for index in np.argsort(keys, kind="stable")]
    batches = [ordered[start : start + sampling.batch] for start in range(0, len(ordered), sampling.batch)]
    return [batches[index] for index in random.permutation(len(batches))]


def _pieces(clip: int, ticks: int, sampling: Sampling, random: np.random.Generator) -> list[Piece]:
    """Whole, or cut at a random place and then evenly: each piece is a stream that begins there."""
    longest = sampling.piece_ticks
    first = int(random.integers(1, longest + 1)) if ticks > longest else longest
    edges = [0, *range(first, ticks, longest), ticks]
    return [Piece(clip, start, stop, start) for start, stop in itertools.pairwise(edges) if stop > start]


def _windows(clip: int, ticks: int, sampling: Sampling, random: np.random.Generator) -> list[Piece]:
    """Windows that end everywhere equally often; at a clip's beginning they are as short as the stream is then."""
    stride = sampling.window_stride_ticks
    ends = [*range(int(random.integers(1, stride + 1)), ticks + 1, stride)] or [int(random.integers(1, ticks + 1))]
    loss_ticks = sampling.loss_ticks or sampling.window_ticks
    return [Piece(clip, max(0, end - sampling.window_ticks), end, max(0, end - loss_ticks)) for end in ends]


def progress_of(labels: NDArray[np.int64]) -> FloatArray:
    """Return which share of its segment is over at each tick's end, (T,) in (0, 1]; 0 where nobody knows the action."""
    found = np.zeros(len(labels), np.float32)
    edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    for start, stop in itertools.pairwise(edges):
        if stop > start and labels[start] != NO_ACTION:
            found[start:stop] = np.arange(1, stop - start + 1) / (stop - start)
    return found


def order_of(labels: NDArray[np.int64]) -> list[int]:
    """Return the actions of labels (T,) in their order, ticks without one left out."""
    known = labels[labels != NO_ACTION]
    return known[np.flatnonzero(np.diff(known, prepend=NO_ACTION))].tolist()


def assemble(
    pieces: Sequence[Piece],
    supervised: Supervised,
    actions: int,
    lag_ticks: int,
    progress: Mapping[str, FloatArray] | None = None,
) -> WindowBatch:
    """Read the pieces of the clips into one batch; `progress` (T,) of each clip by name, as far as it is wanted."""
    longest = max(piece.stop - piece.start for piece in pieces)
    inputs = np.zeros((len(pieces), longest, supervised.clips[0].inputs.shape[1]), np.float32)
    mask = np.zeros((len(pieces), longest), np.float32)
    targets = np.zeros((len(pieces), longest, 2, actions), np.float32)
    weight = np.zeros((len(pieces), longest, 2), np.float32)
    over = np.zeros((len(pieces), longest), np.float32)
    for row, (index, start, stop, counts) in enumerate(pieces):
        clip, ticks = supervised.clips[index], stop - start
        inputs[row, :ticks] = clip.inputs[start:stop]
        mask[row, :ticks] = 1
        target, part = supervised.targets[clip.name], slice(start, stop)
        less = supervised.weights[clip.name][part] if clip.name in supervised.weights else None
        chances, known = probabilities(target[part], actions, less)
        for head, lag in enumerate((0, lag_ticks)):
            told = max(ticks - lag, 0)  # a piece shorter than the lag says nothing of the past
            targets[row, ticks - told : ticks, head] = chances[:told]
            weight[row, ticks - told : ticks, head] = known[:told]
        weight[row, : max(counts - start, 0)] = 0
        if progress is not None:
            over[row, :ticks] = progress[clip.name][start:stop]
    return WindowBatch(*map(torch.from_numpy, (inputs, mask, targets, weight, over)))
