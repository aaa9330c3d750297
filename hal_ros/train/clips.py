"""What the sequence models are trained on: clips whose columns the eyes have filled, and what is right to answer.

Columns of a clip of C eyes: [attended, 0 without image (C * E) | image_valid (C) | state values, 0 where invalid (V) |
joints_valid (V)]. Columns of a clip without cameras, of a robot or from a folder of feature vectors: the V values as
they are, NaN where missing.

What an eye attends to depends on the states, so that a clip holds it in all forms that training needs: as it was, with
all states masked, and, where a robot has several states, with each of these masked. The last ones cost S times C * E
half precision numbers a tick; masking only the trunk's values would cost nothing, but then the trunk would first meet
the eyes of a robot without its gripper's state, say, when that is lost.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.arrays import FloatArray
from hal_ros.core.errors import DatasetError
from hal_ros.core.streams.columns import NO_GROUPS, ValueGroups
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.encoded_clips import EncodedClip
from hal_ros.fit.device import device_of, moved, on_device, to_numpy, training_device
from hal_ros.nn.joint_guided_attention import Eye
from hal_ros.outside import outputs
from hal_ros.outside.arrays import read_arrays
from hal_ros.outside.progress import tracked
from hal_ros.outside.reading import MIB, Expected, reading

ATTEND_TICKS = 64
"""Ticks that the eye looks at in one go: their grids stay in the processor's cache."""
LOOKING = "the eye over all ticks"
DIGEST_TICKS = 50
ATTENDED = Expected(DatasetError, "what eyes attended to; delete it, it is made anew", 65536 * MIB)
NO_WEIGHTS: Mapping[str, NDArray[Any]] = {}
"""Every known tick counts in full."""


@dataclass(frozen=True)
class Rows:
    """Some ticks of a clip, column by column, float32."""

    attended: FloatArray  # (T, C * E)
    image_valid: FloatArray  # (T, C)
    joints: FloatArray  # (T, V)
    joints_valid: FloatArray  # (T, V)


class Places(NamedTuple):
    """Which columns of a clip of the eyes hold what."""

    attended: slice
    image_valid: slice
    joints: slice
    joints_valid: slice


class Columns(NamedTuple):
    """What the columns of clips mean."""

    attended: int  # E of each eye, 0 where there is none
    values: int  # V
    groups: ValueGroups = NO_GROUPS  # which of the V go missing together; empty for other people's vectors
    cameras: int = 1  # C, where there are eyes

    @property
    def eyes(self) -> int:
        """How many eyes there are: C, 0 without cameras."""
        return self.cameras if self.attended else 0

    @property
    def width(self) -> int:
        """F."""
        return self.eyes * (self.attended + 1) + 2 * self.values if self.eyes else self.values

    def split(self, inputs: NDArray[Any]) -> Rows:
        """Return the columns of inputs (T, F). Raises DatasetError where F is another one."""
        if inputs.shape[1] != self.width:
            raise DatasetError(f"inputs have {inputs.shape[1]} columns; expected {self.width}")
        with np.errstate(over="ignore"):  # what single precision does not hold is missing
            rows = np.array(inputs, np.float32)  # a copy: clips may be mapped read-only, which torch warns of
        if not self.eyes:
            valid = np.isfinite(rows)
            return Rows(rows[:, :0], rows[:, :0], np.where(valid, rows, 0), valid.astype(np.float32))
        return Rows(*(rows[:, at] for at in self.places))

    @property
    def places(self) -> Places:
        """Where the columns of a clip of the eyes lie."""
        widths = (self.eyes * self.attended, self.eyes, self.values, self.values)
        edges = [0, *itertools.accumulate(widths)]
        return Places(*itertools.starmap(slice, itertools.pairwise(edges)))

    def join(self, rows: Rows) -> FloatArray:
        """Return the inputs (T, F) of a clip: undo `split`."""
        if not self.eyes:
            return np.where(rows.joints_valid > 0, rows.joints, np.float32(np.nan))
        return np.concatenate([rows.attended, rows.image_valid, rows.joints, rows.joints_valid], 1, dtype=np.float32)


@dataclass(frozen=True)
class Supervised:
    """Clips and their targets, by the clip's name; a clip without a target is not trained on."""

    clips: Sequence[Clip]
    targets: Mapping[str, NDArray[Any]]  # (T,) action ids, NO_ACTION where unknown, or (T, K) probabilities
    joints_masked: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # see AttendedClips
    states_masked: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # likewise
    groups: ValueGroups = NO_GROUPS  # which state values go missing together
    weights: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # (T,) within [0, 1], where ticks count less

    def labels(self, clip: Clip) -> NDArray[np.int64]:
        """Return the clip's target as ids (T,), NO_ACTION where a tick counts nothing."""
        target, weight = self.targets[clip.name], self.weights.get(clip.name)
        ids = target.astype(np.int64) if target.ndim == 1 else target.argmax(1)
        return ids if weight is None else np.where(weight > 0, ids, NO_ACTION)


@dataclass(frozen=True)
class AttendedClips:
    """Clips of the eyes, and by name what these attend to when states are gone, as far as there are eyes and states."""

    clips: list[Clip]
    joints_masked: dict[str, FloatArray]  # (T, C * E) without any state
    states_masked: dict[str, NDArray[np.float16]] = field(default_factory=dict)  # (S, T, C * E) without one of several

    def supervised(
        self,
        targets: Mapping[str, NDArray[Any]],
        groups: ValueGroups,
        weights: Mapping[str, NDArray[Any]] = NO_WEIGHTS,
    ) -> Supervised:
        """Return the clips with targets by name."""
        return Supervised(self.clips, targets, self.joints_masked, self.states_masked, groups, weights)


@dataclass(frozen=True)
class Data:
    """What a sequence model is trained on and chosen by, but for its targets."""

    actions: int  # K
    columns: Columns
    training: AttendedClips
    validation: AttendedClips


def annotated(attended: AttendedClips, groups: ValueGroups = NO_GROUPS) -> Supervised:
    """Teach the annotations."""
    return attended.supervised({clip.name: clip.actions for clip in attended.clips}, groups)


def probabilities(
    target: NDArray[Any], actions: int, weight: NDArray[Any] | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return a target as probabilities (T, K), and how much each tick counts (T,): 0 where it is unknown.

    `weight` (T,), if given, is that of known ticks; without it they count 1.
    """
    if target.ndim == 2:
        rows, counts = target.astype(np.float32), np.ones(len(target), np.float32)
    else:
        known = target != NO_ACTION
        rows, counts = np.zeros((len(target), actions), np.float32), known.astype(np.float32)
        rows[np.flatnonzero(known), target[known]] = 1
    return rows, counts if weight is None else counts * weight.astype(np.float32)


# --- looking ----------------------------------------------------------------------------------------------------------


def columns_of(eyes: Sequence[Eye], groups: ValueGroups) -> Columns:
    """Return the columns of these eyes' clips; without eyes those of clips of state values alone."""
    width = eyes[0].config.width if eyes else 0
    return Columns(width, len(groups.names), groups, len(eyes))


def attended_clips(
    eyes: Sequence[Eye], encoded_clips: Sequence[EncodedClip], groups: ValueGroups, cache: Path | None = None
) -> AttendedClips:
    """Run each camera's eye over every tick once: as it is, with all states masked, and each of several states masked.

    With a `cache` folder the answer is kept there, under a hash of the eyes and of the clips.
    """
    columns = columns_of(eyes, groups)
    if not eyes:
        nothing = np.zeros((0, 0), np.float32)
        return AttendedClips([_clip(columns, encoded, nothing) for encoded in encoded_clips], {})
    path = cache / f"attended-{_digest(eyes, encoded_clips, groups)}.npz" if cache is not None else None
    views = _load(path) if path is not None and path.exists() else _all_views(eyes, encoded_clips, groups)
    if path is not None and not path.exists():
        _keep(path, views)
    ends = np.cumsum([encoded.ticks for encoded in encoded_clips])[:-1]
    names = [encoded.name for encoded in encoded_clips]
    parts = zip(encoded_clips, np.split(views.attended, ends), strict=True)
    return AttendedClips(
        [_clip(columns, encoded, part) for encoded, part in parts],
        {} if views.joints_masked is None else dict(zip(names, np.split(views.joints_masked, ends), strict=True)),
        {} if views.states_masked is None else dict(zip(names, np.split(views.states_masked, ends, 1), strict=True)),
    )


@dataclass(frozen=True)
class _Views:
    """What eyes attend to; without states, or with one alone, there is less to mask."""

    attended: FloatArray  # (T, C * E)
    joints_masked: FloatArray | None = None  # (T, C * E)
    states_masked: NDArray[np.float16] | None = None  # (S, T, C * E)


def _digest(eyes: Sequence[Eye], encoded_clips: Sequence[EncodedClip], groups: ValueGroups) -> str:
    """Return a hash of the eyes and the clips; of their long features some rows stand for all."""
    digest = hashlib.sha256(repr([eye.config for eye in eyes] + list(groups.states)).encode())
    for name, tensor in (item for eye in eyes for item in eye.state_dict().items()):
        digest.update(name.encode() + to_numpy(tensor).tobytes())
    for encoded in encoded_clips:
        digest.update(encoded.name.encode())
        some = (feature[::DIGEST_TICKS] for feature in encoded.features)
        for column in (*some, encoded.image_valid, encoded.joints, encoded.joints_valid):
            digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:16]


def _load(path: Path) -> _Views:
    stored = read_arrays(path, ATTENDED)
    with reading(path, ATTENDED):
        return _Views(**stored)


def _keep(path: Path, views: _Views) -> None:
    columns = {name: view for name, view in vars(views).items() if view is not None}
    outputs.write_whole(path, lambda file: np.savez(file, **columns))


def _all_views(eyes: Sequence[Eye], encoded_clips: Sequence[EncodedClip], groups: ValueGroups) -> _Views:
    """Return the views of all clips behind each other."""
    with on_device(training_device(), *eyes):
        found = [_attend(eyes, encoded, groups) for encoded in tracked(encoded_clips, LOOKING, len(encoded_clips))]
    attended = np.concatenate([view[0] for view in found])
    joints_masked = np.concatenate([view[1] for view in found]) if groups.state_count else None
    if groups.state_count < 2:
        return _Views(attended, joints_masked)
    return _Views(attended, joints_masked, np.concatenate([view[2:] for view in found], 1).astype(np.float16))


def _attend(eyes: Sequence[Eye], encoded: EncodedClip, groups: ValueGroups) -> FloatArray:
    """Return (M, T, C * E): as it is, then under each of the masks; zeros where there is no image."""
    masks = _masks(groups)
    views = [_attend_with(eye, encoded, camera, masks) for camera, eye in enumerate(eyes)]
    return np.concatenate(views, 2)


def _masks(groups: ValueGroups) -> list[FloatArray]:
    """Return flags (V,) to be multiplied by: all of them, without any state, and without each one of several."""
    states = np.array(groups.states)
    masks = [np.ones(len(states), bool)]
    if groups.state_count:
        masks.append(np.zeros(len(states), bool))
    if groups.state_count > 1:
        masks += [states != state for state in range(groups.state_count)]
    return [mask.astype(np.float32) for mask in masks]


@torch.no_grad()
def _attend_with(eye: Eye, encoded: EncodedClip, camera: int, masks: Sequence[FloatArray]) -> FloatArray:
    """Return what one camera's eye attends to under each mask, (M, T, E)."""
    eye.eval()
    views = np.zeros((len(masks), encoded.ticks, eye.config.width), np.float32)
    lit = encoded.image_valid[:, camera, None]
    if not lit.any():
        return views
    for ticks in _slices(encoded.ticks):
        arrays = (
            encoded.features[camera][ticks].astype(np.float32),
            encoded.joints[ticks],
            encoded.joints_valid[ticks],
        )
        feature, joints, valid = moved([torch.from_numpy(array) for array in arrays], device_of(eye))
        cells = eye.encode(feature)
        for view, mask in zip(views, masks, strict=True):
            unmasked = valid * moved(torch.from_numpy(mask), valid.device)
            view[ticks] = to_numpy(eye.attend(cells, joints[None], unmasked[None])[0])
    return views * lit


def _slices(ticks: int) -> Iterator[slice]:
    return (slice(start, min(start + ATTEND_TICKS, ticks)) for start in range(0, ticks, ATTEND_TICKS))


def _clip(columns: Columns, encoded: EncodedClip, attended: FloatArray) -> Clip:
    joints = np.where(encoded.joints_valid > 0, encoded.joints, 0)
    inputs = columns.join(Rows(attended, encoded.image_valid, joints, encoded.joints_valid))
    return Clip(encoded.name, inputs, encoded.actions, encoded.transcript)
