"""Causal attention over a band of ticks, the trunk's layer: over a whole stretch, or over one tick and rings.

Shapes: B streams, T ticks, d width. Written for export like `nn.hal`, and for caches of half precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from hal_ros.nn.hal import HalConfig

MASKED = -1e4


class Rings(NamedTuple):
    """One layer's past, each tick where it was first written: of n = look-back - 1 slots, tick t has slot t mod n."""

    keys: Tensor  # (B, n, d)
    values: Tensor  # likewise
    order: Tensor  # (n,) int32: the column, 0 oldest, that each slot stands for: (slot - tick) mod n


class LockedDropout(nn.Module):
    """Dropout of whole channels of a stretch: what is gone at one tick is gone at all (Gal and Ghahramani, 2016)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Return x (B, T, d), in training with channels (B, 1, d) zeroed and the others scaled up."""
        if not self.training or not self.share:
            return x
        kept = torch.rand(x.shape[0], 1, x.shape[2]) >= self.share
        return x * (kept / (1.0 - self.share))


class BandLayer(nn.Module):
    """Pre-norm causal attention over the last `lookback` ticks, then a feed-forward; the bias knows distances only.

    One tick's heads are not laid out one behind the other, which would turn round all that is cached. Its query is
    spread over as many rows, each zero beside its own head's columns, and of what the rows find the same columns are
    kept: a few more multiplications, far fewer nodes.
    """

    spread: Tensor
    columns: Tensor

    def __init__(self, config: HalConfig, lookback: int) -> None:
        super().__init__()
        d = config.width
        self.heads, self.head_width, self.lookback = config.heads, d // config.heads, lookback
        self.norm = nn.LayerNorm(d)
        self.query, self.key, self.value, self.out = (nn.Linear(d, d) for _ in range(4))
        self.bias = nn.Parameter(torch.zeros(config.heads, lookback))  # [:, -1] is the present tick's
        self.norm_wide = nn.LayerNorm(d)
        self.wide = nn.Linear(d, config.feed_forward)
        self.narrow = nn.Linear(config.feed_forward, d)
        self.drop = LockedDropout(config.dropout)
        self.together: nn.Module | None = None  # query, key and value as one product, in a graph that only steps
        head = torch.arange(d) // self.head_width
        rows = torch.arange(config.heads)[:, None] == head
        self.register_buffer("spread", rows * self.head_width**-0.5, persistent=False)  # (heads, d)
        self.register_buffer("columns", (head * d + torch.arange(d)).int(), persistent=False)  # of (heads * d,)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (x, keys, values) after the T ticks of x (B, T, d); valid is (B, look-back - 1 + T)."""
        ticks = x.shape[1]
        normed = self.norm(x)
        keys = torch.cat([keys, self.key(normed).to(keys.dtype)], 1)  # (B, look-back - 1 + T, d)
        values = torch.cat([values, self.value(normed).to(values.dtype)], 1)
        query = self._heads(self.query(normed).to(keys.dtype))
        scores = torch.matmul(query, self._heads(keys).transpose(2, 3)).to(self.bias.dtype) * self.head_width**-0.5
        scores = scores + self._band(ticks) + ((valid - 1.0) * -MASKED)[:, None, None, :]
        attended = torch.matmul(
            torch.softmax(scores, -1).to(values.dtype), self._heads(values)
        )  # (B, heads, T, d / heads)
        return self._close(x, attended.transpose(1, 2).reshape(x.shape)), keys[:, ticks:], values[:, ticks:]

    def step(self, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (x, keys, values) after one tick, x (B, d); bias (B, heads, look-back) masks what never was."""
        query, key, value = self._rows(x, keys)
        keys, values = torch.cat([keys, key], 1), torch.cat([values, value], 1)
        weights = torch.softmax(self._products(query, keys) + bias, -1).to(values.dtype)
        return self._end(x, torch.matmul(weights, values)), keys[:, 1:], values[:, 1:]

    def look_up(self, x: Tensor, rings: Rings, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (x, key, value), the latter (B, 1, d), after one tick whose past lies in rings that are left alone.

        The same function as `step`, and nothing of the window's size is copied.
        """
        query, key, value = self._rows(x, rings.keys)
        past = self._products(query, rings.keys) + bias[..., :-1].index_select(2, rings.order)
        present = self._products(query, key) + bias[..., -1:]
        weights = torch.softmax(torch.cat([past, present], -1), -1).to(value.dtype)
        attended = torch.matmul(weights[..., :-1], rings.values) + weights[..., -1:] * value
        return self._end(x, attended), key, value

    def _rows(self, x: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return one tick's query (B, heads, d), key and value (B, 1, d) in the caches' precision, from x (B, d)."""
        normed, d = self.norm(x), x.shape[1]
        parts = self.query, self.key, self.value
        made = self.together(normed) if self.together else torch.cat([part(normed) for part in parts], -1)
        rows = made[:, None].to(keys.dtype)
        query, key, value = (rows[..., place * d : (place + 1) * d] for place in range(3))
        return query * self.spread.to(keys.dtype), key, value

    def _products(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return (B, heads, keys) in the bias' precision: softmax takes no half, whatever the caches hold."""
        return torch.matmul(query, keys.transpose(1, 2)).to(self.bias.dtype)

    def _end(self, x: Tensor, attended: Tensor) -> Tensor:
        """Add to x (B, d) what its heads attended to, the own columns of attended (B, heads, d), and feed forward."""
        return self._close(x, attended.reshape(x.shape[0], -1).index_select(1, self.columns))

    def _close(self, x: Tensor, attended: Tensor) -> Tensor:
        """Add to x (..., d) what its heads attended to, of the same shape, and then the feed-forward."""
        x = x + self.drop(self.out(attended))
        return x + self.drop(self.narrow(nn.functional.silu(self.wide(self.norm_wide(x)))))

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.heads, self.head_width).transpose(1, 2)

    def _band(self, ticks: int) -> Tensor:
        """Return (heads, T, look-back - 1 + T): the distance's bias inside the band, MASKED outside."""
        column, row = torch.arange(self.lookback - 1 + ticks), torch.arange(ticks)
        slot = column[None, :] - row[:, None]
        slot = torch.where((slot >= 0) & (slot < self.lookback), slot, self.lookback)
        outside = torch.full((self.heads, 1), MASKED, dtype=self.bias.dtype)
        return torch.cat([self.bias, outside], 1)[:, slot]
