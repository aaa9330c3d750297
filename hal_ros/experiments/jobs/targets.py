"""Jobs that make targets of what is told of clips: the first labels, and the teacher that aligns them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hal_ros.datasets.clips import Clip
from hal_ros.datasets.config import TRAINING, VALIDATION
from hal_ros.experiments.blocks import ALL_THERE_IS
from hal_ros.experiments.files import ABOUT, ALIGNED_TARGETS, CHECKPOINTS, MINUTES, split_file
from hal_ros.experiments.graph import Task
from hal_ros.experiments.jobs.clips import load_splits
from hal_ros.experiments.jobs.mixtures import PARTS, load_mixture, save_mixture, told_clips
from hal_ros.experiments.jobs.systems import System, joints_in, keep_answers
from hal_ros.experiments.kinds import Places, say
from hal_ros.experiments.training_data import load_about, load_clips, load_training_data
from hal_ros.fit.loop import RunSession
from hal_ros.labels.reveal import NOTHING, Share, person_minutes, reveal
from hal_ros.labels.targets import LABELS, save_targets
from hal_ros.labels.teacher.fit import Teacher, Transcribed, align_clips, train_teacher
from hal_ros.labels.transcripts.align import AlignConfig, align
from hal_ros.labels.transcripts.first_inputs import first_input_clips
from hal_ros.labels.transcripts.first_labels import first_labels
from hal_ros.labels.transcripts.robot_candidates import robot_candidates
from hal_ros.metrics import answer_files
from hal_ros.metrics.answer_files import ClipAnswers
from hal_ros.train.answers import Answers
from hal_ros.train.config import MIXED, TRANSCRIPTS, TrainConfig, config_from_mapping, config_from_saved
from hal_ros.train.encoders import grid_of
from hal_ros.train.mixture import Learnt, compare_sources, known_of, mixture_of, targets_of


def first(task: Task, places: Places) -> None:
    """Lay transcripts over clips before there is any model, through what is told: by joints, or by `inputs`' clips."""
    settings, folder = task.job.settings, task.folder
    read = _read(task, places)
    config, (training, validation) = _supervision(settings), _shown(settings, read.clips)
    mixture = mixture_of(config, training, validation, say)
    learnt = Learnt(read.actions)
    if mixture.align:
        parts = [read.look(part, mixture.training) for part in (mixture.training, mixture.validation)]
        laid = [clip for part in parts for clip in mixture.laid(part)]
        learnt = Learnt(read.actions, first_labels(laid, read.actions, mixture.pins))
    learnt = compare_sources(mixture, learnt, say)
    save_targets(folder, targets_of(mixture, learnt, config))
    save_mixture(folder, mixture, learnt)
    minutes = person_minutes([*mixture.training, *mixture.validation], 1 / read.rate_hz)
    (folder / ABOUT).write_text(json.dumps({MINUTES: minutes}))


@dataclass(frozen=True)
class _Read:
    """Clips of both parts to lay transcripts over, of an eye's or as they were recorded."""

    clips: Mapping[str, Sequence[Any]]  # Clip or EncodedClip
    actions: int  # K
    rate_hz: float
    look: Callable[
        [Sequence[Any], Sequence[Any]], Sequence[Clip]
    ]  # what is aligned by of some, given those of training


def _read(task: Task, places: Places) -> _Read:
    settings, inputs = task.job.settings, task.inputs
    if "clips" in inputs:
        about = load_about(inputs["clips"])
        clips = {part: load_clips(inputs["clips"], part).clips for part in PARTS}
        return _Read(clips, about.actions, about.rate_hz, lambda part, _: part)
    data = config_from_saved(dict(settings["config"])).data
    grid, encoded = grid_of(data), load_splits(places, settings["vocabulary"], PARTS)

    def look(part: Sequence[Any], training: Sequence[Any]) -> Sequence[Clip]:
        return first_input_clips(part, grid, training=training)

    return _Read(encoded, len(settings["vocabulary"]), data.rate_hz, look)


def _supervision(settings: Mapping[str, Any]) -> TrainConfig:
    """Return the settings of a run by which targets are made of what is told."""
    supervision = MIXED if settings.get("told") else TRANSCRIPTS
    return config_from_mapping({"supervision": supervision, "teacher": dict(settings.get("weights", {}))})


def _shown(settings: Mapping[str, Any], read: Mapping[str, Sequence[Any]]) -> list[Sequence[Any]]:
    """Return training and validation clips with what a block tells of them; of the latter no share is shown."""
    told = settings.get("told", {})
    if not told or told.get(ALL_THERE_IS):
        return [read[part] for part in PARTS]
    share, seed = Share(told["annotated"], told["marks"]), told["seed"]
    return [reveal(read[TRAINING], share, seed), reveal(read[VALIDATION], NOTHING, seed)]


# --- the teacher ------------------------------------------------------------------------------------------------------


def teacher(task: Task, _: Places) -> None:
    """Train a teacher on what is told; write the targets that it aligns, and its answers without transcripts.

    Where nothing is to be aligned, all being annotated, there is no teacher, and what is told is the targets.
    """
    started = time.monotonic()
    inputs, folder = task.inputs, task.folder
    config = config_from_saved(dict(task.job.settings["config"]))
    mixture, start = load_mixture(inputs["first"])
    if not mixture.align:
        for name in (LABELS, ABOUT):
            shutil.copy(inputs["first"] / name, folder)
        return
    clips = {part: load_clips(inputs["clips"], part).clips for part in PARTS}
    told = {TRAINING: mixture.training, VALIDATION: mixture.validation}
    shown = {part: told_clips(clips[part], told[part]) for part in PARTS}
    training, validation = (mixture.laid(shown[part]) for part in PARTS)
    known = known_of(mixture, start)
    labels = start.labels if config.teacher.start == "durations" else None
    transcribed = Transcribed(start.actions, training, validation, labels, known)
    trained = train_teacher(config.teacher, transcribed, config.seed, RunSession(folder / CHECKPOINTS, say))
    aligned = align_clips(trained, [*training, *validation], known)
    others = [clip for clip in shown[TRAINING] if clip.name not in aligned.hard] if config.teacher.pseudo_labels else []
    learnt = replace(start, labels=aligned, log_probs={clip.name: trained.log_probs(clip) for clip in others})
    save_targets(folder, targets_of(mixture, learnt, config))
    shutil.copy(inputs["first"] / ABOUT, folder)
    _keep_teacher(trained, task, training[0], clips[TRAINING], started)


def _keep_teacher(trained: Teacher, task: Task, some: Clip, annotated: Sequence[Clip], started: float) -> None:
    """Write its answers, beside the targets that lie there already and what is true of the training clips."""
    data = load_training_data(task.inputs["clips"], task.folder)

    def answer(clip: Clip) -> Answers:
        log_probs = trained.log_probs(clip)
        return Answers(log_probs, log_probs, np.full(clip.ticks, np.nan, np.float32))

    _keep_aligned(answer, annotated, data.labels.training, task.folder)
    count = sum(parameter.numel() for parameter in trained.model.parameters())
    spent = time.process_time()
    answer(some)
    ms = 1e3 * (time.process_time() - spent) / some.ticks
    keep_answers(System(answer, count, ms, 0, offline=True), data, task.folder, started)


def realign(task: Task, _: Places) -> None:
    """Align a teacher's answers anew by boundary scores, as published; with the robot's candidates if asked for."""
    settings, source = task.job.settings, task.inputs["teacher"]
    columns, joints = load_about(task.inputs["clips"]).columns, joints_in(settings)
    clips = {clip.name: clip for clip in load_clips(task.inputs["clips"], TRAINING).clips}
    config, kept = AlignConfig(candidate_bonus=settings["bonus"]), []
    for answers in answer_files.load(source / ALIGNED_TARGETS):
        rows = columns.split(clips[answers.name].inputs)
        extra = robot_candidates(rows.joints, rows.joints_valid, joints) if settings["robot"] else ()
        aligned = align(answers.log_probs, answers.transcript, config, extra)
        kept.append(replace(answers, targets=aligned.labels))
    answer_files.save(task.folder / ALIGNED_TARGETS, kept)
    for name in (ABOUT, LABELS, split_file(VALIDATION)):
        shutil.copy(source / name, task.folder)


def _keep_aligned(
    answer: Callable[[Clip], Answers], clips: Sequence[Clip], targets: Mapping[str, Any], folder: Path
) -> None:
    """Write the targets beside the annotations that nobody has seen, for the score of the alignment alone."""
    kept = []
    for clip in (clip for clip in clips if clip.name in targets):
        found = answer(clip)
        lagged = found.lagged_log_probs[:0]
        kept.append(
            ClipAnswers(
                clip.name, clip.actions, targets[clip.name], clip.transcript, found.log_probs, lagged, found.boundary
            )
        )
    answer_files.save(folder / ALIGNED_TARGETS, kept)
