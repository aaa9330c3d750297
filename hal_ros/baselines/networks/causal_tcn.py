"""MS-TCN (Abu Farha and Gall, CVPR 2019) made causal: every dilated convolution looks back only.

A stage is a 1x1 convolution, then layers x + W relu(V [x_t, x_{t-d}, x_{t-2d}]) with d = 1, 2, 4, ... The first stage
reads the inputs, each later one the probabilities of the one before, and refines them.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hal_ros.baselines.sequence import CausalModel, Size, State


class CausalTcn(CausalModel):
    """S stages of L layers; a stream carries the last 2d hidden values of each layer."""

    def __init__(self, inputs: int, actions: int, size: Size) -> None:
        super().__init__(inputs, actions, size.input_dropout)
        reads = [inputs] + [2 * actions] * (size.stages - 1)
        self.stages = nn.ModuleList(
            CausalStage(read, 2 * actions, size.width, size.layers, size.dropout) for read in reads
        )
        self.width, self.dilations = size.width, [2**index for index in range(size.layers)] * size.stages

    @property
    def receptive_field_ticks(self) -> int:
        """Each layer sees 2d ticks further back than the one below."""
        return 1 + sum(2 * dilation for dilation in self.dilations)

    def initial_state(self, streams: int = 1) -> State:
        """Return zeros (B, 2d, width) for each layer, stage by stage: what the published padding is."""
        return tuple(torch.zeros(streams, 2 * dilation, self.width) for dilation in self.dilations)

    def advance(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (S, B, T, 2, K) and the layers' last values."""
        pasts, after, logits = iter(state), [], []
        reads = self.standard(inputs)
        for stage in self.stages:
            said, kept = stage(reads, pasts)
            after += kept
            logits.append(self.two_heads(said))
            reads = torch.softmax(logits[-1], -1).flatten(-2)
        return torch.stack(logits), tuple(after)


class CausalStage(nn.Module):
    """Reads (B, T, R) -> logits (B, T, O)."""

    def __init__(self, reads: int, outputs: int, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(reads, width)
        self.layers = nn.ModuleList(CausalLayer(width, 2**index, dropout) for index in range(layers))
        self.last = nn.Linear(width, outputs)

    def forward(self, reads: Tensor, pasts: Iterator[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return logits and what each layer keeps; takes as many of `pasts` as there are layers."""
        hidden, kept = self.inside(reads, pasts)
        return self.last(hidden), kept

    def inside(self, reads: Tensor, pasts: Iterator[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return the last layer's values (B, T, width) and what each layer keeps."""
        hidden, kept = self.first(reads), []
        for layer in self.layers:
            hidden, past = layer(hidden, next(pasts))
            kept.append(past)
        return hidden, kept


class CausalLayer(nn.Module):
    """x + W h with h the dilated convolution of x."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.convolve = CausalConvolution(width, dilation)
        self.out = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, T, width), and what the convolution keeps."""
        hidden, past = self.convolve(x, past)
        return x + self.drop(self.out(hidden)), past


class CausalConvolution(nn.Module):
    """relu(V [x_{t-2d}, x_{t-d}, x_t]), one product over the three taps side by side."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.taps = nn.Linear(3 * width, width)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, T, width) and the last 2d values, from x (B, T, width) and the 2d values before it."""
        whole, ticks, dilation = torch.cat([past, x], 1), x.shape[1], self.dilation
        taps = torch.cat([whole[:, :ticks], whole[:, dilation : dilation + ticks], x], -1)
        return torch.relu(self.taps(taps)), whole[:, ticks:]
