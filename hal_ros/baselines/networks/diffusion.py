"""The noise of diffusion action segmentation: how much at which step, and how few steps lead back (DDIM).

Steps are counted 0..999. At step n an answer x is sqrt(a_n) x + sqrt(1 - a_n) noise, with a_n from the cosine schedule
of Nichol and Dhariwal (ICML 2021).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

STEPS = 1000
OFFSET = 0.008
LEAST_SHARE = 1e-3
"""No step takes more than all but this share of the signal away."""


class Jump(NamedTuple):
    """From a step to an earlier one; -1 is the answer itself."""

    step: int
    target: int


def signal_shares() -> Tensor:
    """Return (STEPS,) a_n, how much of the variance is signal after each step."""
    at = torch.linspace(0, 1, STEPS + 1, dtype=torch.float64)
    left = torch.cos((at + OFFSET) / (1 + OFFSET) * math.pi / 2) ** 2
    return torch.cumprod((left[1:] / left[:-1]).clamp(LEAST_SHARE, 1.0), 0).float()


def jumps(count: int) -> Iterator[Jump]:
    """Yield the steps of an evenly shortened way back, the noisiest first."""
    places = torch.linspace(-1, STEPS - 1, count + 1).long().tolist()[::-1]
    return (Jump(*pair) for pair in itertools.pairwise(places))


def disturbed(x: Tensor, share: Tensor, noise: Tensor) -> Tensor:
    """Return answers x with noise; `share` is their a_n."""
    return share.sqrt() * x + (1 - share).sqrt() * noise


def denoised(x: Tensor, answer: Tensor, noise: Tensor, shares: tuple[Tensor, Tensor]) -> Tensor:
    """Return x one jump earlier, where `answer` is what the network makes of x: DDIM with eta = 1.

    `shares` are a_n at the jump's step and at its target.
    """
    now, then = shares
    guessed = (x - now.sqrt() * answer) / (1 - now).sqrt()
    fresh = ((1 - then) / (1 - now) * (1 - now / then)).clamp(min=0.0).sqrt()
    return then.sqrt() * answer + (1 - then - fresh.square()).clamp(min=0.0).sqrt() * guessed + fresh * noise


def step_embedding(steps: Tensor, width: int) -> Tensor:
    """Return (B, width) sines and cosines of steps (B,)."""
    rates = torch.exp(torch.arange(width // 2) * (-math.log(10_000) / max(width // 2 - 1, 1)))
    angles = steps.float()[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)
