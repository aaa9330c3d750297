"""What the states say at one tick, embedded; eye and trunk each have their own, since they are trained one by one.

Shapes: B streams, T ticks, V values a tick of all states, such as position, velocity and effort of joints (V = 3J), or
any other vector of features that stands in their place.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class JointsEmbedding(nn.Module):
    """Values standardised, masked by their flags, the flags appended."""

    mean: Tensor
    spread: Tensor

    def __init__(self, values: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("spread", torch.ones(values))
        self.first = nn.Linear(2 * values, width)
        self.second = nn.Linear(width, width)

    def forward(self, joints: Tensor, valid: Tensor) -> Tensor:
        """Return (B, T, width) from joints and valid (B, T, V)."""
        standard = (joints - self.mean) / self.spread * valid
        hidden = nn.functional.silu(self.first(torch.cat([standard, valid], -1)))
        return self.second(hidden)
