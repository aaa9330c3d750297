"""What training minimises. Each term is a mean over the ticks that count; `weight` (B, T) is 1 there, else 0."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hal_ros.model.hal import Outputs

JUMP_CAP = 4.0
"""T-MSE's truncation: a larger jump of log-probabilities is a boundary, not noise (Farha and Gall, MS-TCN, 2019)."""
UNIT_FLOOR = 1e-6


class LossWeights(NamedTuple):
    """How much each term counts beside the classification of the present tick, which counts 1."""

    lagged: float = 1.0
    glance: float = 0.5  # classification from one tick alone: a short way for gradients into the eye
    label_smoothing: float = 0.05
    transition: float = 0.05  # T-MSE
    slowness: float = 0.0  # HAL's L_s
    slowness_floor: float = 0.1  # HAL's delta inside L_s


class Targets(NamedTuple):
    """Action ids (B, T) and weights (B, T) for the present tick and for the one that lies lag ticks back."""

    actions: Tensor
    weight: Tensor
    lagged_actions: Tensor
    lagged_weight: Tensor


def supervised_loss(outputs: Outputs, targets: Targets, weights: LossWeights) -> dict[str, Tensor]:
    """Return the terms by name, each already weighted; their sum is the loss."""
    smoothing = weights.label_smoothing
    now = classification(outputs.log_probs, targets.actions, targets.weight, smoothing)
    lagged = classification(outputs.lagged_log_probs, targets.lagged_actions, targets.lagged_weight, smoothing)
    terms = {"now": now, "lagged": weights.lagged * lagged}
    if weights.glance:
        seen = classification(outputs.glance, targets.actions, targets.weight, smoothing)
        terms["glance"] = weights.glance * seen
    if weights.transition:
        jumps = transition(outputs.log_probs, targets.weight) + transition(outputs.lagged_log_probs, targets.weight)
        terms["transition"] = weights.transition * jumps
    if weights.slowness:
        slow = slowness(outputs.visual, outputs.context, targets.weight, weights.slowness_floor)
        terms["slowness"] = weights.slowness * slow
    return terms


def classification(log_probs: Tensor, actions: Tensor, weight: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of log_probs (B, T, K) with ids (B, T), labels smoothed uniformly."""
    chosen = log_probs.gather(-1, actions[..., None])[..., 0]
    loss = -(1 - smoothing) * chosen - smoothing * log_probs.mean(-1)
    return _mean(loss, weight)


def transition(log_probs: Tensor, weight: Tensor) -> Tensor:
    """T-MSE: squared change of log-probabilities from tick to tick, truncated; the earlier tick is held fixed."""
    jump = (log_probs[:, 1:] - log_probs[:, :-1].detach()).abs().clamp(max=JUMP_CAP)
    return _mean(jump.square().mean(-1), weight[:, 1:] * weight[:, :-1])


def slowness(visual: Tensor, context: Tensor, weight: Tensor, floor: float) -> Tensor:
    """HAL's L_s: the action latent changes less than the visual one, and little.

    Changes are taken between per-tick unit vectors and averaged with a softmax over time of themselves, so that the
    ticks of change count most: ReLU(sum w_c dC - sum w_v dV) + floor * sum w_c dC.
    """
    pair = weight[:, 1:] * weight[:, :-1]
    fast, slow = _weighted_change(visual, pair), _weighted_change(context, pair)
    return (torch.relu(slow - fast) + floor * slow).mean()


def _weighted_change(latent: Tensor, pair: Tensor) -> Tensor:
    unit = latent / (latent.norm(dim=-1, keepdim=True) + UNIT_FLOOR)
    change = (unit[:, 1:] - unit[:, :-1]).abs().sum(-1)  # (B, T - 1)
    share = torch.softmax(change.masked_fill(pair == 0, -1e4), -1) * pair
    return (share * change).sum(-1)


def _mean(loss: Tensor, weight: Tensor) -> Tensor:
    return (loss * weight).sum() / weight.sum().clamp(min=1.0)
