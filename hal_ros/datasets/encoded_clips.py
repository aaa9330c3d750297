"""Episodes in memory, before an eye has looked at them: what the step graph would be fed, tick by tick.

Dims: T ticks, C cameras, D one camera's feature, V values of all states, N channels of the encoder's map.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.arrays import FloatArray
from hal_ros.core.errors import DatasetError
from hal_ros.datasets import episodes, features
from hal_ros.datasets.look.told import read_told
from hal_ros.datasets.standardising import measure_columns

STD_FLOOR = 1e-3
"""Joints and channels that hardly vary in training are not blown up by standardising."""


@dataclass(frozen=True)
class EncodedClip:
    """A stretch of ticks that begins with the initial state."""

    name: str  # of its own among all clips of its episode
    features: tuple[NDArray[np.float16], ...]  # of each camera (T, D), may be mapped from disk
    image_valid: FloatArray  # (T, C)
    joints: FloatArray  # (T, V)
    joints_valid: FloatArray  # (T, V)
    actions: NDArray[np.int64]  # (T,) ids, NO_ACTION where nothing is annotated
    transcript: tuple[int, ...] = ()  # ids of the ordered actions; () when unknown
    annotated: bool = False  # a person annotated all of it: where `actions` say nothing, there is none
    claims: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)  # (T,) by automatic tools, as `actions`

    @property
    def ticks(self) -> int:
        """T."""
        return len(self.actions)

    def part(self, start: int, stop: int, name: str) -> EncodedClip:
        """Return ticks [start, stop) as a clip of its own; nobody knows which part of the transcript is its."""
        features = tuple(feature[start:stop] for feature in self.features)
        image_valid, joints, joints_valid = (
            rows[start:stop] for rows in (self.image_valid, self.joints, self.joints_valid)
        )
        claims = {source: claimed[start:stop] for source, claimed in self.claims.items()}
        sensors, actions = (features, image_valid, joints, joints_valid), self.actions[start:stop]
        return EncodedClip(name, *sensors, actions, annotated=self.annotated, claims=claims)


@dataclass(frozen=True)
class NormalisationStatistics:
    """Means and standard deviations of the training split, valid values alone."""

    joint_mean: FloatArray  # (V,)
    joint_std: FloatArray  # (V,)
    channel_mean: FloatArray  # (C, N): each camera's pictures have their own
    channel_std: FloatArray  # (C, N)


def load_encoded_clips(
    episode_folder: Path, encoder: Path | None, vocabulary: Sequence[str] = (), told_in: Path | None = None
) -> list[EncodedClip]:
    """Return the clips of a cached episode: one for each fresh grid in it. Without cameras there is no encoder.

    Without an annotation all actions are NO_ACTION. The transcript, by ids of `vocabulary`, stays with an episode that
    is one clip; DatasetError where it names an action outside the vocabulary. With `told_in`, the bag's folder, what
    its marks.csv tells is read too, and checked against transcript and annotation: see `datasets.look.told`.
    """
    episode = episodes.load(episode_folder)
    paths = features.cached(episode_folder, encoder, tuple(episode.images)) if encoder is not None else ()
    ticks = len(episode.stamp_ns)
    actions = np.full(ticks, NO_ACTION, np.int64) if episode.actions is None else episode.actions
    transcript = _ids(episode.transcript, vocabulary, episode.name) if vocabulary else ()
    sensors = (tuple(map(features.load, paths)), episode.image_valid, episode.joints, episode.joints_valid)
    whole = EncodedClip(episode.name, *sensors, actions, transcript)
    if told_in is not None:
        told = read_told(told_in, episode, vocabulary)
        whole = replace(whole, actions=told.actions, claims=told.claims, annotated=told.whole)
    starts = [*np.flatnonzero(episode.fresh).tolist(), ticks]
    if len(starts) == 2:
        return [whole]
    parts = enumerate(itertools.pairwise(starts), 1)
    return [whole.part(start, stop, f"{episode.name}#{count}") for count, (start, stop) in parts]


def _ids(transcript: Sequence[str], vocabulary: Sequence[str], name: str) -> tuple[int, ...]:
    unknown = sorted(set(transcript) - set(vocabulary))
    if unknown:
        raise DatasetError(
            f"episode {name}: its transcript names {', '.join(unknown)}; expected {', '.join(vocabulary)}"
        )
    return tuple(vocabulary.index(action) for action in transcript)


def measure(encoded_clips: Sequence[EncodedClip], channels: int) -> NormalisationStatistics:
    """Return means and standard deviations over all valid values; a column that is never valid has mean 0, spread 1."""
    joint_mean, joint_std = measure_values(
        np.concatenate([encoded.joints for encoded in encoded_clips]),
        np.concatenate([encoded.joints_valid for encoded in encoded_clips]),
    )
    cameras = encoded_clips[0].image_valid.shape[1]
    moments = [_measure_channels(encoded_clips, camera, channels) for camera in range(cameras)]
    channel_mean, channel_std = np.array(moments).reshape(cameras, 2, channels).swapaxes(0, 1)
    return NormalisationStatistics(
        joint_mean,
        joint_std,
        channel_mean.astype(np.float32),
        np.maximum(channel_std, STD_FLOOR).astype(np.float32),
    )


def measure_values(values: NDArray[np.float32], valid: NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation (P,) of values (T, P) where valid (T, P) or (T, 1); without any 0 and 1."""
    found = measure_columns(values, valid)
    std = np.where(found.known, np.maximum(found.std, STD_FLOOR), 1)
    return found.mean.astype(np.float32), std.astype(np.float32)


def _measure_channels(
    encoded_clips: Sequence[EncodedClip], camera: int, channels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of one camera over every tenth tick: neighbours look alike. In one pass, since features are read from disk."""
    total, squares, count = np.zeros(channels), np.zeros(channels), 0
    for encoded in encoded_clips:
        lit = encoded.image_valid[::10, camera] > 0
        rows = encoded.features[camera][::10][lit].reshape(-1, channels).astype(np.float64)
        total += rows.sum(0)
        squares += np.square(rows).sum(0)
        count += len(rows)
    mean = total / max(count, 1)
    return mean, np.sqrt(np.maximum(squares / max(count, 1) - np.square(mean), 0))
