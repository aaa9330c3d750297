"""A Gaussian for each action, weighed by soft alignments: the simple model that averages over all clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SHARED = 0.1
"""Share of the common covariance in each action's own; more where an action has few steps."""
LEAST_VARIANCE = 1e-3


@dataclass(frozen=True)
class Gaussians:
    """What the steps of each action look like."""

    mean: Array  # (K, d)
    whitening: Array  # (K, d, d)
    log_scale: Array  # (K,)


def fit_gaussians(features: Sequence[Array], soft: Sequence[Array], shares: Sequence[float]) -> Gaussians:
    """Return those of steps (N, d) that are `soft` (N, K) each action's; a clip's steps count as `shares` of one."""
    x = np.concatenate(features)
    share = np.concatenate([size * probabilities for size, probabilities in zip(shares, soft, strict=True)])
    count = share.sum(0)
    dims = x.shape[1]
    mean = share.T @ x / np.maximum(count, 1e-9)[:, None]
    own = np.stack([(x * weight[:, None]).T @ x for weight in share.T]) / np.maximum(count, 1e-9)[:, None, None]
    own -= mean[:, :, None] * mean[:, None, :]
    common = np.tensordot(count, own, 1) / count.sum()
    shared = np.maximum(SHARED, dims / np.maximum(count + dims, 1e-9))[:, None, None]
    covariance = (1 - shared) * own + shared * common + LEAST_VARIANCE * np.eye(dims)
    whitening = np.linalg.cholesky(np.linalg.inv(covariance))
    return Gaussians(mean, whitening, np.log(np.diagonal(whitening, axis1=1, axis2=2)).sum(1))


def log_likelihoods(x: Array, gaussians: Gaussians) -> Array:
    """Return (T, K) up to a constant."""
    white = np.stack([(x - m) @ w for m, w in zip(gaussians.mean, gaussians.whitening, strict=True)], 1)
    return gaussians.log_scale - 0.5 * np.square(white).sum(-1)
