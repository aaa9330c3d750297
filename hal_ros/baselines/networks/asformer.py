"""ASFormer as published (Yi et al., BMVC 2021): it sees the whole clip, and so can't run on a robot.

An encoder, then decoders that refine. Layer l: a convolution of three taps with dilation 2^l, a norm over time, and one
head of attention to the 2^l ticks around, of half the width. In the encoder all comes from the layer itself; in a
decoder queries and keys come from the stage before and from itself together, values from itself. Decoder s counts its
attention exp(-3 s). Published: ten layers of 64 channels, three decoders, dropout 0.5, a share of 0.3 of the input
channels away, Adam with learning rate 5e-4 for 120 epochs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hal_ros.baselines.networks.norms import norm_over_time
from hal_ros.baselines.sequence import Size, WholeClipModel

MASKED = -1e4
LEAST_BLOCK = 32
"""Ticks that are attended from together: many narrow windows at once are faster than each alone."""


class AsFormer(WholeClipModel):
    """One encoder and S - 1 decoders of L layers each."""

    def __init__(self, inputs: int, actions: int, lag_ticks: int, size: Size) -> None:
        super().__init__(inputs, actions, lag_ticks, size.input_dropout)
        self.encoder = CentredStack(inputs, actions, size, 1.0, crosses=False)
        self.decoders = nn.ModuleList(
            CentredStack(actions, actions, size, math.exp(-3.0 * index), crosses=True)
            for index in range(size.stages - 1)
        )
        self.reach_ticks = size.stages * sum(2**index + 2**index // 2 for index in range(size.layers))

    @property
    def receptive_field_ticks(self) -> None:
        """The norms over time see the whole clip."""
        return

    def look(self, inputs: Tensor, shown: Tensor, first_tick: int) -> Tensor:
        """Return logits (S, B, T, K)."""
        del first_tick  # it looks the same everywhere
        said, hidden = self.encoder(self.standard(inputs) * shown, None, shown)
        logits = [said]
        for decoder in self.decoders:
            said, hidden = decoder(torch.softmax(said, -1) * shown, hidden, shown)
            logits.append(said)
        return torch.stack(logits)


class CentredStack(nn.Module):
    """Reads (B, T, R), and in a decoder what the stage before had inside (B, T, width) -> logits (B, T, K)."""

    def __init__(self, reads: int, actions: int, size: Size, trust: float, crosses: bool) -> None:
        super().__init__()
        self.first = nn.Linear(reads, size.width)
        self.layers = nn.ModuleList(
            CentredAttentiveLayer(size.width, 2**index, size.dropout, trust, crosses) for index in range(size.layers)
        )
        self.last = nn.Linear(size.width, actions)

    def forward(self, reads: Tensor, before: Tensor | None, shown: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and the last layer's values; shown (B, T, 1) keeps the padding at 0."""
        hidden = self.first(reads) * shown
        for layer in self.layers:
            hidden = layer(hidden, before, shown)
        return self.last(hidden), hidden


class CentredAttentiveLayer(nn.Module):
    """x + W (h + trust * attention(norm(h))) with h = relu(dilated convolution of x)."""

    def __init__(self, width: int, dilation: int, dropout: float, trust: float, crosses: bool) -> None:
        super().__init__()
        self.dilation, self.trust = dilation, trust
        self.taps = nn.Linear(3 * width, width)
        self.attend = CentredAttention(2 * width if crosses else width, width, dilation // 2)
        self.out = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, before: Tensor | None, shown: Tensor) -> Tensor:
        """Return (B, T, width)."""
        whole, ticks, dilation = nn.functional.pad(x, (0, 0, self.dilation, self.dilation)), x.shape[1], self.dilation
        taps = torch.cat([whole[:, :ticks], x, whole[:, 2 * dilation :]], -1)
        hidden = torch.relu(self.taps(taps)) * shown
        normed = norm_over_time(hidden, shown)
        asks = normed if before is None else torch.cat([normed, before], -1)
        seen = self.attend(asks, normed, shown)
        return (x + self.drop(self.out(hidden + self.trust * seen))) * shown


class CentredAttention(nn.Module):
    """Each tick attends to itself and to `side_ticks` ticks on either side; one head of half the width.

    Ticks are worked on in blocks, as `causal_asformer.WindowAttention` does: cost grows with T, not with T * T.
    """

    def __init__(self, asks: int, reads: int, side_ticks: int) -> None:
        super().__init__()
        self.side_ticks, self.width = side_ticks, reads // 2
        self.query, self.key = nn.Linear(asks, self.width), nn.Linear(asks, self.width)
        self.value, self.out = nn.Linear(reads, self.width), nn.Linear(self.width, reads)

    def forward(self, asks: Tensor, reads: Tensor, shown: Tensor) -> Tensor:
        """Return (B, T, width) from asks (B, T, A), reads (B, T, width) and shown (B, T, 1)."""
        batch, ticks = asks.shape[0], asks.shape[1]
        block = min(max(2 * self.side_ticks + 1, LEAST_BLOCK), ticks)
        missing = -ticks % block
        queries = nn.functional.pad(self.query(asks), (0, 0, 0, missing)).reshape(batch, -1, block, self.width)
        keys, values = self._blocks(self.key(asks), block, missing), self._blocks(self.value(reads), block, missing)
        hidden = self._outside(block) | (self._blocks(shown, block, missing) == 0)
        scores = torch.matmul(queries, keys) * self.width**-0.5  # (B, n, L, L + 2 side)
        shares = torch.softmax(scores.masked_fill(hidden, MASKED), -1)
        seen = torch.matmul(shares, values.transpose(2, 3)).reshape(batch, -1, self.width)[:, :ticks]
        return self.out(torch.relu(seen))

    def _blocks(self, x: Tensor, block: int, missing: int) -> Tensor:
        """Return (B, n, C, L + 2 side), overlapping, from (B, T, C); beyond either end stand zeros."""
        whole = nn.functional.pad(x, (0, 0, self.side_ticks, self.side_ticks + missing))
        return whole.unfold(1, block + 2 * self.side_ticks, block)

    def _outside(self, block: int) -> Tensor:
        """Return (L, L + 2 side), true where a key lies outside its query's window."""
        ahead = torch.arange(block + 2 * self.side_ticks) - torch.arange(block)[:, None]
        return (ahead < 0) | (ahead > 2 * self.side_ticks)
