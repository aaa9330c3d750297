"""The teacher, trained from transcripts alone, and the labels it gives to the students.

    L_total = L_y - alpha ELBO + beta L_s,   L_y = L_frame + video L_vid + contrast L_glc

The start lays the transcripts over the clips without a model; then frames learn from alignments by the teacher itself,
refreshed as it learns. With alpha = beta = 0, start "video" and aligner "boundaries" this is ATBA.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hal_ros.core.arrays import FloatArray
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.standardising import measure_columns
from hal_ros.fit.device import device_of, on_device, to_numpy, training_device
from hal_ros.fit.loop import UNSAVED, Epoch, Finished, Loop, RunSession, Seeds, Terms, Training
from hal_ros.fit.scalars import Scalars, open_scalars
from hal_ros.fit.schedule import warm_cosine
from hal_ros.labels.teacher import monitors
from hal_ros.labels.teacher.alignment import (
    NOTHING_KNOWN,
    PUBLISHED,
    ActionStatistics,
    ClipAlignment,
    Known,
    Told,
    align_clip,
    place_coarsely,
)
from hal_ros.labels.teacher.batches import TeacherBatch, assemble, middle_ticks, plan, random_ticks, steps_of, stride_of
from hal_ros.labels.teacher.config import TeacherConfig
from hal_ros.labels.teacher.network import PyramidTeacher
from hal_ros.labels.teacher.step import TeacherLoss, batch_terms
from hal_ros.labels.transcripts.align import AlignConfig
from hal_ros.labels.transcripts.durations import Durations, estimate, uninformed
from hal_ros.labels.transcripts.first_labels import FirstLabels, check_transcripts, first_labels
from hal_ros.outside.progress import tracked

STD_FLOOR = 1e-3
EMBED_TICKS = 4096
STANDARD_ROWS = 200_000


class Teacher(NamedTuple):
    """A trained teacher, in evaluation mode, and what its last alignment showed."""

    model: PyramidTeacher
    config: TeacherConfig
    statistics: ActionStatistics

    @torch.no_grad()
    def log_probs(self, clip: Clip) -> FloatArray:
        """Return (T, K) at every tick, each seen at the stride of training: memory grows with T alone."""
        self.model.eval()
        found = np.zeros((clip.ticks, self.model.config.actions), np.float32)
        stride = -(-clip.ticks // steps_of(clip, self.config.stride_ticks))
        for phase in range(min(stride, clip.ticks)):
            ticks = np.arange(phase, clip.ticks, stride)
            found[ticks] = self._run(clip, ticks)
        return found

    def _run(self, clip: Clip, ticks: NDArray[np.int64]) -> FloatArray:
        parts = [ticks[start : start + EMBED_TICKS] for start in range(0, len(ticks), EMBED_TICKS)]
        device = device_of(self.model)
        embedded = torch.cat([self.model.embed(_rows(clip, part).to(device)) for part in parts])[None]
        return to_numpy(self.model.run(embedded, torch.ones(1, len(ticks), device=device)).log_probs[0])


def align_clips(
    teacher: Teacher, clips: Sequence[Clip], known: Known = NOTHING_KNOWN, published: AlignConfig = PUBLISHED
) -> FirstLabels:
    """Return hard labels and constrained posteriors of clips with transcripts, at every tick; pinned ticks are as told.

    `published` matters for the aligner "boundaries" alone. Raises DatasetError for an empty transcript or an action
    outside the vocabulary.
    """
    actions, stride = teacher.model.config.actions, teacher.config.stride_ticks
    check_transcripts(clips, actions)
    durations = teacher.statistics.durations.scaled(stride)
    statistics = ActionStatistics(teacher.statistics.frequency, durations)
    with on_device(training_device(), teacher.model):
        alignments = [
            align_clip(teacher.config, teacher.log_probs(clip), known.told(clip, actions), statistics, published)
            for clip in tracked(clips, "alignment", len(clips))
        ]
    names = [clip.name for clip in clips]
    hard = dict(zip(names, (found.hard for found in alignments), strict=True))
    return FirstLabels(hard, dict(zip(names, (found.soft for found in alignments), strict=True)), durations)


@dataclass(frozen=True)
class Transcribed:
    """What a teacher learns from: clips with transcripts over K actions. Of annotations it sees what is `known`."""

    actions: int  # K
    training: Sequence[Clip]
    validation: Sequence[Clip] = ()
    start: FirstLabels | None = None  # of the training clips, found elsewhere; in place of the configured start
    known: Known = NOTHING_KNOWN


def train_teacher(
    config: TeacherConfig, transcribed: Transcribed, seed: int = 0, session: RunSession = UNSAVED
) -> Teacher:
    """Train on the transcripts; continues from the session's checkpoint, if there is one.

    The same arguments give the same weights on one machine, interrupted or not. Raises DatasetError for clips that
    can't be aligned.
    """
    check_transcripts(transcribed.training, transcribed.actions)
    torch.set_num_threads(config.threads)
    with open_scalars(session.folder, session.report) as scalars:
        training = _TeacherTraining(config, transcribed, seed, scalars)
        loop = Loop(
            "teacher",
            training.epochs,
            Seeds(seed, factor=1_009),
            {"model": training.model, "loss": training.loss},
            _optimiser([training.model, training.loss], config),
            lambda progress: warm_cosine(config.learning_rate, config.warmup, progress),
            config.gradient_clip,
            session,
            device=training_device(),
        )
        loop.run(training)
        return training.finish()


class _TeacherTraining(Training[tuple[TeacherBatch, float]]):
    """What changes beside the weights: the targets, laid out anew as the model learns.

    Beside each batch stands the share of the training that is done: the losses warm up with it.
    """

    def __init__(self, config: TeacherConfig, transcribed: Transcribed, seed: int, scalars: Scalars) -> None:
        self.config, self.transcribed, self.scalars = config, transcribed, scalars
        self.actions, self.clips = transcribed.actions, transcribed.training
        self.told = [
            transcribed.known.told(clip, self.actions).at_steps(stride_of(clip, config.stride_ticks))
            for clip in self.clips
        ]
        torch.manual_seed(seed)
        self.model = PyramidTeacher(config.pyramid(self.actions, self.clips[0].inputs.shape[1]))
        _standardise(self.model, self.clips)
        self.loss = TeacherLoss(config, self.model.config)
        self.epoch, self.epochs = 0, config.start_epochs + config.epochs
        steps = sum(steps_of(clip, config.stride_ticks) for clip in self.clips)
        mean_steps = steps / sum(len(clip.transcript) for clip in self.clips)
        self.statistics = ActionStatistics(
            np.full(self.actions, 1 / self.actions), uninformed(self.actions, mean_steps)
        )
        self.targets: list[NDArray[np.float32] | None] = [None] * len(self.clips)

    def resume(self, epoch: int, about: Mapping[str, Any]) -> None:
        """Take up what alignments have shown; targets are not saved, those of the start are made anew."""
        if about:
            self.statistics = statistics_from_json(about)
        if epoch == 0 or epoch < self.config.start_epochs:
            self.begin(self.transcribed.start)

    # --- labels ---

    def begin(self, start: FirstLabels | None) -> None:
        """Set the first targets, as the configured start finds them or as given."""
        config, stride = self.config, self.config.stride_ticks
        if start is None and config.start == "durations":
            start = first_labels(self.clips, self.actions)
        if start is not None:
            found: list[Any] = [start.soft[clip.name][middle_ticks(clip, stride)] for clip in self.clips]
            self.statistics = ActionStatistics(_frequency(found), start.durations.scaled(1 / stride))
        else:
            flat = [np.zeros((steps_of(clip, stride), self.actions)) for clip in self.clips]
            durations = self.statistics.durations
            pairs = zip(flat, self.told, strict=True)
            found = [
                place_coarsely(x, told.transcript, durations, told.allowed).soft.astype(np.float32) for x, told in pairs
            ]
            self.statistics = ActionStatistics(_frequency(found), durations)
        if config.start != "video":
            self.targets = self._discounted(found)

    def refresh(self) -> None:
        """Lay the transcripts over what the model says now."""
        self.model.eval()
        alignments = [self._align(clip, told) for clip, told in zip(self.clips, self.told, strict=True)]
        found = [one.soft for one in alignments]
        if not self.config.soft:
            found = [np.eye(self.actions, dtype=np.float32)[one.hard] for one in alignments]
        self.targets = self._discounted(found)
        self.statistics = ActionStatistics(
            _frequency(found), estimate(self.actions, [one.placed for one in alignments])
        )

    @torch.no_grad()
    def _align(self, clip: Clip, told: Told) -> ClipAlignment:
        inputs = _rows(clip, middle_ticks(clip, self.config.stride_ticks))[None].to(device_of(self.model))
        log_probs = to_numpy(self.model(inputs, torch.ones_like(inputs[..., 0])).log_probs[0])
        return align_clip(self.config, log_probs, told, self.statistics)

    def _discounted(self, found: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32] | None]:
        """Return targets whose rows sum to what they weigh: the frame loss averages by that."""
        power = self.config.doubt_discount
        return [soft * confidence(soft, power)[:, None] if power else soft for soft in found]

    def _refreshes(self, epoch: int) -> bool:
        behind = epoch - self.config.start_epochs
        return epoch > 0 and behind >= 0 and behind % self.config.refresh_epochs == 0

    # --- epochs ---

    def batches(self, epoch: Epoch) -> Iterator[tuple[float, tuple[TeacherBatch, float]]]:
        """Refresh the targets where it is time, and take a random tick of every step."""
        self.epoch = epoch.number
        if self._refreshes(self.epoch):
            self.refresh()
        groups = plan(self.clips, self.config.stride_ticks, self.config.batch_clips, epoch.random)
        shares = (index / len(groups) for index in range(len(groups)))
        return (
            (share, (self._batch(group, epoch.random), (self.epoch + share) / self.epochs))
            for share, group in zip(shares, groups, strict=True)
        )

    def _batch(self, group: Sequence[int], random: np.random.Generator) -> TeacherBatch:
        clips = [self.clips[index] for index in group]
        ticks = [random_ticks(clip, self.config.stride_ticks, random) for clip in clips]
        return assemble(clips, ticks, [self.targets[index] for index in group], self.actions)

    def losses(self, batch: tuple[TeacherBatch, float]) -> dict[str, Tensor]:
        """Return the mean of every term over the batch's videos."""
        return batch_terms(self.model, self.loss, *batch)

    def finish_epoch(self, history: Sequence[Terms]) -> Finished:
        """Watch whether the hierarchy lives; nothing is chosen by it."""
        terms: dict[str, float] = {}
        for batch_values in history:  # without targets some terms are missing
            for name, value in batch_values.items():
                terms[name] = terms.get(name, 0.0) + value / len(history)
        seen = monitors.watch(self.model, self.loss.elbo, self._watched())
        if self.transcribed.validation:
            seen["validation_frame"] = self._constrained_loss(self.transcribed.validation)
        self.scalars.write(self.epoch, terms | seen)
        summary = " ".join(f"{name} {value:.3f}" for name, value in (terms | seen).items())
        # targets are not saved: where the next epoch makes them anew, the run can be taken up again
        following = self.epoch + 1
        resumable = following == self.epochs or following < self.config.start_epochs or self._refreshes(following)
        return Finished(summary, statistics_to_json(self.statistics), resumable=resumable)

    def _watched(self) -> list[tuple[Tensor, NDArray[np.float32] | None]]:
        """Return inputs (1, N, F) and targets (N, K) of the first clips, for the monitors."""
        stride = self.config.stride_ticks
        clips = list(zip(self.clips, self.targets, strict=True))[: monitors.CLIPS]
        return [(_rows(clip, middle_ticks(clip, stride))[None], target) for clip, target in clips]

    def _constrained_loss(self, clips: Sequence[Clip]) -> float:
        """Return the cross-entropy of the model with its own alignment of held-out transcripts."""
        teacher = Teacher(self.model.eval(), self.config, self.statistics)
        labels = align_clips(teacher, clips, self.transcribed.known)
        losses = [-(labels.soft[clip.name] * teacher.log_probs(clip)).sum(1) for clip in clips]
        return float(np.concatenate(losses).mean())

    def finish(self) -> Teacher:
        """Return the teacher with what a last alignment of the training clips shows."""
        self.refresh()
        return Teacher(self.model.eval(), self.config, self.statistics)


def confidence(soft: NDArray[np.floating], power: float) -> FloatArray:
    """Return how much aligned ticks weigh, (T,) of (T, K): the probability of their likeliest action to a power."""
    return np.asarray(soft.max(1) ** power, np.float32)


def _rows(clip: Clip, ticks: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(np.asarray(clip.inputs[ticks], np.float32))


def _frequency(found: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    total = np.sum([soft.sum(0, dtype=np.float64) for soft in found], 0)
    return total / total.sum()


@torch.no_grad()
def _standardise(model: PyramidTeacher, clips: Sequence[Clip]) -> None:
    """Put means and standard deviations of the known values into the buffers; a constant feature gets spread 1."""
    stride = max(1, sum(clip.ticks for clip in clips) // STANDARD_ROWS)
    rows = np.concatenate([np.asarray(clip.inputs[::stride], np.float64) for clip in clips])
    found = measure_columns(rows, np.isfinite(rows))
    std = np.where(found.std > 1e-6 * (1 + np.abs(found.mean)), np.maximum(found.std, STD_FLOOR), 1.0)
    model.mean.copy_(torch.from_numpy(found.mean))
    model.spread.copy_(torch.from_numpy(std))


def _optimiser(parts: Sequence[torch.nn.Module], config: TeacherConfig) -> torch.optim.AdamW:
    """AdamW; biases, norms and distances are not decayed."""
    parameters = [p for part in parts for p in part.parameters()]
    decayed, others = [p for p in parameters if p.ndim >= 2], [p for p in parameters if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))


# --- on disk ----------------------------------------------------------------------------------------------------------


def statistics_to_json(statistics: ActionStatistics) -> dict[str, list[float]]:
    """Return what `statistics_from_json` takes."""
    durations = statistics.durations
    arrays = {"frequency": statistics.frequency, "mean_steps": durations.mean, "spread": durations.variation}
    return {name: array.tolist() for name, array in arrays.items()}


def statistics_from_json(mapping: Mapping[str, Any]) -> ActionStatistics:
    """Undo `statistics_to_json`, to the last bit."""
    frequency, mean, variation = (np.array(mapping[name], np.float64) for name in ("frequency", "mean_steps", "spread"))
    return ActionStatistics(frequency, Durations(mean, variation))
