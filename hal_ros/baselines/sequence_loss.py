"""What the learned sequence baselines are trained on and by: a batch, and the loss that most of them share.

B pieces of T ticks, K actions, S stages; two heads: of a tick, and of the one that lies lag ticks back.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hal_ros.nn.losses import JUMP_CAP


@dataclass(frozen=True)
class WindowBatch:
    """B pieces, padded behind their ends to T ticks."""

    inputs: Tensor  # (B, T, F), NaN where a value is missing
    mask: Tensor  # (B, T)
    targets: Tensor  # (B, T, 2, K) probabilities, of this tick and of the one that lies lag ticks back
    weight: Tensor  # (B, T, 2)
    progress: Tensor  # (B, T) which share of its segment is over at the end of a tick, 0 where nobody knows


@dataclass(frozen=True)
class TermWeights:
    """How the terms of `sequence_loss` count."""

    label_smoothing: float = 0.0
    transition: float = 0.15  # of T-MSE


def sequence_loss(logits: Tensor, batch: WindowBatch, weights: TermWeights) -> Tensor:
    """Return cross-entropy plus T-MSE of (S, B, T, 2, K), each a mean over the ticks that count, summed over stages.

    T-MSE: squared change of log-probabilities from tick to tick, truncated, the earlier tick held fixed (MS-TCN).
    """
    log_probs = torch.log_softmax(logits, -1)
    smooth = weights.label_smoothing
    wanted = (1 - smooth) * batch.targets + smooth / logits.shape[-1]
    terms = _mean(-(wanted * log_probs).sum(-1), batch.weight)
    if weights.transition:
        jump = (log_probs[:, :, 1:] - log_probs[:, :, :-1].detach()).abs().clamp(max=JUMP_CAP)
        pair = (batch.weight[:, 1:] * batch.weight[:, :-1] > 0).float()
        terms = terms + weights.transition * _mean(jump.square().mean(-1), pair)
    return terms.sum()


def _mean(loss: Tensor, weight: Tensor) -> Tensor:
    """Return (S,) means of loss (S, B, T, 2) with weight (B, T, 2)."""
    return (loss * weight).sum((1, 2, 3)) / weight.sum().clamp(min=1.0)
