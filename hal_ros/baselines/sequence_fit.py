"""One trainer for all learned baselines, so that they differ in what they are and not in how they were trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hal_ros.baselines.sequence import SequenceModel
from hal_ros.baselines.sequence_answers import FittedSequence
from hal_ros.baselines.sequence_batches import Piece, assemble, check, measure, order_of, plan, progress_of
from hal_ros.baselines.sequence_config import SequenceConfig, build, settings_of
from hal_ros.core.answers import NO_ACTION
from hal_ros.fit.loop import UNSAVED, Epoch, Finished, Loop, RunSession, Seeds, Terms, Training, mean_terms
from hal_ros.fit.schedule import warm_cosine
from hal_ros.train.answers import confirmed_actions
from hal_ros.train.clips import Supervised


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
    model.prepare([order_of(training.labels(clip)) for clip in training.clips])
    loop = Loop(
        f"{config.kind} epoch",
        config.epochs_for([clip.ticks for clip in training.clips]),
        Seeds(question.seed),
        {"model": model},
        torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay),
        lambda progress: warm_cosine(config.learning_rate, config.warmup, progress),
        config.gradient_clip,
        session,
        {"config": settings_of(config), "inputs": model.inputs, **dataclasses.asdict(question)},
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
        self.progress = {clip.name: progress_of(training.labels(clip)) for clip in training.clips}

    def batches(self, epoch: Epoch) -> Iterator[tuple[float, list[Piece]]]:
        """Cut the clips anew."""
        made = plan([clip.ticks for clip in self.training.clips], self.config.sampling, epoch.random)
        return ((index / len(made), pieces) for index, pieces in enumerate(made))

    def losses(self, batch: list[Piece]) -> dict[str, Tensor]:
        """Return the loss of both heads and all stages."""
        read = assemble(batch, self.training, self.question.actions, self.question.lag_ticks, self.progress)
        return {"loss": self.model.loss(read, self.config.loss_weights)}

    def finish_epoch(self, history: Sequence[Terms]) -> Finished:
        """Validate by the confirmed answers."""
        fitted = FittedSequence(self.model, self.question.lag_ticks, 0, 0.0)
        self.model.answer_every = self.config.validate_every
        accuracy = confirmed_accuracy(fitted, self.validation)
        self.model.answer_every = 1
        summary = f"loss {mean_terms(history)['loss']:.3f} | validation accuracy {accuracy:.4f} lagged"
        return Finished(summary, accuracy=accuracy)


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
