"""Many hysteresis decoders over many clips at once: what `decode.decode` says of each, to the last bit.

Dims: S decoders, C clips, T ticks of the longest clip, K actions. Python's loop runs over ticks alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.arrays import FloatArray
from hal_ros.core.card import DecoderSpec

Actions = NDArray[np.int64]


def decode_each(specs: Sequence[DecoderSpec], clips: Sequence[FloatArray]) -> list[list[Actions]]:
    """Return the actions (T,) of every hysteresis decoder and clip of log-probabilities (T, K): [spec][clip]."""
    lengths = [len(clip) for clip in clips]
    padded = np.zeros((len(clips), max(lengths, default=0), *clips[0].shape[1:]), np.float32)
    for row, clip in zip(padded, clips, strict=True):
        row[: len(clip)] = clip
    probabilities, found = np.exp(padded), dict[int, list[Actions]]()
    for smoothing in dict.fromkeys(spec.smoothing for spec in specs):
        alike = [index for index, spec in enumerate(specs) if spec.smoothing == smoothing]
        said = _decode(_smoothed(probabilities, smoothing), [specs[index] for index in alike])
        for index, rows in zip(alike, said, strict=True):
            found[index] = [row[:length] for row, length in zip(rows, lengths, strict=True)]
    return [found[index] for index in range(len(specs))]


def _smoothed(probabilities: FloatArray, smoothing: float) -> FloatArray:
    """Return (C, T, K), smoothed over the ticks."""
    smoothed, kept = probabilities.copy(), np.float32(smoothing)
    for tick in range(1, smoothed.shape[1]):
        smoothed[:, tick] = kept * smoothed[:, tick - 1] + (1 - kept) * probabilities[:, tick]
    return smoothed


def _decode(smoothed: FloatArray, specs: Sequence[DecoderSpec]) -> Actions:
    """Return (S, C, T) for decoders that smooth alike."""
    enter = np.array([[spec.enter_probability] for spec in specs], np.float32)
    hold = np.array([[spec.hold_ticks] for spec in specs])
    tops, bests = smoothed.argmax(2), smoothed.max(2, initial=-np.inf)
    said = np.empty((len(specs), *tops.shape), np.int64)
    action = challenger = np.full(said.shape[:2], NO_ACTION)
    ticks = np.zeros_like(action)
    for tick, (top, best) in enumerate(zip(tops.T, bests.T, strict=True)):
        action = np.where(action == NO_ACTION, top, action)
        ahead = (top != action) & (best >= enter)
        ticks = np.where(ahead, 1 + np.where(top == challenger, ticks, 0), 0)
        wins = ahead & (ticks >= hold)
        action = np.where(wins, top, action)
        challenger = np.where(ahead & ~wins, top, NO_ACTION)
        said[:, :, tick] = action
    return said
