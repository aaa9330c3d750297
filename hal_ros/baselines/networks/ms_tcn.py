"""MS-TCN as published (Abu Farha and Gall, CVPR 2019): it sees the whole clip, and so can't run on a robot.

An upper reference. It knows what comes after, so it has one answer for a tick, and both heads give that one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hal_ros.baselines.sequence import Size, WholeClipModel


class MsTcn(WholeClipModel):
    """S stages of L layers of centred dilated convolutions."""

    def __init__(self, inputs: int, actions: int, lag_ticks: int, size: Size) -> None:
        super().__init__(inputs, actions, lag_ticks, size.input_dropout)
        self.reach_ticks = size.stages * sum(2**index for index in range(size.layers))
        reads = [inputs] + [actions] * (size.stages - 1)
        self.stages = nn.ModuleList(
            CentredStage(read, actions, size.width, size.layers, size.dropout) for read in reads
        )

    def look(self, inputs: Tensor, shown: Tensor, first_tick: int) -> Tensor:
        """Return logits (S, B, T, K)."""
        del first_tick  # it looks the same everywhere
        reads, logits = self.standard(inputs) * shown, []
        for stage in self.stages:
            logits.append(stage(reads, shown))
            reads = torch.softmax(logits[-1], -1) * shown
        return torch.stack(logits)


class CentredStage(nn.Module):
    """Reads (B, T, R) -> logits (B, T, K); shown (B, T, 1) keeps the padding at 0 after every layer."""

    def __init__(self, reads: int, outputs: int, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(reads, width)
        self.layers = nn.ModuleList(CentredLayer(width, 2**index, dropout) for index in range(layers))
        self.last = nn.Linear(width, outputs)

    def forward(self, reads: Tensor, shown: Tensor) -> Tensor:
        """Return logits."""
        hidden = self.first(reads) * shown
        for layer in self.layers:
            hidden = layer(hidden) * shown
        return self.last(hidden)


class CentredLayer(nn.Module):
    """x + W relu(V [x_{t-d}, x_t, x_{t+d}])."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.taps = nn.Linear(3 * width, width)
        self.out = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, width); beyond either end stand zeros."""
        whole, ticks, dilation = nn.functional.pad(x, (0, 0, self.dilation, self.dilation)), x.shape[1], self.dilation
        taps = torch.cat([whole[:, :ticks], x, whole[:, 2 * dilation :]], -1)
        return x + self.drop(self.out(torch.relu(self.taps(taps))))
