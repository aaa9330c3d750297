"""Before the sequences: eye and joints embedding learn from single ticks in random order.

A chunk's ticks look alike, so a batch of chunks shows the eye few different pictures, and the trunk soon explains most
actions by the joints alone. Shuffled ticks teach the eye where to look in a fraction of the time (docs/log.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from hal_ros.core.types import NO_ACTION
from hal_ros.model.hal import CausalHal, Inputs
from hal_ros.train.config import TrainConfig
from hal_ros.train.tracks import Track

BATCH = 128
SHARE = 0.5
"""Of the ticks, how many an epoch shows: neighbours look alike."""


def warm_up(config: TrainConfig, model: CausalHal, tracks: Sequence[Track], report: Callable[[str], None]) -> None:
    """Train eye, joints embedding and glance head in place; all randomness comes from (seed, epoch)."""
    parts = (model.eye, model.joints, model.glance)
    parameters = [parameter for part in parts for parameter in part.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=config.optimiser.learning_rate, weight_decay=0.05)
    ticks = [(track, tick) for track in tracks for tick in np.flatnonzero(track.actions != NO_ACTION).tolist()]
    epochs = config.optimiser.warmup_epochs
    model.train()
    for epoch in range(epochs):
        started = time.monotonic()
        order = np.random.default_rng([config.seed, 1_000_000 + epoch]).permutation(len(ticks))
        torch.manual_seed(config.seed * 1_000_003 + 1_000_000 + epoch)
        losses = []
        for group in optimiser.param_groups:
            group["lr"] = config.optimiser.learning_rate * (1 - epoch / epochs)
        for start in range(0, max(1, int(SHARE * len(ticks)) - BATCH), BATCH):
            batch = [ticks[index] for index in order[start : start + BATCH]]
            loss = _loss(model, batch, config.batches.modalities)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        report(f"glance {epoch + 1}/{epochs}: {np.mean(losses):.3f} | {time.monotonic() - started:.1f} s")


def _loss(model: CausalHal, batch: Sequence[tuple[Track, int]], modalities: str) -> Tensor:
    inputs = Inputs(
        torch.from_numpy(np.stack([track.feature[tick] for track, tick in batch]).astype(np.float32))[:, None],
        torch.tensor([track.image_valid[tick] for track, tick in batch])[:, None, None] * (modalities != "joints"),
        torch.from_numpy(np.stack([track.joints[tick] for track, tick in batch]))[:, None],
        torch.from_numpy(np.stack([track.joints_valid[tick] for track, tick in batch]))[:, None]
        * (modalities != "camera"),
    )
    actions = torch.tensor([int(track.actions[tick]) for track, tick in batch])
    return torch.nn.functional.nll_loss(model.look(inputs)[:, 0], actions)
