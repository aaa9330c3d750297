"""The names of what jobs write, in one place: each reads what others wrote."""

from __future__ import annotations

ABOUT = "about.json"
"""What is true of all clips of a folder, or what is known of a trained system."""
MIXTURE = "mixture.npz"
"""What is told of the clips to learn from and to choose by, and the first labels that come of it."""
ALIGNED_TARGETS = "aligned.npz"
"""A teacher's training clips: the targets are what it made of their transcripts."""
SCORES = "scores.json"
"""Split -> output -> metric -> value."""
DECODERS = "decoders.json"
"""The temperatures and decoders behind the scores, one mapping a fold."""
COSTS = "costs.json"
"""System -> what one tick of it costs, and its parameters."""
MINUTES = "person minutes"
"""In ABOUT: what it costs a person to tell what is told, transcripts aside."""
CHECKPOINTS = "run"
"""The folder of a training's checkpoints, below its job's; a system's are removed when it is trained."""


def split_file(split: str) -> str:
    """Return the name of a split's clips, or of what a system answered to them."""
    return f"{split}.npz"


def latents_file(split: str) -> str:
    """Return the name of a student's latents of some clips of a split."""
    return f"latents-{split}.npz"
