"""HAL's hierarchy of latents and its ELBO: a fast visual latent v under a slow action latent c.

    ELBO = E log p(b | v) + E log p(v' | c) - KL(q(v | b) || p(v)) - KL(q(c | v) || p(c))

b is what the trunk holds where v is read. The priors are standard normal, or learned transitions p(v_t | v_{t-1}, c_t)
and p(c_t | c_{t-1}). Every term is a mean over ticks and dimensions, one value for each sequence, so that neither
widths nor lengths change its scale. For the causal student as for the teacher; nothing of it is needed at run time.

Shapes: B sequences, T ticks, D latent dimensions; weight (B, T) is 1 on ticks that count, else 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

PRIORS = ("standard", "transition")
LOG_VARIANCE_LIMIT = 6.0


class Latent(NamedTuple):
    """A Gaussian for each tick."""

    mean: Tensor  # (B, T, D)
    log_variance: Tensor  # (B, T, D)

    def sample(self) -> Tensor:
        """Draw one value for each tick by the reparametrisation trick."""
        return self.mean + torch.randn_like(self.mean) * torch.exp(0.5 * self.log_variance)

    def after(self, start: int) -> Latent:
        """Return the ticks from `start` on."""
        return Latent(self.mean[:, start:], self.log_variance[:, start:])


class LatentEncoder(nn.Module):
    """Linear maps to mean and log-variance."""

    def __init__(self, width: int, latent_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mean = nn.Linear(width, latent_width)
        self.log_variance = nn.Linear(width, latent_width)
        nn.init.zeros_(self.log_variance.weight)
        nn.init.constant_(self.log_variance.bias, -2.0)  # nearly certain at first: reconstruction learns before noise

    def forward(self, x: Tensor) -> Latent:
        """Return the Gaussians (B, T, D) of trunk features (B, T, d)."""
        x = self.norm(x)
        return Latent(self.mean(x), self.log_variance(x).clamp(-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT))


class ElboTerms(NamedTuple):
    """The parts of -ELBO, in nats per tick and dimension, (B,) each; and the KL per dimension, (D,), for monitoring."""

    reconstruction: Tensor  # of b from v, plus of v from c
    visual_kl: Tensor
    action_kl: Tensor
    visual_kl_per_dim: Tensor
    action_kl_per_dim: Tensor

    def negative_elbo(self, kl_weight: float = 1.0) -> Tensor:
        """Return (B,), with the KL terms scaled; 1 is the bound itself, less of it the warm-up."""
        return self.reconstruction + kl_weight * (self.visual_kl + self.action_kl)


class Elbo(nn.Module):
    """Decoders kappa: v to b and xi: c to v, and the priors."""

    def __init__(
        self,
        below_width: int,
        visual_width: int,
        action_width: int,
        prior: str = "transition",
        free_bits: float = 0.1,
        action_below_width: int = 0,
    ) -> None:
        super().__init__()
        if prior not in PRIORS:
            raise ValueError(f"prior is '{prior}'; expected one of {', '.join(PRIORS)}")
        self.prior, self.free_bits = prior, free_bits
        self.visual_decoder = _mlp(visual_width, below_width)
        self.action_decoder = _mlp(action_width, action_below_width or visual_width)
        if prior == "transition":
            self.visual_prior = _mlp(visual_width + action_width, 2 * visual_width)
            self.action_prior = _mlp(action_width, 2 * action_width)

    def forward(
        self, below: Tensor, visual: Latent, action: Latent, weight: Tensor, action_below: Tensor | None = None
    ) -> ElboTerms:
        """Return the terms for trunk features `below` (B, T, d).

        c explains v's mean, or `action_below` where given (the literal variant's trunk). Targets are held fixed: else
        the trunk would make itself easy to reconstruct by saying nothing.
        """
        v, c = visual.sample(), action.sample()
        seen = _mismatch(self.visual_decoder(v), below, weight)
        meant = _mismatch(self.action_decoder(c), visual.mean if action_below is None else action_below, weight)
        visual_prior, action_prior = self._priors(v, c, visual, action)
        visual_kl = _mean_over_ticks(divergence(visual, visual_prior), weight)  # (B, D)
        action_kl = _mean_over_ticks(divergence(action, action_prior), weight)
        return ElboTerms(
            seen + meant,
            visual_kl.clamp(min=self.free_bits).mean(-1),
            action_kl.clamp(min=self.free_bits).mean(-1),
            visual_kl.mean(0).detach(),
            action_kl.mean(0).detach(),
        )

    def _priors(self, v: Tensor, c: Tensor, visual: Latent, action: Latent) -> tuple[Latent, Latent]:
        """Return p(v_t | v_{t-1}, c_t) and p(c_t | c_{t-1}); the first tick's is standard normal."""
        standard = Latent(torch.zeros_like(visual.mean), torch.zeros_like(visual.mean))
        standard_action = Latent(torch.zeros_like(action.mean), torch.zeros_like(action.mean))
        if self.prior == "standard":
            return standard, standard_action
        step, log_variance = self.visual_prior(torch.cat([v[:, :-1], c[:, 1:]], -1)).chunk(2, -1)
        learned = Latent(v[:, :-1] + step, _bounded(log_variance))
        step, log_variance = self.action_prior(c[:, :-1]).chunk(2, -1)
        learned_action = Latent(c[:, :-1] + step, _bounded(log_variance))
        return _behind_first(standard, learned), _behind_first(standard_action, learned_action)


def divergence(q: Latent, p: Latent) -> Tensor:
    """Return KL(q || p) of diagonal Gaussians for every tick and dimension, (B, T, D)."""
    ratio = torch.exp(q.log_variance - p.log_variance)
    distance = (q.mean - p.mean).square() * torch.exp(-p.log_variance)
    return 0.5 * (ratio + distance - 1.0 + p.log_variance - q.log_variance)


def _mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 64), nn.SiLU(), nn.Linear(64, outputs))


def _bounded(log_variance: Tensor) -> Tensor:
    return log_variance.clamp(-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT)


def _behind_first(first: Latent, later: Latent) -> Latent:
    return Latent(*(torch.cat([a[:, :1], b], 1) for a, b in zip(first, later, strict=True)))


def _mismatch(guess: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """-log p up to a constant, of the target brought to unit scale: half the squared error, (B,)."""
    target = nn.functional.layer_norm(target.detach(), target.shape[-1:])
    return 0.5 * _mean_over_ticks((guess - target).square(), weight).mean(-1)


def _mean_over_ticks(values: Tensor, weight: Tensor) -> Tensor:
    """(B, T, D) to (B, D)."""
    return (values * weight[..., None]).sum(1) / weight.sum(1, keepdim=True).clamp(min=1.0)
