"""Episodes into batches: parallel streams that carry their state from chunk to chunk, as they do on the robot.

An epoch plays every track once. Each of B streams plays its tracks one after the other in chunks of C ticks; `carried`
tells which streams continue. Some tracks are entered in the middle, inputs are held, cameras and joints go missing:
the model is trained on what it streams. All randomness comes from (seed, epoch), so an epoch can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hal_ros.core.types import NO_ACTION
from hal_ros.model.hal import Inputs
from hal_ros.model.losses import Targets
from hal_ros.train.config import BatchConfig
from hal_ros.train.tracks import Track

Random = np.random.Generator


class Chunk(NamedTuple):
    """Ticks [start, stop) of a track that is entered at `entry`."""

    track: Track
    entry: int
    start: int
    stop: int


class Batch(NamedTuple):
    """B streams of C ticks; `carried` (B,) is 1 where a stream goes on from the batch before."""

    inputs: Inputs
    targets: Targets
    carried: Tensor


def plan(tracks: Sequence[Track], config: BatchConfig, random: Random) -> list[list[Chunk]]:
    """Deal the tracks to B streams of nearly equal length, each cut into chunks, in random order."""
    pieces = [_cut(track, config, random) for track in tracks]
    streams: list[list[list[Chunk]]] = [[] for _ in range(min(config.streams, len(pieces)))]
    for piece in sorted(pieces, key=len, reverse=True):  # the longest first, each to the shortest stream
        min(streams, key=lambda stream: sum(map(len, stream))).append(piece)
    for stream in streams:
        random.shuffle(stream)  # type: ignore[arg-type]
    return [[chunk for piece in stream for chunk in piece] for stream in streams]


def _cut(track: Track, config: BatchConfig, random: Random) -> list[Chunk]:
    late = track.ticks > 1 and random.random() < config.late_start
    entry = int(random.integers(0, track.ticks // 2)) if late else 0
    starts = range(entry, track.ticks, config.chunk_ticks)
    return [Chunk(track, entry, start, min(start + config.chunk_ticks, track.ticks)) for start in starts]


def batches(
    streams: Sequence[Sequence[Chunk]], config: BatchConfig, lag_ticks: int, max_held_ticks: int, random: Random
) -> Iterator[Batch]:
    """Yield the batches of one epoch's plan; a stream that has ended before the others weighs nothing."""
    for index in range(max(map(len, streams))):
        chunks = [stream[index] if index < len(stream) else None for stream in streams]
        rows = [_row(chunk, config, lag_ticks, max_held_ticks, random) for chunk in chunks if chunk is not None]
        yield _stack(chunks, rows)


class _Row(NamedTuple):
    """One chunk's arrays, C ticks long; the ticks behind its end weigh nothing."""

    feature: np.ndarray
    image_valid: np.ndarray
    joints: np.ndarray
    joints_valid: np.ndarray
    actions: np.ndarray
    weight: np.ndarray
    lagged_actions: np.ndarray
    lagged_weight: np.ndarray


def _row(chunk: Chunk, config: BatchConfig, lag_ticks: int, max_held_ticks: int, random: Random) -> _Row:
    track, ticks = chunk.track, config.chunk_ticks
    now = np.minimum(np.arange(chunk.start, chunk.start + ticks), chunk.stop - 1)
    alive = np.arange(ticks) < chunk.stop - chunk.start
    source = _with_holds(now, config.held, max_held_ticks, random)
    image_valid, joints_valid = _with_gaps(track.image_valid[source], track.joints_valid[source], config, random)
    lagged = now - lag_ticks
    known = alive & (lagged >= chunk.entry)
    lagged = np.maximum(lagged, 0)
    seen = config.modalities != "joints"
    feature = track.feature[source] if seen else np.zeros((ticks, track.feature.shape[1]), np.float16)
    return _Row(
        feature,
        image_valid,
        track.joints[source],
        joints_valid,
        *_targets(track.actions[now], alive),
        *_targets(track.actions[lagged], known),
    )


def _targets(actions: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ids that index safely, and weights that leave out what is not annotated."""
    annotated = actions != NO_ACTION
    return np.where(annotated, actions, 0), (counts & annotated).astype(np.float32)


def _with_holds(now: np.ndarray, share: float, longest: int, random: Random) -> np.ndarray:
    """Repeat the input before a gap through the gap, as the segmenter does when images are missing."""
    source = now.copy()
    for start in np.flatnonzero(random.random(len(now)) < share):
        stop = start + 1 + int(random.integers(0, max(longest, 1)))
        source[max(start, 1) : stop] = source[max(start, 1) - 1]
    return source


def _with_gaps(
    image_valid: np.ndarray, joints_valid: np.ndarray, config: BatchConfig, random: Random
) -> tuple[np.ndarray, np.ndarray]:
    """Take away camera, all joints or single joints for a stretch, or one modality for good."""
    image_valid, joints_valid = image_valid.copy(), joints_valid.copy()
    if random.random() < config.blind:
        image_valid[_stretch(len(image_valid), random)] = 0
    if random.random() < config.numb:
        joints_valid[_stretch(len(joints_valid), random)] = 0
    joint_count = joints_valid.shape[1] // 3
    for joint in np.flatnonzero(random.random(joint_count) < config.joint_dropout):
        joints_valid[_stretch(len(joints_valid), random), joint::joint_count] = 0
    if config.modalities == "joints":
        image_valid[:] = 0
    if config.modalities == "camera":
        joints_valid[:] = 0
    return image_valid, joints_valid


def _stretch(ticks: int, random: Random) -> slice:
    """Half of the stretches last for the whole chunk, the others begin and end anywhere in it."""
    if random.random() < 0.5:
        return slice(None)
    start, stop = sorted(random.integers(0, ticks + 1, 2).tolist())
    return slice(start, stop)


def _stack(chunks: Sequence[Chunk | None], rows: Sequence[_Row]) -> Batch:
    """Stack the rows; streams that have ended get zeros."""
    at = [index for index, chunk in enumerate(chunks) if chunk is not None]
    columns = []
    for values in zip(*rows, strict=True):
        dtype = torch.int64 if values[0].dtype == np.int64 else torch.float32
        column = torch.zeros((len(chunks), *values[0].shape), dtype=dtype)
        for index, value in zip(at, values, strict=True):
            column[index] = torch.from_numpy(value)
        columns.append(column)
    feature, image_valid, joints, joints_valid, *targets = columns
    carried = torch.tensor([float(chunk is not None and chunk.start > chunk.entry) for chunk in chunks])
    return Batch(Inputs(feature, image_valid[..., None], joints, joints_valid), Targets(*targets), carried)
