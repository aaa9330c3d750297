"""Whether probabilities mean what they say: expected calibration error and negative log-likelihood.

Ticks whose truth is NO_ACTION are not annotated and are left out; nothing left: nan.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import Labels

LogProbs = NDArray[np.floating]
"""(T, K) natural logarithms of probabilities."""


def expected_calibration_error(truth: Labels, log_probs: LogProbs, bins: int = 15) -> float:
    """Return ECE in [0, 1]: mean over ticks of |accuracy - confidence| of their confidence bin (Guo et al. 2017).

    Equal-width bins (low, high]; confidence is the probability of the likeliest action; the first of equals wins.
    """
    truth, log_probs = _annotated(truth, log_probs)
    if not len(truth):
        return float("nan")
    confidence = np.exp(log_probs.max(axis=1))
    correct = log_probs.argmax(axis=1) == truth
    members = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(members, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(truth))


def negative_log_likelihood(truth: Labels, log_probs: LogProbs) -> float:
    """Return the mean of -log p(true action) in nats, >= 0; an action given probability 0 that happens makes it inf."""
    truth, log_probs = _annotated(truth, log_probs)
    if not len(truth):
        return float("nan")
    return float(-log_probs[np.arange(len(truth)), truth].mean())


def _annotated(truth: Labels, log_probs: LogProbs) -> tuple[Labels, LogProbs]:
    truth, log_probs = np.asarray(truth), np.asarray(log_probs, np.float64)
    if log_probs.ndim != 2 or len(truth) != len(log_probs):
        raise DatasetError(f"{len(truth)} labels but log-probabilities {log_probs.shape}; expected ({len(truth)}, K)")
    keep = truth != NO_ACTION
    truth, log_probs = truth[keep], log_probs[keep]
    if np.any((truth < 0) | (truth >= log_probs.shape[1])):
        raise DatasetError(f"action id {truth.max()} has no column; expected 0 to {log_probs.shape[1] - 1}")
    return truth, log_probs
