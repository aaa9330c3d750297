"""What the first labels are found on, before an eye has been trained: states, or without states coarse pictures.

Joints alone align no worse than joints and picture together (docs/log.md): what only a picture tells, the transcript
tells as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hal_ros.datasets.clips import Clip
from hal_ros.datasets.encoded_clips import EncodedClip

CELLS = 4
"""The coarse picture's rows and columns."""
POOLED_TICKS = 64


def first_input_clips(
    encoded_clips: Sequence[EncodedClip],
    grid: tuple[int, int, int],
    training: Sequence[EncodedClip] | None = None,
) -> list[Clip]:
    """Return a clip for each encoded one: states, NaN where invalid, (T, V); pooled pictures where none ever is valid.

    `grid` is rows, columns and channels of the features. Which of the two it is depends on the `training` clips, or
    else on these: all splits of a run are to be seen alike.
    """
    if any(encoded.joints_valid.any() for encoded in (encoded_clips if training is None else training)):
        looks = [
            np.where(encoded.joints_valid > 0, encoded.joints, np.nan).astype(np.float32) for encoded in encoded_clips
        ]
    else:
        looks = [_pool(encoded, grid) for encoded in encoded_clips]
    return [
        Clip(encoded.name, look, encoded.actions, encoded.transcript)
        for encoded, look in zip(encoded_clips, looks, strict=True)
    ]


def _pool(encoded: EncodedClip, grid: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return each camera's means over about CELLS x CELLS blocks of cells, (T, C * blocks * channels).

    NaN where there is no image.
    """
    rows, columns, channels = grid
    row_starts, column_starts = (np.unique(np.arange(CELLS) * size // CELLS) for size in (rows, columns))
    counts = np.outer(np.diff(row_starts, append=rows), np.diff(column_starts, append=columns))[:, :, None]
    views = []
    for feature, image_valid in zip(encoded.features, encoded.image_valid.T, strict=True):
        parts = []
        for start in range(0, encoded.ticks, POOLED_TICKS):
            cells = feature[start : start + POOLED_TICKS].astype(np.float32).reshape(-1, rows, columns, channels)
            sums = np.add.reduceat(np.add.reduceat(cells, row_starts, 1), column_starts, 2)
            parts.append((sums / counts).reshape(len(cells), -1))
        pooled = np.concatenate(parts)
        pooled[image_valid == 0] = np.nan
        views.append(pooled)
    return np.concatenate(views, 1).astype(np.float32)
