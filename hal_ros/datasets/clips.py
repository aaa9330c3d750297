"""A clip: one video or episode as the sequence models see it, wherever it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Clip:
    """One video or episode as the sequence models see it."""

    name: str
    inputs: NDArray[np.floating[Any]]  # (T, F), any float dtype, possibly memory-mapped; NaN where a value is missing
    actions: NDArray[
        np.int64
    ]  # (T,) action ids, NO_ACTION where not annotated; under transcripts only scoring reads it
    transcript: tuple[int, ...]  # ordered action ids; () when unknown

    @property
    def ticks(self) -> int:
        """The number of ticks T."""
        return len(self.inputs)
