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
        """Return (B, T, d) from joints and valid (B, T, V) behind `past` (B, n, 2V), and the past of what follows.

        Of one tick, joints, valid and what is returned first have no T.
        """
        squashed, following = self.squashed(joints, valid, past)
        return self.second(nn.functional.silu(self.first(squashed))), following

    def squashed(self, joints: Tensor, valid: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Return the changes within (-1, 1), (B, T, L * V) lag by lag, and the past of what follows; see `forward`."""
        v, longest = self.values, max(self.lags)
        now = torch.cat([joints * valid, valid], -1)
        rows = now if now.dim() == past.dim() else now[:, None]  # (B, T, 2V)
        ticks, known = rows.shape[1], torch.cat([past, rows], 1)  # (B, n + T, 2V)
        # (B, T, L, 2V): all lags in one, so that a step graph has one node for each of these lines
        places = [tick + longest - lag for tick in range(ticks) for lag in self.lags]
        before = known.index_select(1, torch.tensor(places, device=known.device))
        before = before.reshape(*now.shape[:-1], len(self.lags), 2 * v)
        now = now[..., None, :]
        changes = (now[..., :v] - before[..., :v]) * (now[..., v:] * before[..., v:])
        standard = changes / (2.0 * self.spread.reshape(len(self.lags), v))
        return torch.tanh(standard).reshape(*joints.shape[:-1], -1), known[:, ticks:]
