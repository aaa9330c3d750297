"""One random stream per concern, so that no concern's draws can shift another's."""

from __future__ import annotations

import numpy as np

CONCERNS = (
    "layout",
    "controller",
    "encoders",
    "appearance",
    "background",
    "image_noise",
    "wrist_image_noise",
    "tool_sensors",
    "disturbances",
    "holds",
)
"""A concern's place in the list is its seed: new ones go to the end."""


def stream(seed: int, concern: str) -> np.random.Generator:
    """Return the generator of one concern of one episode; ValueError for an unnamed concern."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(CONCERNS.index(concern),)))
