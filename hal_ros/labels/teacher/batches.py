"""Clips into batches for the teacher: one random tick of every stride, clips of like length together.

Shapes: B clips, N steps (strides of ticks, padded), F features, K actions. All randomness comes from (seed, epoch), so
that an epoch can be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hal_ros.datasets.clips import Clip

LONGEST_STEPS = 20_000
"""A clip with more steps gets a wider stride, so that training's memory is bounded."""
BATCH_STEPS = 20_000
"""Steps of a batch, padding included; long clips make smaller batches."""


@dataclass(frozen=True)
class TeacherBatch:
    """Some clips."""

    inputs: Tensor  # (B, N, F)
    known: Tensor  # (B, N): 1 on steps that exist
    targets: Tensor  # (B, N, K): aligned probabilities; zeros where there are none yet
    present: Tensor  # (B, K): 1 for actions of the transcript


def stride_of(clip: Clip, stride: int) -> int:
    """Return the ticks between two steps of this clip."""
    return max(stride, -(-clip.ticks // LONGEST_STEPS))


def steps_of(clip: Clip, stride: int) -> int:
    """Return N, the steps of a clip."""
    return -(-clip.ticks // stride_of(clip, stride))


def middle_ticks(clip: Clip, stride: int) -> NDArray[np.int64]:
    """Return the tick in the middle of each step, (N,)."""
    width = stride_of(clip, stride)
    return np.minimum(np.arange(steps_of(clip, stride)) * width + width // 2, clip.ticks - 1)


def random_ticks(clip: Clip, stride: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return a random tick of each step, (N,)."""
    width, steps = stride_of(clip, stride), steps_of(clip, stride)
    return np.minimum(np.arange(steps) * width + random.integers(0, width, steps), clip.ticks - 1)


def plan(clips: Sequence[Clip], stride: int, most: int, random: np.random.Generator) -> list[list[int]]:
    """Return the batches of an epoch as clip indices: neighbours in (jittered) length, in random order."""
    steps = np.array([steps_of(clip, stride) for clip in clips])
    batches: list[list[int]] = [[]]
    for index in np.argsort(steps * random.uniform(0.9, 1.1, len(clips)), kind="stable").tolist():
        longest = max(steps[[*batches[-1], index]])
        full = len(batches[-1]) == most or (len(batches[-1]) + 1) * longest > BATCH_STEPS
        if batches[-1] and full:
            batches.append([])
        batches[-1].append(index)
    random.shuffle(batches)
    return batches


def assemble(
    clips: Sequence[Clip],
    ticks: Sequence[NDArray[np.int64]],
    targets: Sequence[NDArray[np.float32] | None],
    actions: int,
) -> TeacherBatch:
    """Stack the chosen ticks of clips, padded with zeros; targets are (N, K) per step."""
    most = max(map(len, ticks))
    inputs = np.zeros((len(clips), most, clips[0].inputs.shape[1]), np.float32)
    known = np.zeros((len(clips), most), np.float32)
    aligned = np.zeros((len(clips), most, actions), np.float32)
    present = np.zeros((len(clips), actions), np.float32)
    for row, (clip, at, target) in enumerate(zip(clips, ticks, targets, strict=True)):
        inputs[row, : len(at)] = clip.inputs[at]
        known[row, : len(at)] = 1
        present[row, list(clip.transcript)] = 1
        if target is not None:
            aligned[row, : len(at)] = target
    arrays = (inputs, known, aligned, present)
    return TeacherBatch(*map(torch.from_numpy, arrays))
