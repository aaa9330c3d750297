"""What the sensors say at one tick. Times are the sensor's, in integer nanoseconds.

Dims: J joints, S image side.
"""

from __future__ import annotations

from dataclasses import dataclass

from hal_ros.core.arrays import ByteArray, FloatArray


@dataclass(frozen=True)
class JointSample:
    """Joint values in the card's joint order, (J,) float32 each; NaN where a value is absent."""

    stamp_ns: int
    position: FloatArray
    velocity: FloatArray
    effort: FloatArray


@dataclass(frozen=True)
class Observation:
    """What the sensors say at one tick. A new origin_ns means that a fresh grid, and so a fresh state, begins."""

    stamp_ns: int
    tick: int
    origin_ns: int
    image: ByteArray | None  # (S, S, 3) RGB
    joints: JointSample | None
