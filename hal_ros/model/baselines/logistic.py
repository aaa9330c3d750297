"""Frame-wise multinomial logistic regression on joints and pooled camera features: what one frame alone can tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import Labels
from hal_ros.core.types import NO_ACTION, FloatArray

SMALLEST_SPREAD = 1e-3
"""Inputs that hardly vary in training are not blown up by standardising."""


@dataclass(frozen=True)
class LogisticRegression:
    """Standardised inputs (T, F) times weights (F, K) plus bias (K,)."""

    mean: FloatArray  # (F,)
    spread: FloatArray  # (F,)
    weights: FloatArray  # (F, K)
    bias: FloatArray  # (K,)

    def log_probs(self, inputs: FloatArray) -> FloatArray:
        """Return (T, K) for inputs (T, F); each row depends on its own tick alone, so the system is causal."""
        logits = (inputs - self.mean) / self.spread @ self.weights + self.bias
        peak = logits.max(axis=1, keepdims=True)
        normaliser = peak + np.log(np.exp(logits - peak).sum(axis=1, keepdims=True))
        return np.asarray(logits - normaliser, np.float32)


def frame_inputs(
    features: NDArray[np.floating], image_valid: FloatArray, joints: FloatArray, joints_valid: FloatArray, channels: int
) -> FloatArray:
    """Return (T, C + 1 + 6J): camera features (T, D) averaged over the grid's cells, joints, and all flags.

    The feature map is flattened cell by cell, channels last. What is not valid is 0 beside its flag 0.
    """
    pooled = np.stack([np.asarray(row, np.float32).reshape(-1, channels).mean(axis=0) for row in features])
    seen = image_valid.reshape(-1, 1)
    return np.concatenate([pooled * seen, seen, joints * joints_valid, joints_valid], axis=1, dtype=np.float32)


def train(
    inputs: Sequence[FloatArray], labels: Sequence[Labels], actions: int, decay: float = 1e-4, iterations: int = 200
) -> LogisticRegression:
    """Fit to annotated ticks of episodes of inputs (T, F) and labels (T,): cross-entropy plus decay |W|^2, L-BFGS.

    Starts from zero and sees all ticks at once, so it is deterministic. Raises DatasetError when no tick is annotated.
    """
    rows, targets = np.concatenate(inputs), np.concatenate(labels)
    annotated = targets != NO_ACTION
    rows, targets = rows[annotated], targets[annotated]
    if not len(rows):
        raise DatasetError("logistic regression needs annotated episodes; none of those given has an annotated tick")
    mean, spread = rows.mean(axis=0), np.maximum(rows.std(axis=0), SMALLEST_SPREAD)
    with _one_thread():
        weights, bias = _fit(
            torch.from_numpy((rows - mean) / spread), torch.from_numpy(targets), actions, decay, iterations
        )
    return LogisticRegression(mean, spread, weights, bias)


def _fit(
    rows: torch.Tensor, targets: torch.Tensor, actions: int, decay: float, iterations: int
) -> tuple[FloatArray, FloatArray]:
    weights = torch.zeros(rows.shape[1], actions, requires_grad=True)
    bias = torch.zeros(actions, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=iterations, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(rows @ weights + bias, targets) + decay * weights.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return weights.detach().numpy(), bias.detach().numpy()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order: more threads would change the last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
