"""The first stage: the eye learns where to look from single ticks in random order, and is then left as it is.

A chunk's ticks look alike, so a batch of chunks shows the eye few different pictures, and a trunk above it soon
explains most actions by the joints alone. Shuffled ticks teach it in a fraction of the time (docs/log.md). States go
missing at random, joint by joint, one of several and all together, so that it copes with a robot whose states do.

Each camera has an eye of its own, guided by all states, and trained on the ticks that have this camera's picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hal_ros.core.arrays import FloatArray
from hal_ros.core.errors import DatasetError
from hal_ros.core.streams.columns import ValueGroups, groups_of
from hal_ros.core.work import Report
from hal_ros.datasets.config import streams_of
from hal_ros.datasets.encoded_clips import EncodedClip, NormalisationStatistics
from hal_ros.fit import checkpoint
from hal_ros.fit.device import device_of, moved, training_device
from hal_ros.fit.loop import Epoch, Finished, Loop, RunSession, Seeds, Terms, Training, mean_terms
from hal_ros.fit.schedule import cosine
from hal_ros.nn.joint_guided_attention import Eye
from hal_ros.nn.joint_guided_attention import EyeConfig as EyeShape
from hal_ros.nn.restoring import restored
from hal_ros.outside.reading import reading
from hal_ros.train.clips import NO_WEIGHTS, probabilities
from hal_ros.train.config import EyeSettings, TrainConfig, to_mapping

STAGE = 1_000_000
"""Added to the epoch where seeds are made, so that each camera's eye and the sequences draw different numbers."""


def new_eye(
    config: TrainConfig, actions: int, grid: tuple[int, int, int], standard: NormalisationStatistics, camera: int = 0
) -> Eye:
    """Return a camera's untrained eye with the training split's normalisation statistics; seeded by the config."""
    torch.manual_seed(config.seed)
    s, values = config.eye, len(standard.joint_mean)
    eye = Eye(EyeShape(actions, values, grid, s.width, s.cell_width, s.gazes, s.keypoints, s.dropout, s.noise))
    with torch.no_grad():
        if values:
            eye.joints.mean.copy_(torch.from_numpy(standard.joint_mean))
            eye.joints.spread.copy_(torch.from_numpy(standard.joint_std))
        eye.mean.copy_(torch.from_numpy(standard.channel_mean[camera]))
        eye.spread.copy_(torch.from_numpy(standard.channel_std[camera]))
    return eye


@dataclass(frozen=True)
class Ticks:
    """Single ticks to learn from: where they lie, what they show, and how much each counts."""

    encoded_clips: Sequence[EncodedClip]
    camera: int  # whose pictures are learned from
    encoded: NDArray[np.int64]  # (N,) index into the clips
    tick: NDArray[np.int64]  # (N,)
    target: FloatArray  # (N, K)
    weight: FloatArray  # (N,)


def gather(
    encoded_clips: Sequence[EncodedClip],
    targets: Mapping[str, NDArray[Any]],
    actions: int,
    camera: int = 0,
    weights: Mapping[str, NDArray[Any]] = NO_WEIGHTS,
) -> Ticks:
    """Return all ticks that have this camera's picture and a target; see `train.clips.Supervised` for the targets.

    Raises DatasetError where there is none.
    """
    columns = []
    for index, encoded in enumerate(encoded_clips):
        if encoded.name not in targets:
            continue
        target, weight = probabilities(targets[encoded.name], actions, weights.get(encoded.name))
        ticks = np.flatnonzero((weight > 0) & (encoded.image_valid[:, camera] > 0))
        columns.append((np.full(len(ticks), index), ticks, target[ticks], weight[ticks]))
    if not sum(len(column[1]) for column in columns):
        where = f" of camera {camera + 1}" if camera else ""
        raise DatasetError(f"no tick has both a picture{where} and a target; expected some to train the eye on")
    return Ticks(encoded_clips, camera, *(np.concatenate(column) for column in zip(*columns, strict=True)))


def fit_eye(config: TrainConfig, eye: Eye, ticks: Ticks, folder: Path | None = None, report: Report = print) -> Eye:
    """Train `eye` in place and return it, in evaluation mode; continues from the checkpoint in `folder`, if any.

    One epoch's randomness comes from (seed, epoch) alone.
    """
    torch.set_num_threads(config.threads)
    settings = config.eye
    optimiser = torch.optim.AdamW(
        eye.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    cameras = list(streams_of(config.data).cameras)
    loop = Loop(
        f"eye of {cameras[ticks.camera]}" if len(cameras) > 1 else "eye",
        settings.epochs,
        Seeds(config.seed, offset=STAGE * (1 + ticks.camera)),
        {"eye": eye},
        optimiser,
        lambda progress: settings.learning_rate * min(1.0, 0.02 + 20 * progress) * cosine(progress),
        session=RunSession(folder, report),
        device=training_device(),
    )
    loop.run(_EyeTraining(config, eye, ticks))
    return eye.eval()


class _EyeTraining(Training[NDArray[np.int64]]):
    """Batches are indices (B,) of single ticks."""

    def __init__(self, config: TrainConfig, eye: Eye, ticks: Ticks) -> None:
        self.config, self.eye, self.ticks = config, eye, ticks
        self.groups = groups_of(streams_of(config.data))
        self.random = np.random.default_rng()  # each epoch's own, once it has begun

    def batches(self, epoch: Epoch) -> Iterator[tuple[float, NDArray[np.int64]]]:
        """Shuffle the ticks, and show a share of them."""
        settings, self.random = self.config.eye, epoch.random
        count = len(self.ticks.tick)
        order = self.random.permutation(count)[: max(1, int(settings.share * count))]
        starts = range(0, len(order), settings.batch_ticks)
        return ((start / len(order), order[start : start + settings.batch_ticks]) for start in starts)

    def losses(self, batch: NDArray[np.int64]) -> dict[str, Tensor]:
        """Return the weighted cross-entropy of the chosen ticks."""
        ticks, settings = self.ticks, self.config.eye
        rows = [(ticks.encoded_clips[ticks.encoded[index]], int(ticks.tick[index])) for index in batch]
        feature = np.stack([encoded.features[ticks.camera][tick] for encoded, tick in rows])
        joints = np.stack([encoded.joints[tick] for encoded, tick in rows])
        valid = np.stack([encoded.joints_valid[tick] for encoded, tick in rows])
        valid = _with_losses(valid, self.groups, settings, self.random)
        arrays = (feature, joints, valid, ticks.target[batch], ticks.weight[batch])
        *inputs, target, weight = moved([torch.from_numpy(array) for array in arrays], device_of(self.eye))
        inputs[0], smoothing = inputs[0].float(), settings.label_smoothing
        log_probs = self.eye.head(self.eye(*(tensor[:, None] for tensor in inputs)))[:, 0]
        loss = -((1 - smoothing) * (target * log_probs).sum(-1) + smoothing * log_probs.mean(-1))
        return {"frame": (loss * weight).sum() / weight.sum()}

    def finish_epoch(self, history: Sequence[Terms]) -> Finished:
        """Tell the mean loss; nothing is chosen by it."""
        about = {"eye": self.eye.config.to_json(), "config": to_mapping(self.config)}
        return Finished(f"{mean_terms(history)['frame']:.3f}", about)


def _with_losses(
    valid: FloatArray, groups: ValueGroups, settings: EyeSettings, random: np.random.Generator
) -> FloatArray:
    """Take away single names with all their values, all states of some ticks, and one of several states of others."""
    ticks, states = len(valid), groups.state_count
    kept = random.random((ticks, groups.name_count)) >= settings.joint_dropout
    kept &= random.random((ticks, 1)) >= settings.joints_masked
    flags = valid * kept[:, groups.names].astype(np.float32)
    if states > 1:
        lost = np.where(random.random(ticks) < settings.stream_masked, random.integers(states, size=ticks), -1)
        flags *= lost[:, None] != np.array(groups.states)
    return flags


def load_eye(folder: Path) -> Eye:
    """Return the eye that `fit_eye` left in a folder, in evaluation mode."""
    saved = checkpoint.load(folder)
    with reading(folder / checkpoint.FILE, checkpoint.CHECKPOINT):
        eye = restored(Eye, EyeShape.from_json(saved.about["eye"]), saved.part("eye"))
    assert isinstance(eye, Eye)
    return eye
