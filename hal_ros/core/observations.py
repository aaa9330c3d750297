"""What the sensors say at one tick. Times are the sensor's, in integer nanoseconds.

Dims: S image side, V state values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hal_ros.core.arrays import ByteArray, FloatArray


@dataclass(frozen=True)
class Observation:
    """What the sensors say at one tick. A new origin_ns means that a fresh grid, and so a fresh state, begins.

    A picture that serves two ticks is the same array at both, so that it is encoded once.
    """

    stamp_ns: int
    tick: int
    origin_ns: int
    pictures: Mapping[str, ByteArray | None]  # (S, S, 3) RGB by camera; None or absent where there is none
    values: FloatArray  # (V,) of all states, 0 where not valid
    valid: FloatArray  # (V,) 0 or 1
