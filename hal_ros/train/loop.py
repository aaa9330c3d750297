"""The training loop: epochs over the clips, selection on validation, checkpoints that resume to the same result."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.tracks import measure_values
from hal_ros.fit import checkpoint
from hal_ros.fit.checkpoint import Checkpoint
from hal_ros.fit.schedule import set_learning_rate
from hal_ros.nn.hal import CausalHal, HalConfig, Inputs, State
from hal_ros.nn.losses import Hierarchy, LossWeights, training_loss
from hal_ros.train.answers import Answers
from hal_ros.train.batches import Batch, Lesson, Stream, batches, lessons, plan
from hal_ros.train.clips import Columns, Supervised
from hal_ros.train.config import LossConfig, OptimiserConfig, TrainConfig

ANSWER_TICKS = 128
"""A clip is answered in pieces of so many ticks, the state carried: its length costs no memory."""
MEASURED_VALUES = 30_000_000
"""Means and spreads are taken over so many values at most."""
Report = Callable[[str], None]


class Trained(NamedTuple):
    """The best epoch's model, in evaluation mode, and how it was chosen."""

    model: CausalHal
    epoch: int
    accuracy: float  # of the lagged head over the validation ticks, 0..1


def new_model(config: TrainConfig, actions: int, columns: Columns, clips: Sequence[Clip]) -> CausalHal:
    """Return an untrained model with the clips' means and spreads in its buffers; seeded by the config."""
    torch.manual_seed(config.seed)
    model = CausalHal(HalConfig(actions, columns.values, columns.seen, **vars(config.model)))
    rows = columns.split(_sample(clips))
    joint_mean, joint_spread = measure_values(rows.joints, rows.joints_valid)
    with torch.no_grad():
        model.joints.mean.copy_(torch.from_numpy(joint_mean))
        model.joints.spread.copy_(torch.from_numpy(joint_spread))
        if columns.seen:
            seen_mean, seen_spread = measure_values(rows.seen, rows.image_valid[:, None])
            model.seen_mean.copy_(torch.from_numpy(seen_mean))
            model.seen_spread.copy_(torch.from_numpy(seen_spread))
    return model


def _sample(clips: Sequence[Clip]) -> np.ndarray:
    """Return (T, F): all ticks of all clips, or every n-th where they are too many for memory."""
    stride = 1 + sum(clip.inputs.size for clip in clips) // MEASURED_VALUES
    return np.concatenate([clip.inputs[::stride] for clip in clips])


def columns_of(model: CausalHal) -> Columns:
    """Return the columns of the clips that a model reads."""
    seen, values = model.config.seen, model.config.values
    return Columns(seen, values, values // 3 if seen else 0)


def fit(
    config: TrainConfig,
    model: CausalHal,
    training: Supervised,
    validation: Supervised,
    folder: Path | None = None,
    report: Report = print,
) -> Trained:
    """Train `model` in place and return the best epoch's weights; continues from the checkpoint in `folder`, if any.

    One epoch's randomness comes from (seed, epoch) alone, so a run that was cut off ends as the uninterrupted one.
    """
    torch.set_num_threads(config.threads)
    material = lessons(training)
    if not material:
        raise DatasetError("no training clip has a target; expected one by the name of a clip at least")
    run = _Run(config, model, folder)
    for epoch in range(run.next_epoch, config.optimiser.epochs):
        started = time.monotonic()
        terms = run.train_epoch(epoch, material)
        accuracy, lagged = validate(model, validation, config.data.lag_ticks)
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
        self.hierarchy = _hierarchy(config, model)
        self.optimiser = _optimiser(self._modules(), config.optimiser)
        self.next_epoch, self.best_epoch, self.best_accuracy = 0, -1, -1.0
        self.best: dict[str, Tensor] = {}
        if folder is not None and checkpoint.exists(folder):
            self._restore(checkpoint.load(folder))

    def _modules(self) -> list[nn.Module]:
        return [self.model] if self.hierarchy is None else [self.model, self.hierarchy]

    def train_epoch(self, epoch: int, material: Sequence[Lesson]) -> dict[str, float]:
        """Return the mean of every loss term over the epoch."""
        config, model = self.config, self.model
        random = np.random.default_rng([config.seed, epoch])
        torch.manual_seed(config.seed * 1_000_003 + epoch)  # dropout and the latents' samples
        weights = _weights(config.losses)
        streams = plan(material, config.batches, random)
        count = max(map(len, streams))
        like = Stream(columns_of(model), model.config.actions, config.data.lag_ticks, config.data.max_held_ticks)
        model.train()
        state: State | None = None
        history: list[dict[str, float]] = []
        for index, batch in enumerate(batches(streams, config.batches, like, random)):
            rate, progress = config.optimiser, (epoch + index / count) / config.optimiser.epochs
            set_learning_rate(self.optimiser, rate.learning_rate, rate.warmup, progress)
            state = state or model.initial_state(len(batch.carried))
            terms, state = self._update(batch, state.where_kept(batch.carried), weights)
            history.append(terms)
        return {name: float(np.mean([terms[name] for terms in history])) for name in history[0]}

    def _update(self, batch: Batch, state: State, weights: LossWeights) -> tuple[dict[str, float], State]:
        outputs, state = self.model(batch.inputs, state)
        terms = training_loss(outputs, batch.targets, weights, self.hierarchy)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        parameters = [parameter for module in self._modules() for parameter in module.parameters()]
        nn.utils.clip_grad_norm_(parameters, self.config.optimiser.gradient_clip)
        self.optimiser.step()
        return {name: float(term.detach()) for name, term in terms.items()}, state.detached()

    def finish_epoch(self, epoch: int, accuracy: float) -> None:
        """Remember the best weights, of equals the later ones; save."""
        if accuracy >= self.best_accuracy:
            self.best_epoch, self.best_accuracy = epoch, accuracy
            self.best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        if self.folder is not None:
            self._save(epoch + 1)

    def _save(self, next_epoch: int) -> None:
        assert self.folder is not None
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        if self.hierarchy is not None:
            tensors |= {f"hierarchy/{name}": tensor for name, tensor in self.hierarchy.state_dict().items()}
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
        if self.hierarchy is not None:
            self.hierarchy.load_state_dict(saved.part("hierarchy"))
        checkpoint.restore_optimiser(self.optimiser, saved.part("optimiser"))
        self.next_epoch = saved.about["next_epoch"]
        self.best_epoch, self.best_accuracy = saved.about["best_epoch"], saved.about["best_accuracy"]


def _hierarchy(config: TrainConfig, model: CausalHal) -> Hierarchy | None:
    """Return what the ELBO needs, None where it counts nothing; the model's own numbers don't depend on it."""
    if not (config.losses.reconstruction or config.losses.kl):
        return None
    torch.manual_seed(config.seed + 1)
    return Hierarchy(model.config, config.losses.prior)


def _weights(config: LossConfig) -> LossWeights:
    values = dataclasses.asdict(config)
    del values["prior"]
    return LossWeights(**values)


def _optimiser(modules: Sequence[nn.Module], config: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW; biases and norms are not decayed."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    decayed = [p for p in parameters if p.ndim >= 2]
    others = [p for p in parameters if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True)


# --- looking at a trained model ---------------------------------------------------------------------------------------


@torch.no_grad()
def answer(model: CausalHal, clip: Clip) -> Answers:
    """Run a whole clip from the initial state."""
    model.eval()
    columns, state, pieces = columns_of(model), model.initial_state(), []
    for start in range(0, clip.ticks, ANSWER_TICKS):
        outputs, state = model(stream_inputs(clip, columns, start, start + ANSWER_TICKS), state)
        pieces.append((outputs.log_probs[0], outputs.lagged_log_probs[0], outputs.boundary[0, :, 0]))
    return Answers(*(torch.cat(column).numpy() for column in zip(*pieces, strict=True)))


def stream_inputs(clip: Clip, columns: Columns, start: int = 0, stop: int | None = None) -> Inputs:
    """Return ticks [start, stop) of a clip as one stream of tensors (1, T, …)."""
    rows = columns.split(clip.inputs[start:stop])
    seen, image_valid, joints, joints_valid = (torch.from_numpy(np.ascontiguousarray(row))[None] for row in rows)
    return Inputs(seen, image_valid[..., None], joints, joints_valid)


def validate(model: CausalHal, material: Supervised, lag_ticks: int) -> tuple[float, float]:
    """Return frame accuracy (0..1) of the provisional and of the lagged answer, each about its own tick."""
    hits, lagged_hits, total = 0, 0, 0
    for clip in material.clips:
        if clip.name not in material.targets:
            continue
        actions, answers = material.labels(clip), answer(model, clip)
        known = actions != NO_ACTION
        hits += int(((answers.log_probs.argmax(1) == actions) & known).sum())
        lagged = answers.lagged_log_probs[lag_ticks:].argmax(1)
        # the last `lag` ticks never get a lagged answer; the provisional one stands for them
        tail = answers.log_probs[len(lagged) :].argmax(1)
        lagged_hits += int(((np.concatenate([lagged, tail]) == actions) & known).sum())
        total += int(known.sum())
    return hits / max(total, 1), lagged_hits / max(total, 1)
