"""The training loop: epochs over the tracks, selection on validation, checkpoints that resume to the same result."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hal_ros.core.types import NO_ACTION, FloatArray
from hal_ros.model.hal import CausalHal, HalConfig, Inputs, Outputs, State
from hal_ros.model.losses import LossWeights, supervised_loss
from hal_ros.train import checkpoint
from hal_ros.train.batches import Batch, batches, plan
from hal_ros.train.checkpoint import Checkpoint
from hal_ros.train.config import OptimiserConfig, TrainConfig
from hal_ros.train.tracks import Standard, Track
from hal_ros.train.warmup import warm_up

Report = Callable[[str], None]


class Trained(NamedTuple):
    """The best epoch's model, in evaluation mode, and how it was chosen."""

    model: CausalHal
    epoch: int
    accuracy: float  # of the lagged head over the validation ticks, 0..1


def new_model(config: TrainConfig, hal: HalConfig, standard: Standard) -> CausalHal:
    """Return an untrained model with the training split's means and spreads in its buffers; seeded by the config."""
    torch.manual_seed(config.seed)
    model = CausalHal(hal)
    with torch.no_grad():
        model.joints.mean.copy_(torch.from_numpy(standard.joint_mean))
        model.joints.spread.copy_(torch.from_numpy(standard.joint_spread))
        model.eye.mean.copy_(torch.from_numpy(standard.channel_mean))
        model.eye.spread.copy_(torch.from_numpy(standard.channel_spread))
    return model


def fit(
    config: TrainConfig,
    model: CausalHal,
    training: Sequence[Track],
    validation: Sequence[Track],
    folder: Path | None = None,
    report: Report = print,
) -> Trained:
    """Train `model` in place and return the best epoch's weights; continues from the checkpoint in `folder`, if any.

    One epoch's randomness comes from (seed, epoch) alone, so a run that was cut off ends as the uninterrupted one.
    """
    torch.set_num_threads(config.threads)
    run = _Run(config, model, folder)
    if run.next_epoch == 0:
        warm_up(config, model, training, report)
    for epoch in range(run.next_epoch, config.optimiser.epochs):
        started = time.monotonic()
        terms = run.train_epoch(epoch, training)
        accuracy, lagged = validate(model, validation, config)
        run.finish_epoch(epoch, lagged)
        losses = " ".join(f"{name} {value:.3f}" for name, value in terms.items())
        report(
            f"epoch {epoch + 1}/{config.optimiser.epochs}: {losses} | validation accuracy {accuracy:.4f} now,"
            f" {lagged:.4f} lagged | {time.monotonic() - started:.1f} s"
        )
    model.load_state_dict(run.best)
    model.eval()
    return Trained(model, run.best_epoch, run.best_accuracy)


class _Run:
    """What changes during training, and its checkpoint."""

    def __init__(self, config: TrainConfig, model: CausalHal, folder: Path | None) -> None:
        self.config, self.model, self.folder = config, model, folder
        self.optimiser = _optimiser(model, config.optimiser)
        self.next_epoch, self.best_epoch, self.best_accuracy = 0, -1, -1.0
        self.best: dict[str, Tensor] = {}
        if folder is not None and checkpoint.exists(folder):
            self._restore(checkpoint.load(folder))

    def train_epoch(self, epoch: int, tracks: Sequence[Track]) -> dict[str, float]:
        """Return the mean of every loss term over the epoch."""
        config, model = self.config, self.model
        random = np.random.default_rng([config.seed, epoch])
        torch.manual_seed(config.seed * 1_000_003 + epoch)  # dropout
        weights = LossWeights(**dataclasses.asdict(config.losses))
        streams = plan(tracks, config.batches, random)
        count = max(map(len, streams))
        stream = batches(streams, config.batches, config.data.lag_ticks, config.data.max_held_ticks, random)
        model.train()
        state: State | None = None
        history: list[dict[str, float]] = []
        for index, batch in enumerate(stream):
            _set_learning_rate(self.optimiser, config.optimiser, (epoch + index / count) / config.optimiser.epochs)
            state = state or model.initial_state(len(batch.carried))
            terms, state = self._update(batch, state.where_kept(batch.carried), weights)
            history.append(terms)
        return {name: float(np.mean([terms[name] for terms in history])) for name in history[0]}

    def _update(self, batch: Batch, state: State, weights: LossWeights) -> tuple[dict[str, float], State]:
        outputs, state = self.model(batch.inputs, state)
        terms = supervised_loss(outputs, batch.targets, weights)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optimiser.gradient_clip)
        self.optimiser.step()
        return {name: float(term.detach()) for name, term in terms.items()}, state.detached()

    def finish_epoch(self, epoch: int, accuracy: float) -> None:
        """Remember the best weights; save."""
        if accuracy > self.best_accuracy:
            self.best_epoch, self.best_accuracy = epoch, accuracy
            self.best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        if self.folder is not None:
            self._save(epoch + 1)

    def _save(self, next_epoch: int) -> None:
        assert self.folder is not None
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        moments = checkpoint.optimiser_tensors(self.optimiser)
        tensors |= {f"optimiser/{name}": tensor for name, tensor in moments.items()}
        about: dict[str, Any] = {
            "next_epoch": next_epoch,
            "best_epoch": self.best_epoch,
            "best_accuracy": self.best_accuracy,
            "hal": self.model.config.to_json(),
            "config": dataclasses.asdict(self.config),
        }
        checkpoint.save(self.folder, Checkpoint(tensors, about))

    def _restore(self, saved: Checkpoint) -> None:
        self.model.load_state_dict(saved.part("model"))
        self.best = saved.part("best")
        checkpoint.restore_optimiser(self.optimiser, saved.part("optimiser"))
        self.next_epoch = saved.about["next_epoch"]
        self.best_epoch, self.best_accuracy = saved.about["best_epoch"], saved.about["best_accuracy"]


def _optimiser(model: CausalHal, config: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW; biases, norms and positions are not decayed."""
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))


def _set_learning_rate(optimiser: torch.optim.Optimizer, config: OptimiserConfig, progress: float) -> None:
    """Linear warm-up, then a cosine to 1 %; `progress` is the share of the whole training."""
    warm = min(1.0, (progress + 1e-3) / max(config.warmup, 1e-9))
    cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))
    for group in optimiser.param_groups:
        group["lr"] = config.learning_rate * warm * cosine


# --- looking at a trained model ---------------------------------------------------------------------------------------


class Answers(NamedTuple):
    """What the model says over one track from the initial state."""

    log_probs: FloatArray  # (T, K)
    lagged_log_probs: FloatArray  # (T, K); row t speaks of tick t - lag
    boundary: FloatArray  # (T,)


@torch.no_grad()
def answer(model: CausalHal, track: Track, modalities: str = "both") -> Answers:
    """Run a whole track; `modalities` as in `BatchConfig`."""
    model.eval()
    inputs = track_inputs(track, modalities)
    outputs: Outputs = model(inputs, model.initial_state())[0]
    return Answers(outputs.log_probs[0].numpy(), outputs.lagged_log_probs[0].numpy(), outputs.boundary[0, :, 0].numpy())


def track_inputs(track: Track, modalities: str = "both") -> Inputs:
    """Return a track as one stream of tensors (1, T, …)."""
    image_valid = torch.from_numpy(track.image_valid)[None, :, None] * float(modalities != "joints")
    joints_valid = torch.from_numpy(track.joints_valid)[None] * float(modalities != "camera")
    feature = torch.from_numpy(np.asarray(track.feature, np.float32))[None]
    return Inputs(feature, image_valid, torch.from_numpy(track.joints)[None], joints_valid)


def validate(model: CausalHal, tracks: Sequence[Track], config: TrainConfig) -> tuple[float, float]:
    """Return frame accuracy (0..1) of the provisional and of the lagged answer, each about its own tick."""
    lag = config.data.lag_ticks
    hits, lagged_hits, total = 0, 0, 0
    for track in tracks:
        answers = answer(model, track, config.batches.modalities)
        known = track.actions != NO_ACTION
        hits += int(((answers.log_probs.argmax(1) == track.actions) & known).sum())
        lagged = answers.lagged_log_probs[lag:].argmax(1)
        # the last `lag` ticks never get a lagged answer; the provisional one stands for them
        tail = answers.log_probs[len(lagged) :].argmax(1)
        lagged_hits += int(((np.concatenate([lagged, tail]) == track.actions) & known).sum())
        total += int(known.sum())
    return hits / max(total, 1), lagged_hits / max(total, 1)
