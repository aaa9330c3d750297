"""ASFormer (Yi et al., BMVC 2021) made causal: windows reach back only, and norms look at one tick at a time.

An encoder, then decoders that refine: layer l convolves with dilation 2^l and attends to the last 2^(l+1) ticks. In a
decoder, queries and keys come from encoder and decoder together, values from the decoder alone, and each later decoder
trusts its attention less. Norms over time, as published, would tell the future; here they are per tick.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hal_ros.baselines.networks.causal_tcn import CausalConvolution
from hal_ros.baselines.sequence import CausalModel, Size, State

MASKED = -1e4
LEAST_BLOCK = 32
"""Ticks that are attended from together: many narrow windows at once are faster than each alone."""


class CausalAsFormer(CausalModel):
    """One encoder and S - 1 decoders of L layers each; a stream carries each layer's last values, keys and values."""

    def __init__(self, inputs: int, actions: int, size: Size) -> None:
        super().__init__(inputs, actions, size.input_dropout)
        stages = size.stages
        reads = [inputs] + [2 * actions] * (stages - 1)
        trusts = [1.0] + [math.exp(-3.0 * index / (stages - 1)) for index in range(stages - 1)]
        self.stages = nn.ModuleList(
            AttentiveStage(read, 2 * actions, size, trust, crosses=index > 0)
            for index, (read, trust) in enumerate(zip(reads, trusts, strict=True))
        )
        self.width, self.dilations = size.width, [2**index for index in range(size.layers)] * stages

    @property
    def receptive_field_ticks(self) -> int:
        """Each layer's convolution reaches 2d further back, and its attention 2d - 1 more."""
        return 1 + sum(2 * dilation + 2 * dilation - 1 for dilation in self.dilations)

    def initial_state(self, streams: int = 1) -> State:
        """Return, all zeros: which of the longest window's ticks exist, then three caches for each layer."""
        state = [torch.zeros(streams, 2 * max(self.dilations) - 1)]
        for dilation in self.dilations:
            state.append(torch.zeros(streams, 2 * dilation, self.width))
            state += [torch.zeros(streams, 2 * dilation - 1, self.width // 2) for _ in range(2)]  # keys and values
        return tuple(state)

    def advance(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (S, B, T, 2, K) and the caches."""
        batch, ticks = inputs.shape[0], inputs.shape[1]
        known = torch.cat([state[0], torch.ones(batch, ticks)], 1)
        pasts, after, logits = iter(state[1:]), [known[:, ticks:]], []
        reads, encoded = self.standard(inputs), None
        for stage in self.stages:
            said, encoded, kept = stage(reads, encoded, known, pasts)
            after += kept
            logits.append(self.two_heads(said))
            reads = torch.softmax(logits[-1], -1).flatten(-2)
        return torch.stack(logits), tuple(after)


class AttentiveStage(nn.Module):
    """Reads (B, T, R), and in a decoder what the stage before had inside (B, T, width) -> logits (B, T, O)."""

    def __init__(self, reads: int, outputs: int, size: Size, trust: float, crosses: bool) -> None:
        super().__init__()
        self.first = nn.Linear(reads, size.width)
        self.layers = nn.ModuleList(
            AttentiveLayer(size.width, 2**index, size.dropout, trust, crosses) for index in range(size.layers)
        )
        self.last = nn.Linear(size.width, outputs)

    def forward(
        self, reads: Tensor, encoded: Tensor | None, known: Tensor, pasts: Iterator[Tensor]
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return logits, the last layer's values, and what the layers keep."""
        hidden, kept = self.first(reads), []
        for layer in self.layers:
            hidden, caches = layer(hidden, encoded, known, pasts)
            kept += caches
        return self.last(hidden), hidden, kept


class AttentiveLayer(nn.Module):
    """x + W (h + trust * attention(h)) with h = relu(dilated causal convolution of x)."""

    def __init__(self, width: int, dilation: int, dropout: float, trust: float, crosses: bool) -> None:
        super().__init__()
        self.convolve = CausalConvolution(width, dilation)
        self.norm = nn.LayerNorm(width)
        self.attend = WindowAttention(2 * width if crosses else width, width, 2 * dilation)
        self.out = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)
        self.trust = trust

    def forward(
        self, x: Tensor, encoded: Tensor | None, known: Tensor, pasts: Iterator[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Return (B, T, width) and the three caches."""
        hidden, past = self.convolve(x, next(pasts))
        normed = self.norm(hidden)
        asks = normed if encoded is None else torch.cat([normed, encoded], -1)
        seen, keys, values = self.attend(asks, normed, known, next(pasts), next(pasts))
        return x + self.drop(self.out(hidden + self.trust * seen)), [past, keys, values]


class WindowAttention(nn.Module):
    """Each tick attends to the last `window` ticks, itself included; one head of half the width, as published.

    Ticks are worked on in blocks: the L queries of a block need the L + window - 1 keys up to its end and no others,
    so that cost and memory grow with T * (L + window), not with T * T.
    """

    def __init__(self, asks: int, reads: int, window: int) -> None:
        super().__init__()
        self.window, self.width = window, reads // 2
        self.query, self.key = nn.Linear(asks, self.width), nn.Linear(asks, self.width)
        self.value, self.out = nn.Linear(reads, self.width), nn.Linear(self.width, reads)

    def forward(
        self, asks: Tensor, reads: Tensor, known: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return (B, T, width) and the caches, from asks (B, T, A), reads (B, T, width), known (B, longest - 1 + T)."""
        batch, ticks = asks.shape[0], asks.shape[1]
        keys = torch.cat([keys, self.key(asks)], 1)  # (B, window - 1 + T, width / 2)
        values = torch.cat([values, self.value(reads)], 1)
        known = known[:, known.shape[1] - keys.shape[1] :, None]
        block = min(max(self.window, LEAST_BLOCK), ticks)
        missing = -ticks % block  # padding behind the end makes whole blocks; nothing before it can see it
        queries = nn.functional.pad(self.query(asks), (0, 0, 0, missing)).reshape(batch, -1, block, self.width)
        scores = torch.matmul(queries, self._blocks(keys, block, missing)) * self.width**-0.5  # (B, n, L, L + w - 1)
        hidden = self._outside(block) | (self._blocks(known, block, missing) == 0)
        shares = torch.softmax(scores.masked_fill(hidden, MASKED), -1)
        seen = torch.matmul(shares, self._blocks(values, block, missing).transpose(2, 3))
        seen = seen.reshape(batch, -1, self.width)[:, :ticks]
        return self.out(seen), keys[:, ticks:], values[:, ticks:]

    def _blocks(self, x: Tensor, block: int, missing: int) -> Tensor:
        """Return (B, n, C, L + window - 1), overlapping, from (B, window - 1 + T, C)."""
        return nn.functional.pad(x, (0, 0, 0, missing)).unfold(1, block + self.window - 1, block)

    def _outside(self, block: int) -> Tensor:
        """Return (L, L + window - 1), true where a key lies outside its query's window."""
        ahead = torch.arange(block + self.window - 1) - torch.arange(block)[:, None]
        return (ahead < 0) | (ahead >= self.window)
