"""The first stage: the eye learns where to look from single ticks in random order, and is then left as it is.

A chunk's ticks look alike, so a batch of chunks shows the eye few different pictures, and a trunk above it soon
explains most actions by the joints alone. Shuffled ticks teach it in a fraction of the time (docs/log.md). Joints go
missing at random, one by one and all together, so that it copes with a robot whose joints do.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hal_ros.core.arrays import FloatArray
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.tracks import Standard, Track
from hal_ros.fit import checkpoint
from hal_ros.fit.checkpoint import Checkpoint
from hal_ros.fit.schedule import cosine
from hal_ros.nn.eye import Eye
from hal_ros.nn.eye import EyeConfig as EyeShape
from hal_ros.train.clips import NOTHING, probabilities
from hal_ros.train.config import EyeConfig, TrainConfig

Report = Callable[[str], None]
STAGE = 1_000_000
"""Added to the epoch where seeds are made, so that eye and sequences draw different numbers."""


def new_eye(config: TrainConfig, actions: int, grid: tuple[int, int, int], standard: Standard) -> Eye:
    """Return an untrained eye with the training split's means and spreads in its buffers; seeded by the config."""
    torch.manual_seed(config.seed)
    s = config.eye
    eye = Eye(
        EyeShape(
            actions, len(config.data.joints), grid, s.width, s.cell_width, s.gazes, s.keypoints, s.dropout, s.noise
        )
    )
    with torch.no_grad():
        eye.joints.mean.copy_(torch.from_numpy(standard.joint_mean))
        eye.joints.spread.copy_(torch.from_numpy(standard.joint_spread))
        eye.mean.copy_(torch.from_numpy(standard.channel_mean))
        eye.spread.copy_(torch.from_numpy(standard.channel_spread))
    return eye


class Ticks(NamedTuple):
    """Single ticks to learn from: where they lie, what they show, and how much each counts."""

    tracks: Sequence[Track]
    track: NDArray[np.int64]  # (N,) index into tracks
    tick: NDArray[np.int64]  # (N,)
    target: FloatArray  # (N, K)
    weight: FloatArray  # (N,)


def gather(
    tracks: Sequence[Track],
    targets: Mapping[str, NDArray[Any]],
    actions: int,
    confidence: Mapping[str, NDArray[Any]] = NOTHING,
) -> Ticks:
    """Return all ticks that have a picture and a target; see `train.clips.Supervised` for the mappings.

    Raises DatasetError where there is none.
    """
    columns = []
    for index, track in enumerate(tracks):
        if track.name not in targets:
            continue
        target, weight = probabilities(targets[track.name], actions)
        weight = weight * np.float32(confidence.get(track.name, 1.0))
        ticks = np.flatnonzero((weight > 0) & (track.image_valid > 0))
        columns.append((np.full(len(ticks), index), ticks, target[ticks], weight[ticks]))
    if not sum(len(column[1]) for column in columns):
        raise DatasetError("no tick has both a picture and a target; expected some to train the eye on")
    return Ticks(tracks, *(np.concatenate(column) for column in zip(*columns, strict=True)))


def fit_eye(config: TrainConfig, eye: Eye, ticks: Ticks, folder: Path | None = None, report: Report = print) -> Eye:
    """Train `eye` in place and return it, in evaluation mode; continues from the checkpoint in `folder`, if any.

    One epoch's randomness comes from (seed, epoch) alone.
    """
    torch.set_num_threads(config.threads)
    settings = config.eye
    optimiser = torch.optim.AdamW(
        eye.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    for epoch in range(_restore(folder, eye, optimiser), settings.epochs):
        started = time.monotonic()
        random = np.random.default_rng([config.seed, STAGE + epoch])
        torch.manual_seed(config.seed * 1_000_003 + STAGE + epoch)
        loss = _epoch(eye, optimiser, ticks, settings, epoch, random)
        if folder is not None:
            _save(folder, eye, optimiser, epoch + 1, config)
        report(f"eye {epoch + 1}/{settings.epochs}: {loss:.3f} | {time.monotonic() - started:.1f} s")
    return eye.eval()


def _epoch(
    eye: Eye,
    optimiser: torch.optim.Optimizer,
    ticks: Ticks,
    settings: EyeConfig,
    epoch: int,
    random: np.random.Generator,
) -> float:
    """Return the mean loss of one epoch."""
    order = random.permutation(len(ticks.tick))[: max(1, int(settings.share * len(ticks.tick)))]
    losses = []
    eye.train()
    for start in range(0, len(order), settings.batch_ticks):
        progress = (epoch + start / len(order)) / settings.epochs
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * min(1.0, 0.02 + 20 * progress) * cosine(progress)
        loss = _loss(eye, ticks, order[start : start + settings.batch_ticks], settings, random)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses))


def _loss(
    eye: Eye, ticks: Ticks, chosen: NDArray[np.int64], settings: EyeConfig, random: np.random.Generator
) -> Tensor:
    rows = [(ticks.tracks[ticks.track[index]], int(ticks.tick[index])) for index in chosen]
    feature = np.stack([track.feature[tick] for track, tick in rows])
    joints = np.stack([track.joints[tick] for track, tick in rows])
    valid = _with_losses(np.stack([track.joints_valid[tick] for track, tick in rows]), settings, random)
    inputs = (torch.from_numpy(feature).float(), torch.from_numpy(joints), torch.from_numpy(valid))
    guess = eye.guess(eye(*(tensor[:, None] for tensor in inputs)))[:, 0]
    target, smoothing = torch.from_numpy(ticks.target[chosen]), settings.label_smoothing
    loss = -((1 - smoothing) * (target * guess).sum(-1) + smoothing * guess.mean(-1))
    weight = torch.from_numpy(ticks.weight[chosen])
    return (loss * weight).sum() / weight.sum()


def _with_losses(valid: FloatArray, settings: EyeConfig, random: np.random.Generator) -> FloatArray:
    """Take away single joints, with all three of their values, and all joints of some ticks."""
    joints = valid.shape[1] // 3
    kept = random.random((len(valid), joints)) >= settings.joint_dropout
    kept &= random.random((len(valid), 1)) >= settings.numb
    return valid * np.tile(kept, 3).astype(np.float32)


# --- on disk ----------------------------------------------------------------------------------------------------------


def load_eye(folder: Path) -> Eye:
    """Return the eye that `fit_eye` left in a folder, in evaluation mode."""
    saved = checkpoint.load(folder)
    eye = Eye(EyeShape.from_json(saved.about["eye"]))
    eye.load_state_dict(saved.part("eye"))
    return eye.eval()


def _save(folder: Path, eye: Eye, optimiser: torch.optim.Optimizer, next_epoch: int, config: TrainConfig) -> None:
    moments = checkpoint.optimiser_tensors(optimiser)
    tensors = {f"eye/{name}": tensor for name, tensor in eye.state_dict().items()}
    tensors |= {f"optimiser/{name}": tensor for name, tensor in moments.items()}
    about = {"next_epoch": next_epoch, "eye": eye.config.to_json(), "config": dataclasses.asdict(config)}
    checkpoint.save(folder, Checkpoint(tensors, about))


def _restore(folder: Path | None, eye: Eye, optimiser: torch.optim.Optimizer) -> int:
    """Return the epoch to go on with."""
    if folder is None or not checkpoint.exists(folder):
        return 0
    saved = checkpoint.load(folder)
    eye.load_state_dict(saved.part("eye"))
    checkpoint.restore_optimiser(optimiser, saved.part("optimiser"))
    return int(saved.about["next_epoch"])
