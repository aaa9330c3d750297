"""How fast each step learns: one schedule for every network."""

from __future__ import annotations

import math

LEAST = 0.01
"""Of the learning rate, what is left at the end."""


def warm_cosine(highest: float, warm_up: float, progress: float) -> float:
    """Linear warm-up over the share `warm_up` of the training, then a cosine to 1 %; `progress` is the share done."""
    warm = min(1.0, (progress + 1e-3) / max(warm_up, 1e-9))
    return highest * warm * cosine(progress)


def cosine(progress: float) -> float:
    """Return the share of the learning rate that a training has at `progress`, 0..1, without its warm-up."""
    return LEAST + (1 - LEAST) * 0.5 * (1 + math.cos(math.pi * progress))
