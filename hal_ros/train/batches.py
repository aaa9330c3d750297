"""Clips into batches: parallel streams that carry their state from chunk to chunk, as they do on the robot.

An epoch plays every clip once. Each of B streams plays its clips one after the other in chunks of C ticks; `carried`
tells which streams continue. Some clips are entered in the middle, inputs are held, cameras and states go missing, one
and all: the model is trained on what it streams. All randomness comes from (seed, epoch), so an epoch can be repeated.
A clip may be played at another speed and with other values, in one way for as long as it lasts, as other people and
calibrations would; nothing is drawn for what is not asked for, so that trainings without it stay as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.arrays import FloatArray
from hal_ros.nn.hal import Inputs
from hal_ros.nn.losses import TargetBatch
from hal_ros.train.clips import Columns, Rows, Supervised, probabilities
from hal_ros.train.config import BatchConfig

Random = np.random.Generator
FASTEST = 2.0
"""Clips are played at most so many times as fast, or as slow."""


@dataclass(frozen=True)
class Masked:
    """What the eyes attend to when states are gone, (T, C * E), as far as that is known."""

    joints: NDArray[Any] | None = None  # without any state
    states: NDArray[Any] | None = None  # (S, T, C * E): without one of several

    def at(self, ticks: NDArray[Any]) -> Masked:
        """Return it at some ticks."""
        joints = None if self.joints is None else self.joints[ticks]
        return Masked(joints, None if self.states is None else self.states[:, ticks])


@dataclass(frozen=True)
class TrainingClip:
    """One clip and its targets; its inputs may stay on disk and are read chunk by chunk."""

    inputs: NDArray[Any]  # (T, F)
    masked: Masked
    target: NDArray[Any]  # (T,) ids or (T, K) probabilities
    change: FloatArray  # (T,) how surely an action begins at this tick
    weight: NDArray[Any] | None = None  # (T,) within [0, 1]; None: every known tick counts 1

    @property
    def ticks(self) -> int:
        """T."""
        return len(self.target)


@dataclass(frozen=True)
class Played:
    """How a clip is played: which of its ticks come, and two generators' seeds for what happens to its values."""

    ticks: NDArray[np.int64]  # (T',) of the clip's T
    seed: int | None = None  # of the clip's offsets and factors; None: its values are left alone

    def changes(self, change: FloatArray) -> FloatArray:
        """Return (T',) how surely an action begins at each played tick, of `change` (T,): none is lost by speed."""
        if len(self.ticks) == len(change):
            return change
        begun = np.cumsum(change)[self.ticks]
        return np.clip(np.diff(begun, prepend=begun[0]), 0, 1).astype(np.float32)


class Chunk(NamedTuple):
    """Ticks [start, stop) of a clip that is entered at `entry`, as it is played."""

    clip: TrainingClip
    entry: int
    start: int
    stop: int
    played: Played


@dataclass(frozen=True)
class StreamBatch:
    """B streams of C ticks; `carried` (B,) is 1 where a stream goes on from the batch before."""

    inputs: Inputs
    targets: TargetBatch
    carried: Tensor


def training_clips(supervised: Supervised) -> list[TrainingClip]:
    """Return what the loop plays: the clips that have a target."""
    return [
        TrainingClip(
            clip.inputs,
            Masked(supervised.joints_masked.get(clip.name), supervised.states_masked.get(clip.name)),
            supervised.targets[clip.name],
            changes(supervised.targets[clip.name]),
            supervised.weights.get(clip.name),
        )
        for clip in supervised.clips
        if clip.name in supervised.targets and clip.ticks
    ]


def changes(target: NDArray[Any]) -> FloatArray:
    """Return how surely an action begins at each tick, (T,) in [0, 1]: the distance from the tick before, 0 at first.

    A boundary that is spread over several ticks counts 1 in their sum. Nothing begins beside an unknown tick.
    """
    if target.ndim == 1:
        change = (target[1:] != target[:-1]) & (target[1:] != NO_ACTION) & (target[:-1] != NO_ACTION)
    else:
        change = 0.5 * np.abs(np.diff(target, axis=0)).sum(1)
    return np.concatenate([[0], change]).astype(np.float32)


def plan(supervised: Sequence[TrainingClip], config: BatchConfig, random: Random) -> list[list[Chunk]]:
    """Deal the clips to B streams of nearly equal length, each cut into chunks, in random order."""
    pieces = [_cut(clip, config, random) for clip in supervised]
    streams: list[list[list[Chunk]]] = [[] for _ in range(min(config.streams, len(pieces)))]
    for piece in sorted(pieces, key=len, reverse=True):  # the longest first, each to the shortest stream
        min(streams, key=lambda stream: sum(map(len, stream))).append(piece)
    for stream in streams:
        random.shuffle(stream)  # type: ignore[arg-type]
    return [[chunk for piece in stream for chunk in piece] for stream in streams]


def _cut(clip: TrainingClip, config: BatchConfig, random: Random) -> list[Chunk]:
    late = clip.ticks > 1 and random.random() < config.late_start
    as_played = played(clip.ticks, config, random)
    ticks = len(as_played.ticks)
    entry = int(random.integers(0, max(ticks // 2, 1))) if late else 0
    starts = range(entry, ticks, config.chunk_ticks)
    return [Chunk(clip, entry, start, min(start + config.chunk_ticks, ticks), as_played) for start in starts]


@dataclass(frozen=True)
class BatchSpec:
    """What batches are made of, beside `BatchConfig`."""

    columns: Columns
    actions: int  # K
    lag_ticks: int
    max_held_ticks: int
    spread: FloatArray | None = None  # (V,) of the state values, where they are to be changed


def batches(
    streams: Sequence[Sequence[Chunk]], config: BatchConfig, stream: BatchSpec, random: Random
) -> Iterator[StreamBatch]:
    """Yield the batches of one epoch's plan; a stream that has ended before the others weighs nothing."""
    for index in range(max(map(len, streams))):
        chunks = [chunks[index] if index < len(chunks) else None for chunks in streams]
        rows = [_row(chunk, config, stream, random) for chunk in chunks if chunk is not None]
        yield _stack(chunks, rows)


@dataclass(frozen=True)
class _StreamRow:
    """One chunk's arrays, C ticks long, named as in Inputs and TargetBatch; the ticks behind its end weigh nothing."""

    attended: FloatArray
    image_valid: FloatArray
    joints: FloatArray
    joints_valid: FloatArray
    actions: FloatArray
    weight: FloatArray
    lagged_actions: FloatArray
    lagged_weight: FloatArray
    change: FloatArray


def _row(chunk: Chunk, config: BatchConfig, stream: BatchSpec, random: Random) -> _StreamRow:
    clip, ticks, place = chunk.clip, config.chunk_ticks, chunk.played.ticks
    now = np.minimum(np.arange(chunk.start, chunk.start + ticks), chunk.stop - 1)
    alive = np.arange(ticks) < chunk.stop - chunk.start
    held = _with_holds(now, config.held, stream.max_held_ticks, random)
    source = place[held]
    rows = stream.columns.split(clip.inputs[source])
    if stream.spread is not None:  # what is held repeats its noise as well
        fresh = stream.columns.split(clip.inputs[place[now]]).joints
        rows = replace(rows, joints=noisy(fresh, chunk.played, stream.spread, config, random)[held - now[0]])
    rows = _with_gaps(rows, clip.masked.at(source), stream.columns, config, random)
    lagged = now - stream.lag_ticks
    known = alive & (lagged >= chunk.entry)
    lagged = np.maximum(lagged, 0)
    change = chunk.played.changes(clip.change)[now] * (now > chunk.entry)
    now_due, lagged_due = _target(clip, place[now], alive, stream), _target(clip, place[lagged], known, stream)
    return _StreamRow(rows.attended, rows.image_valid, rows.joints, rows.joints_valid, *now_due, *lagged_due, change)


def _target(
    clip: TrainingClip, ticks: np.ndarray, counts: np.ndarray, stream: BatchSpec
) -> tuple[FloatArray, FloatArray]:
    """Return probabilities (C, K) and weights (C,)."""
    weight = None if clip.weight is None else clip.weight[ticks]
    target, known = probabilities(clip.target[ticks], stream.actions, weight)
    return target, known * counts


def _with_holds(now: np.ndarray, share: float, longest: int, random: Random) -> np.ndarray:
    """Repeat the input before a gap through the gap, as the segmenter does when images are missing."""
    source = now.copy()
    for start in np.flatnonzero(random.random(len(now)) < share):
        stop = start + 1 + int(random.integers(0, max(longest, 1)))
        source[max(start, 1) : stop] = source[max(start, 1) - 1]
    return source


def _with_gaps(rows: Rows, masked: Masked, columns: Columns, config: BatchConfig, random: Random) -> Rows:
    """Take away cameras and states for a stretch, all or one of several, and names with all their fields.

    What has cameras alone, or states alone, can't live without them all. Without a state the eyes see something else.
    """
    attended, image_valid, joints_valid = rows.attended.copy(), rows.image_valid.copy(), rows.joints_valid.copy()
    ticks, groups, all_gone = len(attended), columns.groups, slice(0)
    both = bool(columns.eyes and columns.values)
    if both and random.random() < config.camera_masked:
        image_valid[_stretch(ticks, random)] = 0
    if both and masked.joints is not None and random.random() < config.joints_masked:
        all_gone = _stretch(ticks, random)
    names = groups.name_count if columns.eyes or groups.name_count > 1 else 0
    for name in np.flatnonzero(random.random(names) < config.joint_dropout):
        joints_valid[_stretch(ticks, random), groups.of_name(name)] = 0
    if columns.eyes > 1 and random.random() < config.stream_masked:
        camera = random.integers(columns.eyes)
        image_valid[_stretch(ticks, random), camera] = 0
    if groups.state_count > 1 and random.random() < config.stream_masked:
        state, gone = int(random.integers(groups.state_count)), _stretch(ticks, random)
        joints_valid[gone, groups.of_state(state)] = 0
        if masked.states is not None:
            attended[gone] = masked.states[state, gone]
    joints_valid[all_gone] = 0
    if masked.joints is not None:
        attended[all_gone] = masked.joints[all_gone]
    return Rows(attended, image_valid, rows.joints, joints_valid)


def _stretch(ticks: int, random: Random) -> slice:
    """Half of the stretches last for the whole chunk, the others begin and end anywhere in it."""
    if random.random() < 0.5:
        return slice(None)
    start, stop = sorted(random.integers(0, ticks + 1, 2).tolist())
    return slice(start, stop)


def _stack(chunks: Sequence[Chunk | None], rows: Sequence[_StreamRow]) -> StreamBatch:
    """Stack the rows; streams that have ended get zeros."""
    at = [index for index, chunk in enumerate(chunks) if chunk is not None]
    columns: dict[str, Tensor] = {}
    for name in (field.name for field in fields(_StreamRow)):
        values = [getattr(row, name) for row in rows]
        column = np.zeros((len(chunks), *values[0].shape), np.float32)
        column[at] = values
        columns[name] = torch.from_numpy(column)
    inputs, targets = ({name: columns[name] for name in kind._fields} for kind in (Inputs, TargetBatch))
    carried = torch.tensor([float(chunk is not None and chunk.start > chunk.entry) for chunk in chunks])
    return StreamBatch(Inputs(**inputs), TargetBatch(**targets), carried)


# --- other people, calibrations and sensors ---------------------------------------------------------------------------


def played(ticks: int, config: BatchConfig, random: Random) -> Played:
    """Draw how a clip of so many ticks is played."""
    place = np.arange(ticks)
    if config.warp:
        speed = np.clip(np.exp(config.warp * random.standard_normal()), 1 / FASTEST, FASTEST)
        place = np.minimum((np.arange(max(1, round(ticks / speed))) * speed).round().astype(np.int64), ticks - 1)
    seed = int(random.integers(2**62)) if config.offset or config.scale else None
    return Played(place, seed)


def noisy(joints: FloatArray, how: Played, spread: FloatArray, config: BatchConfig, random: Random) -> FloatArray:
    """Return values (C, V) with the clip's offsets and factors, and noise; `spread` (V,): standard deviations."""
    if how.seed is not None:
        of_clip = np.random.default_rng(how.seed)
        factor = np.exp(config.scale * of_clip.standard_normal(len(spread)))
        offset = config.offset * spread * of_clip.standard_normal(len(spread))
        joints = (joints * factor + offset).astype(np.float32)
    if config.noise:
        joints = (joints + config.noise * spread * random.standard_normal(joints.shape)).astype(np.float32)
    return joints
