"""What the sequence models are trained on: clips whose columns the eye has filled already, and what is right to answer.

Columns of a clip of the eye: [attended, 0 without image (E) | image_valid (1) | joints, 0 where invalid (P) |
joints_valid (P)]. Columns of a clip from a folder of feature vectors: the P values as they are, NaN where missing.
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
from hal_ros.core.proprio import VALUES_PER_JOINT
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.encoded_clips import EncodedClip
from hal_ros.nn.joint_guided_attention import Eye

ATTEND_TICKS = 64
"""Ticks that the eye looks at in one go: their grids stay in the processor's cache."""
DIGEST_TICKS = 50


@dataclass(frozen=True)
class Rows:
    """Some ticks of a clip, column by column, float32."""

    attended: FloatArray  # (T, E)
    image_valid: FloatArray  # (T,)
    joints: FloatArray  # (T, P)
    joints_valid: FloatArray  # (T, P)


class Places(NamedTuple):
    """Which columns of a clip of the eye hold what."""

    attended: slice
    image_valid: slice
    joints: slice
    joints_valid: slice


class Columns(NamedTuple):
    """What the columns of clips mean."""

    attended: int  # E, 0 where there is no eye
    values: int  # P
    joints: int = 0  # J, where the values are positions, velocities and efforts of joints; else 0

    @property
    def width(self) -> int:
        """F."""
        return self.attended + 1 + 2 * self.values if self.attended else self.values

    def split(self, inputs: NDArray[Any]) -> Rows:
        """Return the columns of inputs (T, F). Raises DatasetError where F is another one."""
        if inputs.shape[1] != self.width:
            raise DatasetError(f"inputs have {inputs.shape[1]} columns; expected {self.width}")
        rows = np.array(inputs, np.float32)  # a copy: clips may be mapped read-only, which torch warns of
        if not self.attended:
            valid = np.isfinite(rows)
            return Rows(
                rows[:, :0], np.zeros(len(rows), np.float32), np.where(valid, rows, 0), valid.astype(np.float32)
            )
        at = self.places
        return Rows(
            attended=rows[:, at.attended],
            image_valid=rows[:, at.image_valid][:, 0],
            joints=rows[:, at.joints],
            joints_valid=rows[:, at.joints_valid],
        )

    @property
    def places(self) -> Places:
        """Where the columns of a clip of the eye lie."""
        edges = [0, *itertools.accumulate((self.attended, 1, self.values, self.values))]
        return Places(*itertools.starmap(slice, itertools.pairwise(edges)))

    def join(self, rows: Rows) -> FloatArray:
        """Return the inputs (T, F) of a clip of the eye: undo `split`."""
        inputs, at = np.empty((len(rows.attended), self.width), np.float32), self.places
        inputs[:, at.attended], inputs[:, at.image_valid] = rows.attended, rows.image_valid[:, None]
        inputs[:, at.joints], inputs[:, at.joints_valid] = rows.joints, rows.joints_valid
        return inputs


@dataclass(frozen=True)
class Supervised:
    """Clips and their targets, by the clip's name; a clip without a target is not trained on."""

    clips: Sequence[Clip]
    targets: Mapping[str, NDArray[Any]]  # (T,) action ids, NO_ACTION where unknown, or (T, K) probabilities
    joints_masked: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # (T, E) attended when no joint is known

    def labels(self, clip: Clip) -> NDArray[np.int64]:
        """Return the clip's target as ids (T,)."""
        target = self.targets[clip.name]
        return target.astype(np.int64) if target.ndim == 1 else target.argmax(1)


@dataclass(frozen=True)
class AttendedClips:
    """Clips of the eye, and by name what it attends to when no joint is known, (T, E)."""

    clips: list[Clip]
    joints_masked: dict[str, FloatArray]


@dataclass(frozen=True)
class Data:
    """What a sequence model is trained on and chosen by, but for its targets."""

    actions: int  # K
    columns: Columns
    training: AttendedClips
    validation: AttendedClips


def annotated(attended: AttendedClips) -> Supervised:
    """Teach the annotations."""
    return Supervised(
        attended.clips, {clip.name: clip.actions for clip in attended.clips}, joints_masked=attended.joints_masked
    )


def probabilities(target: NDArray[Any], actions: int) -> tuple[FloatArray, FloatArray]:
    """Return a target as probabilities (T, K), and (T,) 1 where it is known, else 0."""
    if target.ndim == 2:
        return target.astype(np.float32), np.ones(len(target), np.float32)
    known = target != NO_ACTION
    rows = np.zeros((len(target), actions), np.float32)
    rows[np.flatnonzero(known), target[known]] = 1
    return rows, known.astype(np.float32)


# --- looking ----------------------------------------------------------------------------------------------------------


def columns_of(eye: Eye) -> Columns:
    """Return the columns of this eye's clips."""
    return Columns(eye.config.width, VALUES_PER_JOINT * eye.config.joints, eye.config.joints)


def attended_clips(eye: Eye, encoded_clips: Sequence[EncodedClip], cache: Path | None = None) -> AttendedClips:
    """Run the eye over every tick once, as it is and with all joints masked.

    With a `cache` folder the answer is kept there, under a hash of the eye and of the clips.
    """
    path = cache / f"attended-{_digest(eye, encoded_clips)}.npz" if cache is not None else None
    if path is not None and path.exists():
        with np.load(path) as stored:
            attended, joints_masked = stored["attended"], stored["joints_masked"]
    else:
        attended, joints_masked = (
            np.concatenate(parts) for parts in zip(*(_attend(eye, encoded) for encoded in encoded_clips), strict=True)
        )
        if path is not None:
            _keep(path, attended=attended, joints_masked=joints_masked)
    ends = np.cumsum([encoded.ticks for encoded in encoded_clips])[:-1]
    clips = [
        _clip(columns_of(eye), encoded, part)
        for encoded, part in zip(encoded_clips, np.split(attended, ends), strict=True)
    ]
    return AttendedClips(
        clips, {encoded.name: part for encoded, part in zip(encoded_clips, np.split(joints_masked, ends), strict=True)}
    )


def _digest(eye: Eye, encoded_clips: Sequence[EncodedClip]) -> str:
    """Return a hash of the eye and the clips; of their long features some rows stand for all."""
    digest = hashlib.sha256(repr(eye.config).encode())
    for name, tensor in eye.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    for encoded in encoded_clips:
        digest.update(encoded.name.encode())
        for column in (encoded.feature[::DIGEST_TICKS], encoded.image_valid, encoded.joints, encoded.joints_valid):
            digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:16]


def _keep(path: Path, **arrays: FloatArray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    unfinished.replace(path)


@torch.no_grad()
def _attend(eye: Eye, encoded: EncodedClip) -> tuple[FloatArray, FloatArray]:
    """Return what is attended as it is and without joints, (T, E) each, zeros where there is no image."""
    eye.eval()
    attended, joints_masked = (np.zeros((encoded.ticks, eye.config.width), np.float32) for _ in range(2))
    if not encoded.image_valid.any():
        return attended, joints_masked
    for ticks in _slices(encoded.ticks):
        cells = eye.encode(torch.from_numpy(encoded.feature[ticks].astype(np.float32)))
        joints, valid = (torch.from_numpy(x[ticks])[None] for x in (encoded.joints, encoded.joints_valid))
        attended[ticks] = eye.attend(cells, joints, valid)[0].numpy()
        joints_masked[ticks] = eye.attend(cells, joints, torch.zeros_like(valid))[0].numpy()
    lit = encoded.image_valid[:, None]
    return attended * lit, joints_masked * lit


def _slices(ticks: int) -> Iterator[slice]:
    return (slice(start, min(start + ATTEND_TICKS, ticks)) for start in range(0, ticks, ATTEND_TICKS))


def _clip(columns: Columns, encoded: EncodedClip, attended: FloatArray) -> Clip:
    joints = np.where(encoded.joints_valid > 0, encoded.joints, 0)
    inputs = columns.join(Rows(attended, encoded.image_valid, joints, encoded.joints_valid))
    return Clip(encoded.name, inputs, encoded.actions, encoded.transcript)
