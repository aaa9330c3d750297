"""What a sequence model says of one clip, whichever model it is: all that decoders and scores need to know of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.arrays import FloatArray


@dataclass(frozen=True)
class Answers:
    """One clip from the initial state. The last `lag` ticks get no lagged answer: row t speaks of tick t - lag."""

    log_probs: FloatArray  # (T, K) of this tick
    lagged_log_probs: FloatArray  # (T, K) of lag ticks earlier; (0, K) of a system that sees whole clips
    boundary: FloatArray  # (T,) in [0, 1]: how sure a new action begins


def confirmed_actions(answers: Answers, lag_ticks: int) -> NDArray[np.int64]:
    """Return the likeliest actions (T,), the lagged ones; the last ticks, that get none, keep the provisional ones."""
    lagged = answers.lagged_log_probs[lag_ticks:].argmax(1)
    return np.concatenate([lagged, answers.log_probs[len(lagged) :].argmax(1)])
