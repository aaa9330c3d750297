"""The job that scores a system: decoders chosen on the validation targets, then every metric of every output."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.card import DecoderSpec, Priors
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.config import TRAINING, VALIDATION
from hal_ros.experiments.documents.markdown import (
    ALL_SPLITS,
    BOUNDARY_ERROR_MEDIAN,
    BOUNDARY_ERROR_P90,
    MODEL,
    MS_PER_TICK,
    PARAMETERS,
    RECALL,
    SEGMENTS,
    TICKS,
    TRAINING_S,
    pooled,
)
from hal_ros.experiments.files import ABOUT, ALIGNED_TARGETS, DECODERS, MINUTES, SCORES, split_file
from hal_ros.experiments.graph import Task
from hal_ros.experiments.kinds import Places
from hal_ros.labels.targets import load_targets
from hal_ros.labels.transcripts.quality import alignment_quality
from hal_ros.metrics import answer_files
from hal_ros.metrics.answer_files import ClipAnswers
from hal_ros.metrics.decoded import ALIGNED, CONFIRMED_ARGMAX, score_clips, score_targets, streams
from hal_ros.metrics.predictions import CONFIRMED, OutputStream
from hal_ros.metrics.recall import action_recall
from hal_ros.metrics.scores import Unscored
from hal_ros.metrics.segmentation import Pair
from hal_ros.train.config import AUTO

if TYPE_CHECKING:
    from hal_ros.train.decoding import Decoded


def score(task: Task, _: Places) -> None:
    """Choose each decoder on the validation targets, decode, score; folds are scored together, as one split.

    Writes scores.json (split -> output -> metric) and decoders.json (one mapping a fold).
    """
    settings = task.job.settings
    folds = [task.inputs[role] for role in sorted(task.inputs)]
    abouts = [json.loads((fold / ABOUT).read_text()) for fold in folds]
    decoders = [_decoders(settings, fold) for fold in folds]
    period_ns, lag_ticks = round(1e9 / abouts[0]["rate_hz"]), settings["lag_ticks"]
    unscored = Unscored(*map(tuple, settings.get("unscored", ((), ()))))
    found: dict[str, Any] = {}
    answers: dict[str, _SplitAnswers] = {}
    for split in settings["splits"]:
        answers[split] = _SplitAnswers([], [])
        for fold, specs in zip(folds, decoders, strict=True):
            for clip in load_calibrated(fold / split_file(split), specs):
                answers[split].clips.append(clip)
                answers[split].outputs.append(streams(clip, specs.specs, lag_ticks, period_ns))
        found[split] = score_clips(*answers[split], period_ns, unscored)
    if "recall" in settings:
        recall = settings["recall"]
        found[pooled(recall["splits"])] = _recall([answers[split] for split in recall["splits"]], recall["actions"])
    found |= _aligned(folds, period_ns, unscored)
    network = {name: sum(about[name] for about in abouts) / len(abouts) for name in (PARAMETERS, MS_PER_TICK)}
    told = (
        {}
        if any(MINUTES not in about for about in abouts)
        else {MINUTES: sum(a[MINUTES] for a in abouts) / len(abouts)}
    )
    found[ALL_SPLITS] = {MODEL: {**network, **told, TRAINING_S: abouts[0][TRAINING_S]}}
    (task.folder / SCORES).write_text(json.dumps(found, indent=1))
    (task.folder / DECODERS).write_text(json.dumps([dataclasses.asdict(specs) for specs in decoders]))


class _SplitAnswers(NamedTuple):
    """A split's clips, and each one's outputs."""

    clips: list[ClipAnswers]
    outputs: list[dict[str, OutputStream]]


def _recall(splits: Sequence[_SplitAnswers], actions: Mapping[str, int]) -> dict[str, dict[str, float | None]]:
    """Return how much of some actions each output finds, over all clips of all splits; None where there is none."""
    clips = [clip for split in splits for clip in split.clips]
    outputs = [output for split in splits for output in split.outputs]
    found: dict[str, dict[str, float | None]] = {}
    for name in outputs[0]:
        pairs = [Pair(clip.truth, output[name].labels) for clip, output in zip(clips, outputs, strict=True)]
        found[name] = {}
        for action, number in actions.items():
            recall = action_recall(pairs, number)
            found[name] |= {
                f"{RECALL} {action}": recall.percent if recall.ticks else None,
                f"{SEGMENTS} {action}": float(recall.segments),
                f"{TICKS} {action}": float(recall.ticks),
            }
    return found


@dataclasses.dataclass(frozen=True)
class FittedDecoders:
    """What was fitted on a fold's validation targets: temperatures, and the decoder behind each output."""

    temperatures: tuple[float, float]
    specs: Mapping[str, DecoderSpec]


def _decoders(settings: Mapping[str, Any], fold: Path) -> FittedDecoders:
    from hal_ros.train import decoding
    from hal_ros.train.answers import Answers
    from hal_ros.train.priors import fit_priors

    clips = answer_files.load(fold / split_file(VALIDATION))
    labels = [clip.targets for clip in clips]
    if clips[0].offline:
        return FittedDecoders((decoding.fit_temperature([clip.log_probs for clip in clips], labels), 1.0), {})
    answers = [Answers(clip.log_probs, clip.lagged_log_probs, clip.boundary) for clip in clips]
    temperatures = decoding.fit_both_temperatures(answers, labels, settings["lag_ticks"])
    answers = [decoding.calibrated(one, temperatures) for one in answers]
    about = json.loads((fold / ABOUT).read_text())
    training = load_targets(fold).training
    order = [about["transcripts"].get(name, ()) for name in training]
    priors = fit_priors(list(training.values()), order, about["actions"])
    transcripts = [clip.transcript for clip in clips]
    best = decoding.best_of_each_kind(answers, labels, transcripts, settings["lag_ticks"], settings["kinds"], priors)
    return FittedDecoders(temperatures, _outputs(best, settings))


def _outputs(best: Mapping[str, Decoded], settings: Mapping[str, Any]) -> dict[str, DecoderSpec]:
    """Return the decoder of each output: the confirmed one, the other kinds, and of each threshold asked for."""
    from hal_ros.train import decoding

    auto = settings["decoder"] == AUTO
    kind = decoding.chosen_kind(best) if auto else settings["decoder"]
    chosen = best[kind].decoder
    found = {CONFIRMED: chosen, **{output_of(kind): best[kind].decoder for kind in settings["kinds"]}}
    for threshold in settings.get("thresholds", ()):
        found[commit_output(threshold)] = dataclasses.replace(chosen, commit_probability=threshold)
    if not auto:  # else each kind has a line of its own, whichever was chosen for which seed
        del found[output_of(kind)]
    return found


def output_of(kind: str) -> str:
    """Return the name of the confirmed output of a kind of decoder that is not the default."""
    return CONFIRMED_ARGMAX if kind == "argmax" else f"{CONFIRMED}, {kind}"


def commit_output(threshold: float) -> str:
    """Return the name of the confirmed output with another commit threshold."""
    return f"{CONFIRMED}, commit {threshold:g}"


def load_calibrated(path: Path, fitted: FittedDecoders) -> list[ClipAnswers]:
    """Return stored answers with their probabilities calibrated."""
    from hal_ros.train import decoding
    from hal_ros.train.answers import Answers

    found = []
    for clip in answer_files.load(path):
        lagged = clip.log_probs if clip.offline else clip.lagged_log_probs
        calibrated = decoding.calibrated(Answers(clip.log_probs, lagged, clip.boundary), fitted.temperatures)
        lagged = clip.lagged_log_probs if clip.offline else calibrated.lagged_log_probs
        found.append(dataclasses.replace(clip, log_probs=calibrated.log_probs, lagged_log_probs=lagged))
    return found


def load_fitted(folder: Path) -> list[FittedDecoders]:
    """Read decoders.json, one for each fold."""
    found = []
    for fields in json.loads((folder / DECODERS).read_text()):
        specs = {output: _spec(spec) for output, spec in fields["specs"].items()}
        found.append(FittedDecoders(tuple(fields["temperatures"]), specs))
    return found


def _spec(fields: Mapping[str, Any]) -> DecoderSpec:
    priors = fields.get("priors")
    return DecoderSpec(**{**fields, "priors": Priors(**priors) if priors else None})


def _aligned(folds: Sequence[Path], period_ns: int, unscored: Unscored) -> dict[str, Any]:
    """Score what a teacher made of the training transcripts, where it says so."""
    if not all((fold / ALIGNED_TARGETS).exists() for fold in folds):
        return {}
    clips = [clip for fold in folds for clip in answer_files.load(fold / ALIGNED_TARGETS)]
    clips = [clip for clip in clips if (clip.truth != NO_ACTION).any()]
    if not clips:
        return {}
    found = score_targets(clips, period_ns, unscored)
    found[ALIGNED] |= _boundary_errors(clips, period_ns)
    return {TRAINING: found}


def _boundary_errors(clips: Sequence[ClipAnswers], period_ns: int) -> dict[str, float | None]:
    """Return by how much aligned boundaries are off, in seconds, of clips whose truth has their transcript's order."""
    targets = {f"{number}": clip.targets for number, clip in enumerate(clips)}  # folds share names
    truths = [Clip(f"{number}", clip.log_probs, clip.truth, clip.transcript) for number, clip in enumerate(clips)]
    errors = np.abs(alignment_quality(targets, truths, period_ns / 1e9).errors_s)
    names = (BOUNDARY_ERROR_MEDIAN, BOUNDARY_ERROR_P90)
    return {
        name: float(np.quantile(errors, q)) if len(errors) else None for name, q in zip(names, (0.5, 0.9), strict=True)
    }
