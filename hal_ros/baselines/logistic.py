"""Frame-wise multinomial logistic regression on joints and pooled camera features: what one frame alone can tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.arrays import FloatArray
from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import Labels

SMALLEST_STD = 1e-3
"""Inputs that hardly vary in training are not blown up by standardising."""


@dataclass(frozen=True)
class LogisticRegression:
    """Standardised inputs (T, F) times weights (F, K) plus bias (K,)."""

    mean: FloatArray  # (F,)
    std: FloatArray  # (F,)
    weights: FloatArray  # (F, K)
    bias: FloatArray  # (K,)

    def log_probs(self, inputs: FloatArray) -> FloatArray:
        """Return (T, K) for inputs (T, F); each row depends on its own tick alone, so the system is causal."""
        logits = (inputs - self.mean) / self.std @ self.weights + self.bias
        peak = logits.max(axis=1, keepdims=True)
        normaliser = peak + np.log(np.exp(logits - peak).sum(axis=1, keepdims=True))
        return np.asarray(logits - normaliser, np.float32)


def frame_inputs(
    features: Sequence[NDArray[np.floating]],
    image_valid: FloatArray,
    joints: FloatArray,
    joints_valid: FloatArray,
    channels: int,
) -> FloatArray:
    """Return (T, C * (N + 1) + 2V): N channels of each camera's features (T, D), averaged over the cells; states.

    The feature map is flattened cell by cell, channels last. `image_valid` is (T, C), state values and their flags are
    (T, V). Flags stand behind what they are of, and what is not valid is 0.
    """
    pooled = [
        np.stack([np.asarray(row, np.float32).reshape(-1, channels).mean(axis=0) for row in feature]) * valid[:, None]
        for feature, valid in zip(features, image_valid.T, strict=True)
    ]
    return np.concatenate([*pooled, image_valid, joints * joints_valid, joints_valid], axis=1, dtype=np.float32)


def train(
    inputs: Sequence[FloatArray], labels: Sequence[Labels], actions: int, decay: float = 1e-4, iterations: int = 200
) -> LogisticRegression:
    """Fit to annotated ticks of episodes of inputs (T, F) and labels (T,); see `train_soft`."""
    rows, targets = np.concatenate(inputs), np.concatenate(labels)
    annotated = targets != NO_ACTION
    chances = np.eye(actions, dtype=np.float32)[np.where(annotated, targets, 0)]
    return train_soft(rows, chances, annotated.astype(np.float32), decay, iterations)


def train_soft(
    rows: FloatArray, chances: FloatArray, weights: FloatArray, decay: float = 1e-4, iterations: int = 200
) -> LogisticRegression:
    """Fit rows (N, F) to probabilities (N, K) that count weights (N,): cross-entropy plus decay |W|^2, L-BFGS.

    Starts from zero and sees all ticks at once, so it is deterministic. Raises DatasetError when no tick counts.
    """
    counts = weights > 0
    rows, chances, weights = rows[counts], chances[counts], weights[counts]
    if not len(rows):
        raise DatasetError("logistic regression needs annotated episodes; none of those given has an annotated tick")
    mean, std = rows.mean(axis=0), np.maximum(rows.std(axis=0), SMALLEST_STD)
    standard = torch.from_numpy((rows - mean) / std)
    with _one_thread():
        slopes, bias = _fit(
            standard, torch.from_numpy(chances), torch.from_numpy(weights / weights.sum()), decay, iterations
        )
    return LogisticRegression(mean, std, slopes, bias)


def _fit(
    rows: torch.Tensor, chances: torch.Tensor, shares: torch.Tensor, decay: float, iterations: int
) -> tuple[FloatArray, FloatArray]:
    slopes = torch.zeros(rows.shape[1], chances.shape[1], requires_grad=True)
    bias = torch.zeros(chances.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([slopes, bias], max_iter=iterations, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        each = torch.nn.functional.cross_entropy(rows @ slopes + bias, chances, reduction="none")
        loss = (each * shares).sum() + decay * slopes.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return slopes.detach().numpy(), bias.detach().numpy()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order: more threads would change the last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
