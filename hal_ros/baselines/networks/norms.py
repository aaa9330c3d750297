"""The norm that offline networks take over the time of a clip."""

from __future__ import annotations

from torch import Tensor

EPSILON = 1e-5


def norm_over_time(x: Tensor, shown: Tensor) -> Tensor:
    """Return x (B, T, C), each channel with mean 0 and variance 1 over the shown ticks of its clip; shown is (B, T, 1).

    Instance normalisation without scale and offset: each tick knows by it of all others. What is not shown is 0.
    """
    count = shown.sum(1, keepdim=True).clamp(min=1.0)
    centred = (x - (x * shown).sum(1, keepdim=True) / count) * shown
    variance = centred.square().sum(1, keepdim=True) / count
    return centred * (variance + EPSILON).rsqrt()
