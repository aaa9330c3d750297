"""One loop for every network: epochs of batches, the best one kept, checkpoints that resume to the same result.

All randomness of an epoch comes from (seed, epoch), so a training that was cut off ends as the uninterrupted one.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from hal_ros.core.errors import ConfigError
from hal_ros.core.work import Report
from hal_ros.fit import checkpoint
from hal_ros.fit.averaging import WeightAverage
from hal_ros.fit.checkpoint import Checkpoint
from hal_ros.fit.device import CPU, moved, on_device
from hal_ros.outside.progress import PRINT, Progress, progress
from hal_ros.outside.reading import reading

Batch = TypeVar("Batch")
Terms = dict[str, float]
"""The loss terms of one batch by name, as plain numbers."""


@dataclass(frozen=True)
class RunSession:
    """Where a training keeps its checkpoint, and who is told how it goes."""

    folder: Path | None = None  # without one nothing is written
    report: Report = PRINT


UNSAVED = RunSession()


@dataclass(frozen=True)
class Seeds:
    """Where the random numbers of each epoch come from."""

    seed: int
    offset: int = 0  # added to the epoch, so that two trainings of one run draw different numbers
    factor: int = 1  # of torch's seed

    def numpy(self, epoch: int) -> np.random.Generator:
        """Return the generator of an epoch's batches."""
        return np.random.default_rng([self.seed, self.offset + epoch])

    def torch(self, epoch: int) -> int:
        """Return the seed of dropout and sampling in an epoch."""
        return (self.seed * 1_000_003 + self.offset + epoch) * self.factor


class Epoch(NamedTuple):
    """One epoch, counted from 0, and the generator of its batches."""

    number: int
    random: np.random.Generator


class Finished(NamedTuple):
    """What an epoch has come to."""

    summary: str  # for the progress line
    about: Mapping[str, Any] = {}  # what the checkpoint is to say beside the loop's own numbers, JSON-ready
    accuracy: float | None = None  # epochs are chosen by it; None: the last one is taken
    resumable: bool = True  # whether the training could be taken up again from here


class Training(ABC, Generic[Batch]):
    """What is particular to one training; `Loop` does the rest."""

    def resume(self, epoch: int, about: Mapping[str, Any]) -> None:
        """Hear once, before anything else, with which epoch it begins and what the checkpoint says, {} without one."""

    @abstractmethod
    def batches(self, epoch: Epoch) -> Iterator[tuple[float, Batch]]:
        """Return the batches of an epoch, each with the share of the epoch, 0..1, that lies before it.

        What must be done before the epoch is done here, and not when the first batch is asked for.
        """

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms of a batch by name; their sum is minimised."""

    @abstractmethod
    def finish_epoch(self, history: Sequence[Terms]) -> Finished:
        """Say what an epoch has come to, by its batches' terms."""


@dataclass(frozen=True)
class Best:
    """The epoch with the highest accuracy; the last of them where several are equal."""

    epoch: int
    accuracy: float
    weights: Mapping[str, Tensor]


NO_BEST = Best(-1, -1.0, {})


@dataclass(frozen=True)
class Loop:
    """How the parts of a training are optimised and saved. The first part is the model: of it the best is kept."""

    name: str  # what the progress lines begin with
    epochs: int
    seeds: Seeds
    parts: Mapping[str, nn.Module]
    optimiser: torch.optim.Optimizer
    learning_rate: Callable[[float], float]  # at each share of the training, 0..1
    gradient_clip: float | None = None
    session: RunSession = UNSAVED
    settings: Mapping[str, Any] = field(default_factory=dict)  # what a checkpoint must share with the run, JSON-ready
    patience: float = 0.0  # share of all epochs: it ends where none so long was better; 0: it goes on
    average: float = 0.0  # decay of the weights' average, of which the best is kept; 0: the weights themselves
    device: torch.device = CPU  # where all parts lie meanwhile

    def run(self, training: Training[Any]) -> Best:
        """Train in place, from the checkpoint in the folder if there is one; ends with the best epoch's weights.

        Raises ConfigError for a checkpoint of other settings, and DatasetError for one that can't be read.
        """
        shown = progress(self.name, self.epochs, self.session.report)
        with on_device(self.device, *self.parts.values()), shown as seen:
            return self._run(training, seen)

    def _run(self, training: Training[Any], seen: Progress) -> Best:
        average = WeightAverage(self._model, self.average)
        first, best = self._restore(training, average)
        for epoch in range(first, self.epochs):
            if self._is_over(best, epoch):
                break
            started = time.monotonic()
            history = self._epoch(training, epoch, average, seen)
            with average.applied():
                finished = training.finish_epoch(history)
                best = self._better(best, epoch, finished.accuracy)
            if self.session.folder is not None and finished.resumable:
                checkpoint.save(self.session.folder, self._checkpoint(epoch + 1, best, finished, average))
            spent = f"{time.monotonic() - started:.1f} s"
            self.session.report(f"{self.name} {epoch + 1}/{self.epochs}: {finished.summary} | {spent}")
        if kept := best.weights or average.weights:
            self._model.load_state_dict(kept)
        return best

    def _is_over(self, best: Best, epoch: int) -> bool:
        """Tell before an epoch whether none was better for as long as `patience` says."""
        over = bool(self.patience) and best.epoch >= 0 and epoch - best.epoch > self.patience * self.epochs
        if over:
            self.session.report(f"{self.name} {epoch}/{self.epochs}: none was better since {best.epoch + 1}, it ends")
        return over

    @property
    def _model(self) -> nn.Module:
        return next(iter(self.parts.values()))

    def _epoch(self, training: Training[Any], epoch: int, average: WeightAverage, seen: Progress) -> list[Terms]:
        torch.manual_seed(self.seeds.torch(epoch))
        seen.reach(epoch, which := f"{epoch + 1}/{self.epochs}")
        batches = training.batches(Epoch(epoch, self.seeds.numpy(epoch)))
        self._model.train()
        history = []
        for share, batch in batches:
            seen.reach(epoch + share, which)
            history.append(self._step(training, moved(batch, self.device), (epoch + share) / self.epochs))
            average.update()
        seen.reach(epoch + 1, which)
        return history

    def _step(self, training: Training[Any], batch: object, progress: float) -> Terms:
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate(progress)
        terms = training.losses(batch)
        self.optimiser.zero_grad(set_to_none=True)
        if terms:
            torch.stack(list(terms.values())).sum().backward()
        if self.gradient_clip is not None:
            parameters = [parameter for part in self.parts.values() for parameter in part.parameters()]
            nn.utils.clip_grad_norm_(parameters, self.gradient_clip)
        self.optimiser.step()
        return {name: float(term.detach()) for name, term in terms.items()}

    def _better(self, best: Best, epoch: int, accuracy: float | None) -> Best:
        if accuracy is None or not accuracy >= best.accuracy:
            return best
        return Best(epoch, accuracy, {name: tensor.clone() for name, tensor in self._model.state_dict().items()})

    # --- checkpoints ---

    def _checkpoint(self, next_epoch: int, best: Best, finished: Finished, average: WeightAverage) -> Checkpoint:
        """Return tensors as <part>/<name>, best/, average/ and optimiser/<name>, and what goes beside them."""
        about: dict[str, Any] = {"next_epoch": next_epoch}
        tensors: dict[str, Tensor] = {f"average/{name}": tensor for name, tensor in average.weights.items()}
        about |= {"averaged_steps": average.steps} if average.weights else {}
        for part, module in self.parts.items():
            tensors |= {f"{part}/{name}": tensor for name, tensor in module.state_dict().items()}
            if module is self._model and best.weights:
                tensors |= {f"best/{name}": tensor for name, tensor in best.weights.items()}
                about |= {"best_epoch": best.epoch, "best_accuracy": best.accuracy}
        moments = checkpoint.optimiser_tensors(self.optimiser)
        tensors |= {f"optimiser/{name}": tensor for name, tensor in moments.items()}
        return Checkpoint(tensors, {**about, **self.settings, **finished.about})

    def _restore(self, training: Training[Any], average: WeightAverage) -> tuple[int, Best]:
        """Return the epoch to begin with, and the best one before it."""
        folder = self.session.folder
        if folder is None or not checkpoint.exists(folder):
            training.resume(0, {})
            return 0, NO_BEST
        saved = checkpoint.load(folder)
        for name, value in self.settings.items():
            if (stored := saved.about.get(name)) != value:
                raise ConfigError(f"checkpoint {folder}: its {name} is {stored!r}; expected {value!r}")
        with reading(folder / checkpoint.FILE, checkpoint.CHECKPOINT):
            first = int(saved.about["next_epoch"])
            training.resume(first, saved.about)
            for part, module in self.parts.items():
                module.load_state_dict(saved.part(part))
            checkpoint.restore_optimiser(self.optimiser, saved.part("optimiser"))
            average.restore(saved.part("average"), int(saved.about.get("averaged_steps", 0)))
            if "best_epoch" not in saved.about:
                return first, NO_BEST
            return first, Best(saved.about["best_epoch"], saved.about["best_accuracy"], saved.part("best"))


def mean_terms(history: Sequence[Terms]) -> Terms:
    """Return the mean of every term over an epoch's batches, which all have the same ones."""
    return {name: float(np.mean([terms[name] for terms in history])) for name in history[0]}
