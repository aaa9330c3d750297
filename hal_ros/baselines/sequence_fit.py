"""One trainer for all learned baselines, so that they differ in what they are and not in how they were trained."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hal_ros.baselines.causal_asformer import CausalAsFormer
from hal_ros.baselines.causal_tcn import CausalTcn
from hal_ros.baselines.gru import GruModel
from hal_ros.baselines.ms_tcn import MsTcn
from hal_ros.baselines.sequence import SequenceModel
from hal_ros.baselines.sequence_answers import FittedSequence
from hal_ros.baselines.sequence_batches import Batch, Sampling, assemble, check, measure, plan
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import ConfigError
from hal_ros.fit import checkpoint
from hal_ros.fit.checkpoint import Checkpoint
from hal_ros.fit.schedule import set_learning_rate
from hal_ros.nn.losses import JUMP_CAP
from hal_ros.train.answers import confirmed_actions
from hal_ros.train.clips import Supervised

Report = Callable[[str], None]
KINDS = ("gru", "causal_tcn", "causal_asformer", "ms_tcn")


@dataclass(frozen=True)
class SequenceConfig:
    """One baseline's numbers; `PRESETS` holds those that were found on validation."""

    kind: str = "gru"  # "gru", "causal_tcn", "causal_asformer" or "ms_tcn"
    width: int = 128
    layers: int = 7  # of each stage; the GRU has one
    stages: int = 3  # likewise
    dropout: float = 0.2
    input_dropout: float = 0.0  # share of the input columns that are away for a whole piece
    epochs: int = 12
    least_batches: int = 250  # of the whole training: few clips are gone through as much oftener
    batch: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup: float = 0.05  # share of all batches
    gradient_clip: float = 1.0
    label_smoothing: float = 0.0
    transition: float = 0.15  # weight of T-MSE
    piece_ticks: int = 512  # longer clips are cut, at other places in every epoch
    window_ticks: int = 0  # 0: no windows but whole clips
    window_stride_ticks: int = 16
    loss_ticks: int = 0  # at each window's end; 0: all
    threads: int = 1

    def __post_init__(self) -> None:
        """Raise ConfigError for values that no run could use."""
        if self.kind not in KINDS:
            raise ConfigError(f"kind is {self.kind!r}; expected one of {', '.join(KINDS)}")
        for name in ("width", "layers", "stages", "epochs", "batch", "piece_ticks", "window_stride_ticks", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more")
        if self.window_ticks < 0 or not 0 <= self.loss_ticks <= self.window_ticks:
            raise ConfigError(
                f"window_ticks is {self.window_ticks} and loss_ticks {self.loss_ticks}; expected 0 <= loss <= window"
            )

    @property
    def sampling(self) -> Sampling:
        """How the clips are cut."""
        return Sampling(self.batch, self.piece_ticks, self.window_ticks, self.window_stride_ticks, self.loss_ticks)

    def epochs_for(self, lengths: Sequence[int]) -> int:
        """Return how often clips of these lengths are gone through."""
        batches = len(plan(lengths, self.sampling, np.random.default_rng(0)))
        return max(self.epochs, math.ceil(self.least_batches / batches))


PRESETS = {
    "gru": SequenceConfig(
        "gru",
        width=128,
        epochs=10,
        batch=64,
        learning_rate=4e-3,
        input_dropout=0.1,
        transition=0.0,
        window_ticks=128,
        window_stride_ticks=24,
        loss_ticks=1,
    ),
    "causal_tcn": SequenceConfig("causal_tcn", width=64, learning_rate=2e-3, input_dropout=0.1),
    "causal_asformer": SequenceConfig(
        "causal_asformer", width=64, layers=6, stages=2, epochs=10, learning_rate=2e-3, input_dropout=0.1
    ),
    "ms_tcn": SequenceConfig("ms_tcn", width=64),
}
"""Found on the validation clips of the tabletop benchmark, about 70 s of one processor each."""


def fit_sequence(
    config: SequenceConfig,
    actions: int,
    training: Supervised,
    validation: Supervised,
    lag_ticks: int,
    seed: int = 0,
    folder: Path | None = None,
    report: Report = print,
) -> FittedSequence:
    """Train and return the epoch whose confirmed answers agree best with the validation targets.

    Continues from the checkpoint in `folder`, if any; an epoch's randomness comes from (seed, epoch) alone, so a run
    that was cut off ends as the uninterrupted one. Without a validation tick with a target the last epoch is taken.
    Raises DatasetError for targets that don't fit, and ConfigError for a checkpoint of other settings.
    """
    torch.set_num_threads(config.threads)
    training = check(training, actions)
    run = _Run(config, actions, training, lag_ticks, seed, folder)
    for epoch in range(run.next_epoch, run.epochs):
        started = time.monotonic()
        loss = run.train_epoch(epoch, training)
        accuracy = confirmed_accuracy(run.fitted(), validation)
        run.finish_epoch(epoch, accuracy)
        report(
            f"{config.kind} epoch {epoch + 1}/{run.epochs}: loss {loss:.3f} | validation accuracy {accuracy:.4f}"
            f" lagged | {time.monotonic() - started:.1f} s"
        )
    run.model.load_state_dict(run.best)
    return FittedSequence(run.model, lag_ticks, run.best_epoch, run.best_accuracy)


def build(config: SequenceConfig, inputs: int, actions: int, lag_ticks: int) -> SequenceModel:
    """Return an untrained model."""
    size: dict[str, Any] = {"width": config.width, "dropout": config.dropout, "input_dropout": config.input_dropout}
    if config.kind == "gru":
        return GruModel(inputs, actions, **size)
    size |= {"layers": config.layers, "stages": config.stages}
    if config.kind == "ms_tcn":
        return MsTcn(inputs, actions, lag_ticks, **size)
    return (CausalTcn if config.kind == "causal_tcn" else CausalAsFormer)(inputs, actions, **size)


def confirmed_accuracy(fitted: FittedSequence, material: Supervised) -> float:
    """Return the share of ticks with a target whose confirmed answer is the target, 0 without any such tick."""
    hits, total = 0, 0
    for clip in material.clips:
        if clip.name in material.targets and clip.ticks:
            labels = material.labels(clip)
            known = labels != NO_ACTION
            hits += int((confirmed_actions(fitted.answer(clip), fitted.lag_ticks) == labels)[known].sum())
            total += int(known.sum())
    return hits / max(total, 1)


def sequence_loss(logits: Tensor, batch: Batch, config: SequenceConfig) -> Tensor:
    """Return cross-entropy plus T-MSE, each a mean over the ticks that count, summed over the stages.

    T-MSE: squared change of log-probabilities from tick to tick, truncated, the earlier tick held fixed (MS-TCN).
    """
    log_probs = torch.log_softmax(logits, -1)  # (S, B, T, 2, K)
    smooth = config.label_smoothing
    wanted = (1 - smooth) * batch.targets + smooth / logits.shape[-1]
    terms = _mean(-(wanted * log_probs).sum(-1), batch.weight)
    if config.transition:
        jump = (log_probs[:, :, 1:] - log_probs[:, :, :-1].detach()).abs().clamp(max=JUMP_CAP)
        pair = (batch.weight[:, 1:] * batch.weight[:, :-1] > 0).float()
        terms = terms + config.transition * _mean(jump.square().mean(-1), pair)
    return terms.sum()


def _mean(loss: Tensor, weight: Tensor) -> Tensor:
    """Return (S,) means of loss (S, B, T, 2) with weight (B, T, 2)."""
    return (loss * weight).sum((1, 2, 3)) / weight.sum().clamp(min=1.0)


class _Run:
    """What changes during training, and its checkpoint."""

    def __init__(
        self,
        config: SequenceConfig,
        actions: int,
        training: Supervised,
        lag_ticks: int,
        seed: int,
        folder: Path | None,
    ) -> None:
        self.config, self.actions, self.lag_ticks, self.seed, self.folder = config, actions, lag_ticks, seed, folder
        torch.manual_seed(seed)
        self.model = build(config, training.clips[0].inputs.shape[1], actions, lag_ticks)
        self.model.standardise_by(*measure(training.clips))
        self.epochs = config.epochs_for([clip.ticks for clip in training.clips])
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.next_epoch, self.best_epoch, self.best_accuracy = 0, -1, -1.0
        self.best: dict[str, Tensor] = {}
        if folder is not None and checkpoint.exists(folder):
            self._restore(checkpoint.load(folder))

    def fitted(self) -> FittedSequence:
        """Return the model as it is now."""
        return FittedSequence(self.model, self.lag_ticks, self.next_epoch, 0.0)

    def train_epoch(self, epoch: int, material: Supervised) -> float:
        """Return the epoch's mean loss."""
        config = self.config
        random = np.random.default_rng([self.seed, epoch])
        torch.manual_seed(self.seed * 1_000_003 + epoch)  # dropout
        batches = plan([clip.ticks for clip in material.clips], config.sampling, random)
        self.model.train()
        losses = []
        for index, pieces in enumerate(batches):
            progress = (epoch + index / len(batches)) / self.epochs
            set_learning_rate(self.optimiser, self.config.learning_rate, self.config.warmup, progress)
            batch = assemble(pieces, material, self.actions, self.lag_ticks)
            loss = sequence_loss(self.model(batch.inputs, batch.mask), batch, config)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.gradient_clip)
            self.optimiser.step()
            losses.append(float(loss.detach()))
        return float(np.mean(losses))

    def finish_epoch(self, epoch: int, accuracy: float) -> None:
        """Remember the best weights, the last of equals; save."""
        if accuracy >= self.best_accuracy:
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
        about = {"next_epoch": next_epoch, "best_epoch": self.best_epoch, "best_accuracy": self.best_accuracy}
        checkpoint.save(self.folder, Checkpoint(tensors, about | self._settings()))

    def _settings(self) -> dict[str, Any]:
        """What a checkpoint must share with the run that continues it."""
        return {
            "config": dataclasses.asdict(self.config),
            "inputs": self.model.inputs,
            "actions": self.actions,
            "lag_ticks": self.lag_ticks,
            "seed": self.seed,
        }

    def _restore(self, saved: Checkpoint) -> None:
        for name, value in self._settings().items():
            if saved.about.get(name) != value:
                stored = saved.about.get(name)
                raise ConfigError(f"checkpoint {self.folder}: its {name} is {stored!r}; expected {value!r}")
        self.model.load_state_dict(saved.part("model"))
        self.best = saved.part("best")
        checkpoint.restore_optimiser(self.optimiser, saved.part("optimiser"))
        self.next_epoch = saved.about["next_epoch"]
        self.best_epoch, self.best_accuracy = saved.about["best_epoch"], saved.about["best_accuracy"]
