"""The student: how it is trained on clips, chosen on validation, and asked about whole clips."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.arrays import FloatArray
from hal_ros.core.errors import DatasetError
from hal_ros.core.streams.columns import NO_GROUPS, ValueGroups
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.encoded_clips import measure_values
from hal_ros.fit.device import device_of, moved, to_numpy, training_device
from hal_ros.fit.loop import UNSAVED, Epoch, Finished, Loop, RunSession, Seeds, Terms, Training, mean_terms
from hal_ros.fit.schedule import warm_cosine
from hal_ros.nn.hal import CausalHal, HalConfig, Inputs
from hal_ros.nn.losses import Hierarchy, LossWeights, training_loss
from hal_ros.nn.state import State
from hal_ros.train.answers import Answers
from hal_ros.train.batches import BatchSpec, StreamBatch, batches, plan, training_clips
from hal_ros.train.clips import Columns, Supervised
from hal_ros.train.config import FEWEST_EPOCHS, LossConfig, OptimiserConfig, TrainConfig, to_mapping
from hal_ros.train.encoders import try_own

ANSWER_TICKS = 128
"""A clip is answered in pieces of so many ticks, the state carried: its length costs no memory."""
MEASURED_VALUES = 30_000_000
"""Means and standard deviations are taken over so many values at most."""

LEAST_CHANGE = 1e-6
"""A value that changes less stands still."""


class Trained(NamedTuple):
    """The best epoch's model, in evaluation mode, and how it was chosen."""

    model: CausalHal
    epoch: int
    accuracy: float  # of the lagged head over the validation ticks, 0..1


def new_model(config: TrainConfig, actions: int, columns: Columns, clips: Sequence[Clip]) -> CausalHal:
    """Return an untrained model with the clips' means and standard deviations in its buffers; seeded by the config."""
    torch.manual_seed(config.seed)
    model = CausalHal(HalConfig(actions, columns.values, columns.attended, columns.eyes, **vars(config.model)))
    rows = columns.split(_sample(clips))
    with torch.no_grad():
        if columns.values:
            joint_mean, joint_std = measure_values(rows.joints, rows.joints_valid)
            model.joints.mean.copy_(torch.from_numpy(joint_mean))
            model.joints.spread.copy_(torch.from_numpy(joint_std))
        if model.config.state_shape.past_ticks:
            model.differences.spread.copy_(torch.from_numpy(_spread_of_changes(clips, columns, model.config)))
        for index, camera in enumerate(model.camera_inputs()):
            attended = rows.attended[:, index * columns.attended : (index + 1) * columns.attended]
            seen_mean, seen_std = measure_values(attended, rows.image_valid[:, index, None])
            camera.mean.copy_(torch.from_numpy(seen_mean))
            camera.spread.copy_(torch.from_numpy(seen_std))
    return model


def _sample(clips: Sequence[Clip]) -> np.ndarray:
    """Return (T, F): all ticks of all clips, or every n-th where they are too many for memory."""
    stride = 1 + sum(clip.inputs.size for clip in clips) // MEASURED_VALUES
    return np.concatenate([clip.inputs[::stride] for clip in clips])


def _spread_of_changes(clips: Sequence[Clip], columns: Columns, config: HalConfig) -> FloatArray:
    """Return the root mean square (L * V,) of what the values change over each lag; 1 for one that never does."""
    squares, count = np.zeros((2, len(config.differences), columns.values))
    for clip in clips:
        rows = columns.split(clip.inputs)
        for row, lag in enumerate(config.differences):
            both = rows.joints_valid[lag:] * rows.joints_valid[:-lag]
            squares[row] += (np.square(rows.joints[lag:] - rows.joints[:-lag]) * both).sum(0, dtype=np.float64)
            count[row] += both.sum(0, dtype=np.float64)
    spread = np.sqrt(squares / np.maximum(count, 1))
    return np.where(spread > LEAST_CHANGE, spread, 1).astype(np.float32).ravel()


def columns_of(model: CausalHal, groups: ValueGroups = NO_GROUPS) -> Columns:
    """Return the columns of the clips that a model reads."""
    config = model.config
    return Columns(config.attended if config.eyes else 0, config.joint_values, groups, config.eyes)


def fit(
    config: TrainConfig, model: CausalHal, training: Supervised, validation: Supervised, session: RunSession = UNSAVED
) -> Trained:
    """Train `model` in place and return the best epoch's weights; continues from the session's checkpoint, if any.

    One epoch's randomness comes from (seed, epoch) alone, so a run that was cut off ends as the uninterrupted one.
    """
    torch.set_num_threads(config.threads)
    if not training_clips(training):
        raise DatasetError("no training clip has a target; expected one by the name of a clip at least")
    hierarchy = _hierarchy(config, model)
    parts = {"model": model} if hierarchy is None else {"model": model, "hierarchy": hierarchy}
    settings = config.optimiser
    loop = Loop(
        "epoch",
        epochs_for(config, training),
        Seeds(config.seed),
        parts,
        _optimiser(list(parts.values()), settings),
        lambda progress: warm_cosine(settings.learning_rate, settings.warmup, progress),
        settings.gradient_clip,
        session,
        patience=settings.patience,
        average=settings.average,
        device=training_device(),
    )
    best = loop.run(_StudentTraining(config, (model, hierarchy), training, validation))
    return Trained(model.eval(), best.epoch, best.accuracy)


def epochs_for(config: TrainConfig, training: Supervised) -> int:
    """Return how often the clips are gone through: as it is set, or else as often as `least_steps` need."""
    if config.optimiser.epochs:
        return config.optimiser.epochs
    streams = plan(training_clips(training), config.batches, np.random.default_rng(0))
    return max(FEWEST_EPOCHS, math.ceil(config.optimiser.least_steps / max(map(len, streams))))


class _StudentTraining(Training[StreamBatch]):
    """Streams that carry their state from batch to batch."""

    def __init__(
        self,
        config: TrainConfig,
        parts: tuple[CausalHal, Hierarchy | None],
        training: Supervised,
        validation: Supervised,
    ) -> None:
        self.config, (self.model, self.hierarchy) = config, parts
        self.clips, self.groups, self.validation = training_clips(training), training.groups, validation
        self.weights, self.epochs = _weights(config.losses), epochs_for(config, training)
        self.state: State | None = None
        asked = config.batches.offset or config.batches.scale or config.batches.noise
        self.spread = to_numpy(self.model.joints.spread) if asked and self.model.config.joint_values else None

    def batches(self, epoch: Epoch) -> Iterator[tuple[float, StreamBatch]]:
        """Deal the clips to streams, which all begin anew."""
        config, self.state = self.config, None
        streams = plan(self.clips, config.batches, epoch.random)
        count = max(map(len, streams))
        like = BatchSpec(
            columns_of(self.model, self.groups),
            self.model.config.actions,
            config.data.lag_ticks,
            config.data.max_held_ticks,
            self.spread,
        )
        made = batches(streams, config.batches, like, epoch.random)
        return ((index / count, batch) for index, batch in enumerate(made))

    def losses(self, batch: StreamBatch) -> dict[str, Tensor]:
        """Return the terms of the next chunk of every stream."""
        state = self.state or self.model.initial_state(len(batch.carried))
        outputs, state = self.model(batch.inputs, state.where_kept(batch.carried))
        self.state = state.detached()
        return training_loss(outputs, batch.targets, self.weights, self.hierarchy)

    def finish_epoch(self, history: Sequence[Terms]) -> Finished:
        """Validate; epochs are chosen by the lagged head."""
        accuracy, lagged = validate(self.model, self.validation, self.config.data.lag_ticks)
        losses = " ".join(f"{name} {value:.3f}" for name, value in mean_terms(history).items())
        about: dict[str, Any] = {"hal": self.model.config.to_json(), "config": to_mapping(self.config)}
        about["epochs"] = self.epochs
        if self.config.data.encoder:
            about["encoder"] = try_own(self.config.data).source  # the file may be changed later
        return Finished(f"{losses} | validation accuracy {accuracy:.4f} now, {lagged:.4f} lagged", about, lagged)


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
    columns, device, pieces = columns_of(model), device_of(model), []
    state = moved(model.initial_state(), device)
    for start in range(0, clip.ticks, ANSWER_TICKS):
        outputs, state = model(moved(stream_inputs(clip, columns, start, start + ANSWER_TICKS), device), state)
        pieces.append((outputs.log_probs[0], outputs.lagged_log_probs[0], outputs.boundary[0, :, 0]))
    return Answers(*(to_numpy(torch.cat(column)) for column in zip(*pieces, strict=True)))


@dataclass(frozen=True)
class Logits:
    """What a model says of one clip before its temperatures; all on the model's device."""

    now: Tensor  # (T, K) of this tick
    lagged: Tensor  # (T, K) of lag ticks earlier
    boundary: FloatArray  # (T,)

    def at(self, temperatures: Tensor) -> Answers:
        """Return what `answer` would with these temperatures (2,), byte for byte."""
        now, lagged = temperatures.to(self.now.device)
        return Answers(
            to_numpy(torch.log_softmax(self.now / now, -1)),
            to_numpy(torch.log_softmax(self.lagged / lagged, -1)),
            self.boundary,
        )


def logits(model: CausalHal, clip: Clip) -> Logits:
    """Run a whole clip from the initial state, whatever the model's temperatures are."""
    kept: tuple[list[Tensor], list[Tensor]] = ([], [])
    with ExitStack() as hooks:
        for head, pieces in zip((model.head, model.lagged_head), kept, strict=True):
            hooks.callback(head.register_forward_hook(partial(_keep, pieces)).remove)
        boundary = answer(model, clip).boundary
    return Logits(torch.cat(kept[0]), torch.cat(kept[1]), boundary)


def _keep(pieces: list[Tensor], _head: nn.Module, _inputs: object, output: Tensor) -> None:
    pieces.append(output[0])


def stream_inputs(clip: Clip, columns: Columns, start: int = 0, stop: int | None = None) -> Inputs:
    """Return ticks [start, stop) of a clip as one stream of tensors (1, T, …)."""
    rows = columns.split(clip.inputs[start:stop])
    return Inputs(**{name: torch.from_numpy(np.ascontiguousarray(row))[None] for name, row in vars(rows).items()})


def validate(model: CausalHal, supervised: Supervised, lag_ticks: int) -> tuple[float, float]:
    """Return frame accuracy (0..1) of the provisional and of the lagged answer, each about its own tick."""
    hits, lagged_hits, total = 0, 0, 0
    for clip in supervised.clips:
        if clip.name not in supervised.targets:
            continue
        actions, answers = supervised.labels(clip), answer(model, clip)
        known = actions != NO_ACTION
        hits += int(((answers.log_probs.argmax(1) == actions) & known).sum())
        lagged = answers.lagged_log_probs[lag_ticks:].argmax(1)
        # the last `lag` ticks never get a lagged answer; the provisional one stands for them
        tail = answers.log_probs[len(lagged) :].argmax(1)
        lagged_hits += int(((np.concatenate([lagged, tail]) == actions) & known).sum())
        total += int(known.sum())
    return hits / max(total, 1), lagged_hits / max(total, 1)
