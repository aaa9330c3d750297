"""Ticks at which a robot's joints suggest that an action ends: extra candidates for `labels.transcripts.align`.

Two sources: the gripper opens or closes; the arm slows down between two movements. A robot without the one or the other
gives candidates from what it has. Both look at a whole recorded clip,
so they may use what comes later, and both are free of units: thresholds are shares of the clip's own signals.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.errors import DatasetError
from hal_ros.core.streams.columns import JointColumns

CLOSED_BELOW, OPEN_ABOVE = 0.4, 0.6
"""Shares of the gripper's travel in the clip; between them it stays what it was."""

NOISE_FACTOR = 10.0
"""A gripper that travels less than this many times its median change from tick to tick only jitters."""

DIP_SHARE = 0.5
"""The arm slows down where it is slower than this share of the movements on either side."""

MOVEMENT_TICKS = 10
"""How far on either side a movement is looked for."""

SMOOTHING_TICKS = 3


def robot_candidates(
    values: NDArray[np.floating], valid: NDArray[np.floating], joints: JointColumns
) -> NDArray[np.int64]:
    """Return the rising ticks (N,) of gripper events and speed minima, tick 0 never among them.

    `values` (T, V) are those of all states, `valid` (T, V) is above 0 where a value is there; NaN counts as missing
    too. A missing value keeps the last one (the first one, before it); a column without any value rests at 0. Raises
    DatasetError for other shapes, and for joints whose columns are not there.
    """
    last = max((column for columns in joints.columns.values() for column in columns), default=-1)
    if values.ndim != 2 or values.shape != valid.shape or last >= values.shape[1]:
        raise DatasetError(f"values {values.shape}, flags {valid.shape}; expected (T, V) twice, V above {last}")
    held = _held(np.asarray(values, np.float64), (valid > 0) & np.isfinite(values))
    return np.union1d(gripper_events(joints.opening(held)), speed_minima(joints.arm_speed(held)))


def gripper_events(opening: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the ticks (N,) at which the gripper's opening (T,) changes sides, with hysteresis."""
    if len(opening) < 2:
        return np.empty(0, np.int64)
    low, high = np.quantile(opening, [0.05, 0.95])
    if high - low <= NOISE_FACTOR * np.median(np.abs(np.diff(opening))):
        return np.empty(0, np.int64)
    share = (opening - low) / (high - low)
    clear = (share > OPEN_ABOVE) | (share < CLOSED_BELOW)
    is_open = _held((share > 0.5)[:, None].astype(np.float64), clear[:, None])[:, 0]
    return np.flatnonzero(np.diff(is_open)) + 1


def speed_minima(speed: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the ticks (N,) at which the arm slows down between two movements.

    `speed` (T,) is not negative. Such a tick is a minimum of the smoothed speed, below DIP_SHARE of the highest speed
    in the ticks around it, on either side. A dip that begins or ends with the clip separates nothing and is left out.
    """
    if len(speed) < SMOOTHING_TICKS:
        return np.empty(0, np.int64)
    padded = np.pad(speed, SMOOTHING_TICKS // 2, mode="edge")
    smooth = np.convolve(padded, np.full(SMOOTHING_TICKS, 1.0 / SMOOTHING_TICKS), mode="valid")
    around = np.pad(smooth, MOVEMENT_TICKS, mode="edge")
    highest = np.lib.stride_tricks.sliding_window_view(around, MOVEMENT_TICKS + 1).max(axis=1)  # (T + MOVEMENT_TICKS,)
    before, after = highest[: len(smooth)], highest[MOVEMENT_TICKS:]
    inner = smooth[1:-1]
    lowest = (inner <= smooth[:-2]) & (inner < smooth[2:])  # of equal ticks the last, before the arm moves again
    return np.flatnonzero(lowest & (inner < DIP_SHARE * np.minimum(before, after)[1:-1])) + 1


def _held(values: NDArray[np.float64], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (T, C) values in which what is missing repeats the last one that is there, or else the first one."""
    ticks = len(values)
    source = np.maximum.accumulate(np.where(there, np.arange(ticks)[:, None], -1), axis=0)
    source = np.where(source < 0, np.argmax(there, axis=0)[None, :], source) if ticks else source
    return np.take_along_axis(np.where(there, values, 0.0), source, axis=0)
