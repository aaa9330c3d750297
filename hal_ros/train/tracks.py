"""Training material in memory: what the step graph would be fed, tick by tick, and what was right to answer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.errors import DatasetError
from hal_ros.core.types import NO_ACTION, FloatArray
from hal_ros.data import episodes, features


class Track(NamedTuple):
    """A stretch of ticks that begins with the initial state."""

    name: str
    feature: NDArray[np.float16]  # (T, D), may be mapped from disk
    image_valid: FloatArray  # (T,)
    joints: FloatArray  # (T, 3J)
    joints_valid: FloatArray  # (T, 3J)
    actions: NDArray[np.int64]  # (T,) ids, NO_ACTION where nothing is annotated

    @property
    def ticks(self) -> int:
        """T."""
        return len(self.actions)

    def part(self, start: int, stop: int) -> Track:
        """Return ticks [start, stop) as a track of its own."""
        return Track(self.name, *(column[start:stop] for column in self[1:]))  # type: ignore[arg-type]


class Standard(NamedTuple):
    """Means and spreads of the training split, valid values alone."""

    joint_mean: FloatArray  # (3J,)
    joint_spread: FloatArray
    channel_mean: FloatArray  # (C,)
    channel_spread: FloatArray


def load_tracks(episode_folder: Path, encoder: Path) -> list[Track]:
    """Return the tracks of a cached, annotated episode: one for each fresh grid in it."""
    episode = episodes.load(episode_folder)
    if episode.actions is None:
        raise DatasetError(f"episode {episode.name}: has no {episodes.ANNOTATION}; expected annotated episodes")
    feature = features.load(features.cached(episode_folder, encoder))
    starts = [*np.flatnonzero(episode.fresh), len(episode.stamp_ns)]
    whole = Track(episode.name, feature, episode.image_valid, episode.joints, episode.joints_valid, episode.actions)
    return [whole.part(int(start), int(stop)) for start, stop in itertools.pairwise(starts)]


def measure(tracks: Sequence[Track], channels: int) -> Standard:
    """Return means and standard deviations over all valid values; a joint that is never valid has mean 0, spread 1."""
    joints = np.concatenate([track.joints for track in tracks]).astype(np.float64)
    valid = np.concatenate([track.joints_valid for track in tracks])
    count = np.maximum(valid.sum(0), 1)
    mean = (joints * valid).sum(0) / count
    spread = np.sqrt((np.square(joints - mean) * valid).sum(0) / count)
    spread[valid.sum(0) == 0] = 1
    channel_mean, channel_spread = _measure_channels(tracks, channels)
    floor = 1e-3
    return Standard(
        mean.astype(np.float32),
        np.maximum(spread, floor).astype(np.float32),
        channel_mean.astype(np.float32),
        np.maximum(channel_spread, floor).astype(np.float32),
    )


def _measure_channels(tracks: Sequence[Track], channels: int) -> tuple[NDArray, NDArray]:
    """Over every tenth tick: neighbours look alike, and the whole would not fit into memory."""
    total, squares, count = np.zeros(channels), np.zeros(channels), 0
    for track in tracks:
        rows = track.feature[::10][track.image_valid[::10] > 0].reshape(-1, channels).astype(np.float64)
        total += rows.sum(0)
        squares += np.square(rows).sum(0)
        count += len(rows)
    mean = total / max(count, 1)
    return mean, np.sqrt(np.maximum(squares / max(count, 1) - np.square(mean), 0))


def action_counts(tracks: Sequence[Track], actions: int) -> NDArray[np.int64]:
    """Return how many annotated ticks each action has, (K,)."""
    labels = np.concatenate([track.actions for track in tracks])
    return np.bincount(labels[labels != NO_ACTION], minlength=actions)
