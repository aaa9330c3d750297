"""Answers of a system that was told what to say, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from hal_ros.metrics.answer_files import ClipAnswers

PERIOD_NS, LAG, ACTIONS = 100_000_000, 4, 3
TRUTH = np.repeat([0, 1, 2, 1], 10)


def log_probs(labels: Any) -> Any:
    return np.log(np.full((len(labels), ACTIONS), 0.05) + 0.85 * np.eye(ACTIONS)[labels]).astype(np.float32)


def clip(now: Any = TRUTH, about: Any = TRUTH, name: str = "one", offline: bool = False) -> ClipAnswers:
    """Return answers that say `now` at once and `about` of the tick LAG ago."""
    lagged = log_probs(np.concatenate([np.zeros(LAG, int), about[: len(about) - LAG]]))
    boundary = np.full(len(now), 0.5, np.float32)
    return ClipAnswers(name, TRUTH, TRUTH, (0, 1, 2, 1), log_probs(now), lagged[:0] if offline else lagged, boundary)
