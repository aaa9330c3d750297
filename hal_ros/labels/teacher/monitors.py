"""Is the hierarchy of latents alive? Watched in every epoch, for the losses alone don't tell a collapse.

A constant c satisfies slowness and KL at once, and a noisy v passes for a fast one: the variance of c, the KL of each
dimension, how fast c changes beside v, and what a linear probe reads from either, tell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hal_ros.fit.device import device_of, to_numpy
from hal_ros.labels.teacher.network import PyramidTeacher
from hal_ros.nn.latent import Elbo
from hal_ros.nn.losses import UNIT_FLOOR

CLIPS = 24
"""Clips that are watched; every second one fits the probes, the others test them."""
RIDGE = 1e-2
ALIVE_NATS = 0.05

Array = NDArray[np.float64]
Watched = Sequence[tuple[Tensor, NDArray[np.float32] | None]]


@torch.no_grad()
def watch(model: PyramidTeacher, elbo: Elbo | None, clips: Watched) -> dict[str, float]:
    """Return the monitors by name from inputs (1, N, F) and targets (N, K), None where there are none yet."""
    model.eval()
    outputs = [model(inputs.to(device_of(model)), torch.ones(inputs.shape[:2])) for inputs, _ in clips]
    visual = [_numpy(found.visual.mean) for found in outputs]
    action = [_numpy(found.action.mean) for found in outputs]
    watched = {
        "action_variance": float(np.concatenate(action).var(0).mean()),
        "visual_variance": float(np.concatenate(visual).var(0).mean()),
        "change_ratio": mean_change(action) / max(mean_change(visual), 1e-9),
    }
    if elbo is not None:
        kls = [
            elbo(o.visual_below, o.visual, o.action, torch.ones(o.log_probs.shape[:2]), _above(model, o.action_below))
            for o in outputs
        ]
        for name in ("visual_kl_per_dim", "action_kl_per_dim"):
            kl = torch.stack([getattr(found, name) for found in kls]).mean(0)
            watched[name.removesuffix("_per_dim")] = float(kl.mean())
            watched[name.replace("kl_per_dim", "alive")] = float((kl > ALIVE_NATS).float().mean())
    labels = [target.argmax(1) for _, target in clips if target is not None]
    if len(labels) == len(clips) > 1:
        watched["visual_probe"] = probe_accuracy(visual, labels)
        watched["action_probe"] = probe_accuracy(action, labels)
    return watched


def _above(model: PyramidTeacher, action_below: Tensor) -> Tensor | None:
    return action_below if model.config.literal else None


def _numpy(values: Tensor) -> Array:
    return to_numpy(values[0]).astype(np.float64)


def mean_change(latents: Sequence[Array]) -> float:
    """Return the mean absolute change, summed over dimensions, from step to step of per-step unit vectors."""
    units = [rows / (np.linalg.norm(rows, axis=1, keepdims=True) + UNIT_FLOOR) for rows in latents]
    changes = [np.abs(np.diff(unit, axis=0)).sum(1) for unit in units]
    everything = np.concatenate(changes)
    return float(everything.mean()) if len(everything) else 0.0


def probe_accuracy(latents: Sequence[Array], labels: Sequence[NDArray[np.int64]]) -> float:
    """Return how often (0..1) a ridge regression reads the label; every second sequence fits it, the others test."""
    centre = np.concatenate(latents[::2]).mean(0)
    scale = np.concatenate(latents[::2]).std(0) + 1e-9

    def design(parts: Sequence[Array]) -> Array:
        rows = (np.concatenate(parts) - centre) / scale
        return np.concatenate([rows, np.ones((len(rows), 1))], 1)

    x, known = design(latents[::2]), np.concatenate(labels[::2])
    wanted = np.eye(1 + max(int(label.max()) for label in labels))[known]
    weights = np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ wanted)
    return float(np.mean((design(latents[1::2]) @ weights).argmax(1) == np.concatenate(labels[1::2])))
