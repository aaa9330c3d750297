"""The teacher, trained from transcripts alone, and the labels it gives to the students.

    L_total = L_y - alpha ELBO + beta L_s,   L_y = L_frame + video L_vid + contrast L_glc

The start lays the transcripts over the clips without a model; then frames learn from alignments by the teacher itself,
refreshed as it learns. With alpha = beta = 0, start "video" and aligner "boundaries" this is ATBA.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hal_ros.core.arrays import FloatArray
from hal_ros.datasets.clips import Clip
from hal_ros.fit import checkpoint
from hal_ros.fit.checkpoint import Checkpoint
from hal_ros.fit.distributed import World, gather, sum_values, world
from hal_ros.fit.progress import Scalars, open_scalars, rounds
from hal_ros.fit.schedule import set_learning_rate
from hal_ros.labels.teacher import monitors
from hal_ros.labels.teacher.alignment import PUBLISHED, Knowledge, Laid, lay, place_coarsely
from hal_ros.labels.teacher.batches import assemble, middle_ticks, plan, random_ticks, steps_of
from hal_ros.labels.teacher.config import TeacherConfig
from hal_ros.labels.teacher.network import PyramidTeacher
from hal_ros.labels.teacher.step import TeacherLoss, batch_terms, update
from hal_ros.labels.transcripts.align import AlignConfig
from hal_ros.labels.transcripts.durations import Durations, estimate, uninformed
from hal_ros.labels.transcripts.first_labels import Labels, check_transcripts, first_labels

Report = Callable[[str], None]
SPREAD_FLOOR = 1e-3
EMBED_TICKS = 4096
STANDARD_ROWS = 200_000


class Teacher(NamedTuple):
    """A trained teacher, in evaluation mode, and what its last alignment showed."""

    model: PyramidTeacher
    config: TeacherConfig
    knowledge: Knowledge

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
        embedded = torch.cat([self.model.embed(_rows(clip, part)) for part in parts])[None]
        return self.model.run(embedded, torch.ones(1, len(ticks))).log_probs[0].numpy()


def align_clips(teacher: Teacher, clips: Sequence[Clip], published: AlignConfig = PUBLISHED) -> Labels:
    """Return hard labels and constrained posteriors of clips with transcripts, at every tick.

    `published` matters for the aligner "boundaries" alone. Raises DatasetError for an empty transcript or an action
    outside the vocabulary.
    """
    actions, stride = teacher.model.config.actions, teacher.config.stride_ticks
    check_transcripts(clips, actions)
    durations = teacher.knowledge.durations.scaled(stride)
    knowledge = Knowledge(teacher.knowledge.frequency, durations)
    laid = [lay(teacher.config, teacher.log_probs(clip), clip.transcript, knowledge, published) for clip in clips]
    names = [clip.name for clip in clips]
    hard = dict(zip(names, (found.hard for found in laid), strict=True))
    return Labels(hard, dict(zip(names, (found.soft for found in laid), strict=True)), durations)


def train_teacher(
    config: TeacherConfig,
    actions: int,
    training: Sequence[Clip],
    validation: Sequence[Clip] = (),
    seed: int = 0,
    folder: Path | None = None,
    report: Report = print,
    start: Labels | None = None,
) -> Teacher:
    """Train on clips with transcripts over K actions; continues from the checkpoint in `folder`, if there is one.

    Annotations are never looked at. `start` are labels found elsewhere, in place of the configured start. The same
    arguments give the same weights on one machine, interrupted or not. Under `torchrun` every process calls this with
    the same arguments and gets the same teacher. Raises DatasetError for clips that can't be aligned.
    """
    check_transcripts(training, actions)
    torch.set_num_threads(config.threads)
    with world() as here, open_scalars(folder if here.first else None, report) as scalars:
        run = _Run(config, actions, training, seed, folder, here)
        if run.next_epoch == 0 or run.next_epoch < config.start_epochs:
            run.begin(start)
        told: Report = report if here.first else _silent
        for epoch in rounds(run.next_epoch, config.start_epochs + config.epochs, here.first):
            run.epoch(epoch, validation, told, scalars)
        return run.finish()


def _silent(_: str) -> None: ...


class _Run:
    """What changes during training, and its checkpoint."""

    def __init__(
        self, config: TeacherConfig, actions: int, clips: Sequence[Clip], seed: int, folder: Path | None, here: World
    ) -> None:
        self.config, self.actions, self.clips, self.seed = config, actions, clips, seed
        self.folder, self.here = folder, here
        torch.manual_seed(seed)
        self.model = PyramidTeacher(config.pyramid(actions, clips[0].inputs.shape[1]))
        _standardise(self.model, clips)
        self.loss = TeacherLoss(config, self.model.config)
        self.optimiser = _optimiser([self.model, self.loss], config)
        self.epochs = config.start_epochs + config.epochs
        steps = sum(steps_of(clip, config.stride_ticks) for clip in clips)
        mean_steps = steps / sum(len(clip.transcript) for clip in clips)
        self.knowledge = Knowledge(np.full(actions, 1 / actions), uninformed(actions, mean_steps))
        self.targets: list[NDArray[np.float32] | None] = [None] * len(clips)
        self.next_epoch = 0
        if folder is not None and checkpoint.exists(folder):
            self._restore(checkpoint.load(folder))

    # --- labels ---

    def begin(self, start: Labels | None) -> None:
        """Set the first targets, as the configured start finds them or as given."""
        config, stride = self.config, self.config.stride_ticks
        if start is None and config.start == "durations":
            start = first_labels(self.clips, self.actions)
        if start is not None:
            found: list[Any] = [start.soft[clip.name][middle_ticks(clip, stride)] for clip in self.clips]
            self.knowledge = Knowledge(_frequency(found), start.durations.scaled(1 / stride))
        else:
            flat = [np.zeros((steps_of(clip, stride), self.actions)) for clip in self.clips]
            durations = self.knowledge.durations
            pairs = zip(flat, self.clips, strict=True)
            found = [place_coarsely(x, clip.transcript, durations).soft.astype(np.float32) for x, clip in pairs]
            self.knowledge = Knowledge(_frequency(found), durations)
        if config.start != "video":
            self.targets = found

    def refresh(self) -> None:
        """Lay the transcripts over what the model says now; each process its share of the clips."""
        self.model.eval()
        share = [self._lay(clip) for clip in self.here.share(self.clips)]
        laid = gather(share, len(self.clips), self.here)
        found = [one.soft for one in laid]
        if not self.config.soft:
            found = [np.eye(self.actions, dtype=np.float32)[one.hard] for one in laid]
        self.targets = list(found)
        self.knowledge = Knowledge(_frequency(found), estimate(self.actions, [one.placed for one in laid]))

    @torch.no_grad()
    def _lay(self, clip: Clip) -> Laid:
        inputs = _rows(clip, middle_ticks(clip, self.config.stride_ticks))[None]
        log_probs = self.model(inputs, torch.ones(inputs.shape[:2])).log_probs[0].numpy()
        return lay(self.config, log_probs, clip.transcript, self.knowledge)

    def _refreshes(self, epoch: int) -> bool:
        behind = epoch - self.config.start_epochs
        return epoch > 0 and behind >= 0 and behind % self.config.refresh_epochs == 0

    # --- epochs ---

    def epoch(self, epoch: int, validation: Sequence[Clip], report: Report, scalars: Scalars) -> None:
        """Run one epoch; all its randomness comes from (seed, epoch)."""
        started = time.monotonic()
        if self._refreshes(epoch):
            self.refresh()
        terms = self._train(epoch)
        seen = monitors.watch(self.model, self.loss.elbo, self._watched()) if self.here.first else {}
        if validation and self.here.first:
            seen["validation_frame"] = self._constrained_loss(validation)
        scalars.write(epoch, terms | seen)
        told = " ".join(f"{name} {value:.3f}" for name, value in (terms | seen).items())
        report(f"teacher {epoch + 1}/{self.epochs}: {told} | {time.monotonic() - started:.1f} s")
        self.next_epoch = epoch + 1
        # targets are not saved: where the next epoch makes them anew, the run can be taken up again
        if self.next_epoch == self.epochs or self.next_epoch < self.config.start_epochs or self._refreshes(epoch + 1):
            self._save()

    def _train(self, epoch: int) -> dict[str, float]:
        config, here = self.config, self.here
        random = np.random.default_rng([self.seed, epoch])
        torch.manual_seed((self.seed * 1_000_003 + epoch) * 1_009 + here.rank)  # dropout and samples of the latents
        batches = plan(self.clips, config.stride_ticks, config.batch_clips, random)
        total: dict[str, float] = {}
        self.model.train()
        for index, batch in enumerate(batches):
            progress = (epoch + index / len(batches)) / self.epochs
            set_learning_rate(self.optimiser, config.learning_rate, config.warmup, progress)
            ticks = {clip: random_ticks(self.clips[clip], config.stride_ticks, random) for clip in batch}
            mine = here.share(batch) or batch[:1]
            counts = [1.0 if here.rank < len(batch) else 0.0] * len(mine)
            targets = [self.targets[clip] for clip in mine]
            made = assemble([self.clips[c] for c in mine], [ticks[c] for c in mine], targets, self.actions, counts)
            terms = batch_terms(self.model, self.loss, made, len(batch), progress)
            update(self.model, self.loss, self.optimiser, terms, here)
            for name, term in terms.items():
                total[name] = total.get(name, 0.0) + float(term.detach()) / len(batches)
        together = sum_values(torch.tensor(list(total.values()), dtype=torch.float64), here)
        return dict(zip(total, together.tolist(), strict=True))

    def _watched(self) -> list[tuple[Tensor, NDArray[np.float32] | None]]:
        """Return inputs (1, N, F) and targets (N, K) of the first clips, for the monitors."""
        stride = self.config.stride_ticks
        clips = list(zip(self.clips, self.targets, strict=True))[: monitors.CLIPS]
        return [(_rows(clip, middle_ticks(clip, stride))[None], target) for clip, target in clips]

    def _constrained_loss(self, clips: Sequence[Clip]) -> float:
        """Return the cross-entropy of the model with its own alignment of held-out transcripts."""
        teacher = Teacher(self.model.eval(), self.config, self.knowledge)
        labels = align_clips(teacher, clips)
        losses = [-(labels.soft[clip.name] * teacher.log_probs(clip)).sum(1) for clip in clips]
        return float(np.concatenate(losses).mean())

    # --- the end, and the checkpoint ---

    def finish(self) -> Teacher:
        """Return the teacher with what a last alignment of the training clips shows."""
        self.refresh()
        return Teacher(self.model.eval(), self.config, self.knowledge)

    def _save(self) -> None:
        if self.folder is None or not self.here.first:
            return
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"loss/{name}": tensor for name, tensor in self.loss.state_dict().items()}
        moments = checkpoint.optimiser_tensors(self.optimiser)
        tensors |= {f"optimiser/{name}": tensor for name, tensor in moments.items()}
        about = {"next_epoch": self.next_epoch} | knowledge_to_json(self.knowledge)
        checkpoint.save(self.folder, Checkpoint(tensors, about))

    def _restore(self, saved: Checkpoint) -> None:
        self.model.load_state_dict(saved.part("model"))
        self.loss.load_state_dict(saved.part("loss"))
        checkpoint.restore_optimiser(self.optimiser, saved.part("optimiser"))
        self.next_epoch = saved.about["next_epoch"]
        self.knowledge = knowledge_from_json(saved.about)


def _rows(clip: Clip, ticks: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(np.asarray(clip.inputs[ticks], np.float32))


def _frequency(found: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    total = np.sum([soft.sum(0, dtype=np.float64) for soft in found], 0)
    return total / total.sum()


@torch.no_grad()
def _standardise(model: PyramidTeacher, clips: Sequence[Clip]) -> None:
    """Put means and spreads of the known values into the buffers; a constant feature gets spread 1."""
    stride = max(1, sum(clip.ticks for clip in clips) // STANDARD_ROWS)
    rows = np.concatenate([np.asarray(clip.inputs[::stride], np.float64) for clip in clips])
    known = np.isfinite(rows)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, rows, 0).sum(0) / count
    spread = np.sqrt(np.where(known, np.square(rows - mean), 0).sum(0) / count)
    spread = np.where(spread > 1e-6 * (1 + np.abs(mean)), np.maximum(spread, SPREAD_FLOOR), 1.0)
    model.mean.copy_(torch.from_numpy(mean))
    model.spread.copy_(torch.from_numpy(spread))


def _optimiser(parts: Sequence[torch.nn.Module], config: TeacherConfig) -> torch.optim.AdamW:
    """AdamW; biases, norms and distances are not decayed."""
    parameters = [p for part in parts for p in part.parameters()]
    decayed, others = [p for p in parameters if p.ndim >= 2], [p for p in parameters if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))


# --- on disk ----------------------------------------------------------------------------------------------------------


def knowledge_to_json(knowledge: Knowledge) -> dict[str, list[float]]:
    """Return what `knowledge_from_json` takes."""
    durations = knowledge.durations
    arrays = {"frequency": knowledge.frequency, "mean_steps": durations.mean, "spread": durations.spread}
    return {name: array.tolist() for name, array in arrays.items()}


def knowledge_from_json(mapping: dict[str, Any]) -> Knowledge:
    """Undo `knowledge_to_json`, to the last bit."""
    frequency, mean, spread = (np.array(mapping[name], np.float64) for name in ("frequency", "mean_steps", "spread"))
    return Knowledge(frequency, Durations(mean, spread))
