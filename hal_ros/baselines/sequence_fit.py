"""One trainer for all learned baselines, so that they differ in what they are and not in how they were trained."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hal_ros.baselines.causal_asformer import CausalAsFormer
from hal_ros.baselines.causal_tcn import CausalTcn
from hal_ros.baselines.gru import GruModel
from hal_ros.baselines.ms_tcn import MsTcn
from hal_ros.baselines.sequence import SequenceModel, Size
from hal_ros.baselines.sequence_answers import FittedSequence
from hal_ros.baselines.sequence_batches import Piece, Sampling, WindowBatch, assemble, check, measure, plan
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import ConfigError
from hal_ros.fit.loop import UNSAVED, Epoch, Finished, Loop, RunSession, Seeds, Terms, Training, mean_terms
from hal_ros.fit.schedule import warm_cosine
from hal_ros.nn.losses import JUMP_CAP
from hal_ros.train.answers import confirmed_actions
from hal_ros.train.clips import Supervised

NETWORKS: Mapping[str, Callable[[int, int, int, Size], SequenceModel]] = {
    "gru": lambda inputs, actions, _, size: GruModel(inputs, actions, size),
    "causal_tcn": lambda inputs, actions, _, size: CausalTcn(inputs, actions, size),
    "causal_asformer": lambda inputs, actions, _, size: CausalAsFormer(inputs, actions, size),
    "ms_tcn": lambda inputs, actions, lag_ticks, size: MsTcn(inputs, actions, lag_ticks, size),
}
"""How the network of each kind is made, of inputs F, actions K, the lag in ticks and its size."""


@dataclass(frozen=True)
class SequenceConfig:
    """One baseline's numbers; `PRESETS` holds those that were found on validation."""

    kind: str = "gru"  # one of NETWORKS
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
        if self.kind not in NETWORKS:
            raise ConfigError(f"kind is {self.kind!r}; expected one of {', '.join(NETWORKS)}")
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


@dataclass(frozen=True)
class Question:
    """What every baseline is to answer: which of K actions, now and `lag_ticks` earlier; and its random numbers."""

    actions: int  # K
    lag_ticks: int
    seed: int = 0


def fit_sequence(
    config: SequenceConfig,
    question: Question,
    training: Supervised,
    validation: Supervised,
    session: RunSession = UNSAVED,
) -> FittedSequence:
    """Train and return the epoch whose confirmed answers agree best with the validation targets.

    Continues from the session's checkpoint, if any; an epoch's randomness comes from (seed, epoch) alone, so a run
    that was cut off ends as the uninterrupted one. Without a validation tick with a target the last epoch is taken.
    Raises DatasetError for targets that don't fit, and ConfigError for a checkpoint of other settings.
    """
    torch.set_num_threads(config.threads)
    training = check(training, question.actions)
    torch.manual_seed(question.seed)
    model = build(config, training.clips[0].inputs.shape[1], question.actions, question.lag_ticks)
    model.standardise_by(*measure(training.clips))
    loop = Loop(
        f"{config.kind} epoch",
        config.epochs_for([clip.ticks for clip in training.clips]),
        Seeds(question.seed),
        {"model": model},
        torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay),
        lambda progress: warm_cosine(config.learning_rate, config.warmup, progress),
        config.gradient_clip,
        session,
        {"config": dataclasses.asdict(config), "inputs": model.inputs, **dataclasses.asdict(question)},
    )
    best = loop.run(_SequenceTraining(config, question, model, training, validation))
    return FittedSequence(model, question.lag_ticks, best.epoch, best.accuracy)


class _SequenceTraining(Training[list[Piece]]):
    """Batches are pieces of the training clips."""

    def __init__(
        self,
        config: SequenceConfig,
        question: Question,
        model: SequenceModel,
        training: Supervised,
        validation: Supervised,
    ) -> None:
        self.config, self.question, self.model = config, question, model
        self.training, self.validation = training, validation

    def batches(self, epoch: Epoch) -> Iterator[tuple[float, list[Piece]]]:
        """Cut the clips anew."""
        made = plan([clip.ticks for clip in self.training.clips], self.config.sampling, epoch.random)
        return ((index / len(made), pieces) for index, pieces in enumerate(made))

    def losses(self, batch: list[Piece]) -> dict[str, Tensor]:
        """Return the loss of both heads and all stages."""
        read = assemble(batch, self.training, self.question.actions, self.question.lag_ticks)
        return {"loss": sequence_loss(self.model(read.inputs, read.mask), read, self.config)}

    def finish_epoch(self, history: Sequence[Terms]) -> Finished:
        """Validate by the confirmed answers."""
        accuracy = confirmed_accuracy(FittedSequence(self.model, self.question.lag_ticks, 0, 0.0), self.validation)
        summary = f"loss {mean_terms(history)['loss']:.3f} | validation accuracy {accuracy:.4f} lagged"
        return Finished(summary, accuracy=accuracy)


def build(config: SequenceConfig, inputs: int, actions: int, lag_ticks: int) -> SequenceModel:
    """Return an untrained model."""
    size = Size(config.width, config.layers, config.stages, config.dropout, config.input_dropout)
    return NETWORKS[config.kind](inputs, actions, lag_ticks, size)


def confirmed_accuracy(fitted: FittedSequence, supervised: Supervised) -> float:
    """Return the share of ticks with a target whose confirmed answer is the target, 0 without any such tick."""
    hits, total = 0, 0
    for clip in supervised.clips:
        if clip.name in supervised.targets and clip.ticks:
            labels = supervised.labels(clip)
            known = labels != NO_ACTION
            hits += int((confirmed_actions(fitted.answer(clip), fitted.lag_ticks) == labels)[known].sum())
            total += int(known.sum())
    return hits / max(total, 1)


def sequence_loss(logits: Tensor, batch: WindowBatch, config: SequenceConfig) -> Tensor:
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
