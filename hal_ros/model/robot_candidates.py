"""Ticks at which a robot's joints suggest that an action ends: extra candidates for `model.align`.

Two sources: the gripper opens or closes; the arm comes to rest between two movements. Both look at a whole recorded
clip, so they may use what comes later, and both are free of units: thresholds are shares of the clip's own signals.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.errors import DatasetError

CLOSED_BELOW, OPEN_ABOVE = 0.4, 0.6
"""Shares of the gripper's travel in the clip; between them it stays what it was."""

NOISE_FACTOR = 10.0
"""A gripper that travels less than this many times its median change from tick to tick only jitters."""

REST_SHARE = 0.25
"""The arm rests below this share of its median speed in the clip."""

SMOOTHING_TICKS = 3


def robot_candidates(
    joints: NDArray[np.floating], joints_valid: NDArray[np.floating], gripper: int
) -> NDArray[np.int64]:
    """Return the rising ticks (N,) of gripper events and speed minima, tick 0 never among them.

    `joints` (T, 3J) are positions, velocities and efforts, `joints_valid` (T, 3J) is above 0 where a value is there;
    NaN counts as missing too. `gripper` is its index among the J joints, in [-J, J). A missing value keeps the last one
    (the first one, before it); a joint without any value rests at 0. Raises DatasetError for other shapes or indices.
    """
    count = joints.shape[1] // 3 if joints.ndim == 2 else 0
    if joints.shape != joints_valid.shape or joints.shape[-1] != 3 * count or not -count <= gripper < count:
        raise DatasetError(
            f"joints {joints.shape}, flags {joints_valid.shape}, gripper {gripper}; expected (T, 3J) twice, one of J"
        )
    held = _held(np.asarray(joints, np.float64), (joints_valid > 0) & np.isfinite(joints))
    speed = np.linalg.norm(np.delete(held[:, count : 2 * count], gripper, axis=1), axis=1)
    return np.union1d(gripper_events(held[:, gripper % count]), speed_minima(speed))


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
    """Return the ticks (N,) at which the arm is slowest in each stretch of rest between two movements.

    `speed` (T,) is not negative. Rest at the very beginning and end of the clip separates nothing and is left out.
    """
    if len(speed) < SMOOTHING_TICKS:
        return np.empty(0, np.int64)
    padded = np.pad(speed, SMOOTHING_TICKS // 2, mode="edge")
    smooth = np.convolve(padded, np.full(SMOOTHING_TICKS, 1.0 / SMOOTHING_TICKS), mode="valid")
    edges = np.diff((smooth < REST_SHARE * np.median(smooth)).astype(np.int8))
    starts, ends = np.flatnonzero(edges == 1) + 1, np.flatnonzero(edges == -1) + 1
    ends = ends[ends > starts[0]] if len(starts) else ends[:0]
    # A stretch that lasts to the clip's end has no end here; zip drops it.
    slowest = [start + int(np.argmin(smooth[start:end])) for start, end in zip(starts, ends, strict=False)]
    return np.array(slowest, np.int64)


def _held(values: NDArray[np.float64], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (T, C) values in which what is missing repeats the last one that is there, or else the first one."""
    ticks = len(values)
    source = np.maximum.accumulate(np.where(there, np.arange(ticks)[:, None], -1), axis=0)
    source = np.where(source < 0, np.argmax(there, axis=0)[None, :], source) if ticks else source
    return np.take_along_axis(np.where(there, values, 0.0), source, axis=0)
