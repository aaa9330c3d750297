"""What the first labels are found on, before an eye has been trained: joints, or without joints a coarse picture.

Joints alone align no worse than joints and picture together (docs/log.md): what only a picture tells, the transcript
tells as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hal_ros.datasets.clips import Clip
from hal_ros.datasets.tracks import Track

CELLS = 4
"""The coarse picture's rows and columns."""
POOLED_TICKS = 64


def first_look_clips(
    tracks: Sequence[Track],
    grid: tuple[int, int, int],
    training: Sequence[Track] | None = None,
) -> list[Clip]:
    """Return one clip for each track: joints with NaN where invalid, (T, 3J); pooled pictures where no joint ever is.

    `grid` is rows, columns and channels of the features. Which of the two it is depends on the `training` tracks, or
    else on these: all splits of a run are to be seen alike.
    """
    if any(track.joints_valid.any() for track in (tracks if training is None else training)):
        looks = [np.where(track.joints_valid > 0, track.joints, np.nan).astype(np.float32) for track in tracks]
    else:
        looks = [_pool(track, grid) for track in tracks]
    return [Clip(track.name, look, track.actions, track.transcript) for track, look in zip(tracks, looks, strict=True)]


def _pool(track: Track, grid: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return means over about CELLS x CELLS blocks of cells, (T, blocks * channels); NaN where there is no image."""
    rows, columns, channels = grid
    row_starts, column_starts = (np.unique(np.arange(CELLS) * size // CELLS) for size in (rows, columns))
    counts = np.outer(np.diff(row_starts, append=rows), np.diff(column_starts, append=columns))[:, :, None]
    parts = []
    for start in range(0, track.ticks, POOLED_TICKS):
        cells = track.feature[start : start + POOLED_TICKS].astype(np.float32).reshape(-1, rows, columns, channels)
        sums = np.add.reduceat(np.add.reduceat(cells, row_starts, 1), column_starts, 2)
        parts.append((sums / counts).reshape(len(cells), -1))
    pooled = np.concatenate(parts)
    pooled[track.image_valid == 0] = np.nan
    return pooled.astype(np.float32)
