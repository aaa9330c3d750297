"""Small clips whose columns follow the action, for the models that learn from transcripts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hal_ros.datasets.clips import Clip

ACTIONS, FEATURES = 4, 5


def make_clips(count: int, seed: int = 0, noise: float = 0.5, segments: int = 5) -> list[Clip]:
    """Return clips of `segments` actions, 12 to 24 ticks each; every action has a mean of its own."""
    random = np.random.default_rng(seed)
    means = np.random.default_rng(99).normal(size=(ACTIONS, FEATURES)) * 2
    clips = []
    for number in range(count):
        transcript = [int(random.integers(ACTIONS))]
        while len(transcript) < segments:
            following = int(random.integers(ACTIONS))
            if following != transcript[-1]:
                transcript.append(following)
        actions = np.repeat(transcript, random.integers(12, 25, segments)).astype(np.int64)
        inputs = means[actions] + random.normal(size=(len(actions), FEATURES)) * noise
        clips.append(Clip(f"clip-{seed}-{number}", inputs.astype(np.float32), actions, tuple(transcript)))
    return clips


def accuracy(labels: Mapping[str, NDArray[np.int64]], clips: list[Clip]) -> float:
    """Return the share of ticks (0..1) whose label is the clip's action."""
    return float(np.mean(np.concatenate([labels[clip.name] == clip.actions for clip in clips])))
