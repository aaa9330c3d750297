"""State values as their change since some ticks ago: motion is what new people and new calibrations share.

Shapes: B streams, T ticks, V state values, n the longest of L lags, d width. The last n ticks are carried.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DifferencesEmbedding(nn.Module):
    """Changes over each lag, standardised and squashed, embedded; 0 where a value is missing at either end."""

    spread: Tensor

    def __init__(self, values: int, lags: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.lags, self.values = lags, values
        self.register_buffer("spread", torch.ones(len(lags) * values))
        self.first = nn.Linear(len(lags) * values, width)
        self.second = nn.Linear(width, width)

    def forward(self, joints: Tensor, valid: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, T, d) from joints and valid (B, T, V) behind `past` (B, n, 2V), and the past of what follows."""
        ticks, longest = joints.shape[1], max(self.lags)
        now = torch.cat([joints * valid, valid], -1)
        known = torch.cat([past, now], 1)  # (B, n + T, 2V)
        changes = [self._change(now, known[:, longest - lag : longest - lag + ticks]) for lag in self.lags]
        squashed = torch.tanh(torch.cat(changes, -1) / (2.0 * self.spread))
        return self.second(nn.functional.silu(self.first(squashed))), known[:, ticks:]

    def _change(self, now: Tensor, before: Tensor) -> Tensor:
        """Return (B, T, V) of values and flags (B, T, 2V)."""
        v = self.values
        return (now[..., :v] - before[..., :v]) * (now[..., v:] * before[..., v:])
