"""What training minimises. Each term is a mean over the ticks that count; weights (B, T) are 0 elsewhere.

L = L_y - alpha ELBO + beta L_s (HAL, 2026): classification, the evidence bound of the latents, and their slowness.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hal_ros.nn.hal import HalConfig, Outputs
from hal_ros.nn.latent import LOG_VARIANCE_LIMIT, Elbo, ElboTerms, Latent

JUMP_CAP = 4.0
"""T-MSE's truncation: a larger jump of log-probabilities is a boundary, not noise (Farha and Gall, MS-TCN, 2019)."""
UNIT_FLOOR = 1e-6
GATE_FLOOR = 1e-4


class LossWeights(NamedTuple):
    """How much each term counts beside the classification of the present tick, which counts 1."""

    lagged: float = 1.0
    label_smoothing: float = 0.05
    transition: float = 0.05  # T-MSE
    slowness: float = 0.0  # HAL's beta, of L_s
    slowness_floor: float = 0.1  # HAL's delta inside L_s
    boundary: float = 0.0  # the gate opens where an action begins
    reconstruction: float = 0.0  # HAL's alpha of the ELBO's likelihood
    kl: float = 0.0  # and of its divergences


class TargetBatch(NamedTuple):
    """What is right for the present tick and for the one that lies lag ticks back."""

    actions: Tensor  # (B, T, K) probabilities
    weight: Tensor  # (B, T)
    lagged_actions: Tensor  # (B, T, K)
    lagged_weight: Tensor  # (B, T)
    change: Tensor  # (B, T) how surely an action begins at this tick


class Hierarchy(nn.Module):
    """What only training needs of the latents: their variances, decoders and priors (`nn.latent`)."""

    def __init__(self, config: HalConfig, prior: str) -> None:
        super().__init__()
        self.visual = nn.Linear(config.width, config.visual_width)
        self.action = nn.Linear(config.width, config.width)
        for variance in (self.visual, self.action):
            nn.init.zeros_(variance.weight)
            nn.init.constant_(variance.bias, -2.0)
        self.elbo = Elbo(config.width, config.visual_width, config.width, prior)

    def forward(self, outputs: Outputs, weight: Tensor) -> ElboTerms:
        """Return the ELBO's terms of a chunk; its first tick has no predecessor and is left out."""
        visual = Latent(outputs.visual, _bounded(self.visual(outputs.below)))
        action = Latent(outputs.context, _bounded(self.action(outputs.context)))
        later = torch.cat([torch.zeros_like(weight[:, :1]), weight[:, 1:]], 1)
        terms: ElboTerms = self.elbo(outputs.below, visual, action, later)
        return terms


def _bounded(log_variance: Tensor) -> Tensor:
    return log_variance.clamp(-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT)


def training_loss(
    outputs: Outputs, targets: TargetBatch, weights: LossWeights, hierarchy: Hierarchy | None = None
) -> dict[str, Tensor]:
    """Return the terms by name, each already weighted; their sum is the loss. Terms of weight 0 are left out."""
    smoothing = weights.label_smoothing
    now = classification(outputs.log_probs, targets.actions, targets.weight, smoothing)
    lagged = classification(outputs.lagged_log_probs, targets.lagged_actions, targets.lagged_weight, smoothing)
    terms = {"now": now, "lagged": weights.lagged * lagged}
    if weights.transition:
        jumps = transition(outputs.log_probs, targets.weight) + transition(outputs.lagged_log_probs, targets.weight)
        terms["transition"] = weights.transition * jumps
    if weights.slowness:
        slow = slowness(outputs.visual, outputs.context, targets.weight, weights.slowness_floor)
        terms["slowness"] = weights.slowness * slow
    if weights.boundary:
        terms["boundary"] = weights.boundary * opening(outputs.boundary[..., 0], targets.change, targets.weight)
    if hierarchy is not None:
        elbo = hierarchy(outputs, targets.weight)
        terms["reconstruction"] = weights.reconstruction * elbo.reconstruction.mean()
        terms["kl"] = weights.kl * (elbo.visual_kl + elbo.action_kl).mean()
    return terms


def classification(log_probs: Tensor, actions: Tensor, weight: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of log_probs (B, T, K) with probabilities (B, T, K), smoothed uniformly."""
    loss = -(1 - smoothing) * (actions * log_probs).sum(-1) - smoothing * log_probs.mean(-1)
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


def opening(gate: Tensor, change: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of the gate (B, T) with `change` (B, T); a chunk's first tick, which may be a stream's, is out."""
    gate = gate[:, 1:].clamp(GATE_FLOOR, 1 - GATE_FLOOR)
    loss = nn.functional.binary_cross_entropy(gate, change[:, 1:], reduction="none")
    return _mean(loss, weight[:, 1:])


def _mean(loss: Tensor, weight: Tensor) -> Tensor:
    return (loss * weight).sum() / weight.sum().clamp(min=1.0)
