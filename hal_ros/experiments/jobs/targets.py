"""Jobs that make targets of transcripts: the first labels, and the teacher that aligns them."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hal_ros.datasets.clips import Clip
from hal_ros.datasets.config import TRAINING, VALIDATION
from hal_ros.experiments.files import ABOUT, ALIGNED_TARGETS, CHECKPOINTS, DURATIONS, split_file
from hal_ros.experiments.graph import Task
from hal_ros.experiments.jobs.clips import load_splits
from hal_ros.experiments.jobs.systems import System, joints_in, keep_answers
from hal_ros.experiments.kinds import Places, say
from hal_ros.experiments.training_data import load_about, load_clips, load_training_data
from hal_ros.fit.loop import RunSession
from hal_ros.labels.targets import LABELS, load_targets, save_targets
from hal_ros.labels.teacher.fit import Transcribed, align_clips, train_teacher
from hal_ros.labels.transcripts.align import AlignConfig, align
from hal_ros.labels.transcripts.durations import Durations
from hal_ros.labels.transcripts.first_inputs import first_input_clips
from hal_ros.labels.transcripts.first_labels import FirstLabels, first_labels
from hal_ros.labels.transcripts.robot_candidates import robot_candidates
from hal_ros.metrics import answer_files
from hal_ros.metrics.answer_files import ClipAnswers
from hal_ros.train import chain
from hal_ros.train.answers import Answers
from hal_ros.train.config import config_from_saved
from hal_ros.train.encoders import grid_of


def first(task: Task, places: Places) -> None:
    """Lay the transcripts over their clips before there is any model: by the joints, or by `inputs`' clips."""
    settings, inputs, folder = task.job.settings, task.inputs, task.folder
    if "clips" in inputs:
        actions = load_about(inputs["clips"]).actions
        training, validation = (load_clips(inputs["clips"], split).clips for split in (TRAINING, VALIDATION))
    else:
        actions, grid = len(settings["vocabulary"]), grid_of(config_from_saved(dict(settings["config"])).data)
        encoded_clips = load_splits(places, settings["vocabulary"], (TRAINING, VALIDATION))
        looks = [
            first_input_clips(encoded_clips[split], grid, training=encoded_clips[TRAINING])
            for split in (TRAINING, VALIDATION)
        ]
        training, validation = looks
    found = first_labels([*training, *validation], actions)
    save_targets(folder, chain.split_targets(found, training, validation))
    (folder / DURATIONS).write_text(json.dumps([column.tolist() for column in vars(found.durations).values()]))


def _load_first(folder: Path) -> FirstLabels:
    """Read what `first` wrote."""
    labels = load_targets(folder)
    mean, variation = json.loads((folder / DURATIONS).read_text())
    return FirstLabels(dict(labels.training), dict(labels.soft), Durations(np.array(mean), np.array(variation)))


# --- the teacher ------------------------------------------------------------------------------------------------------


def teacher(task: Task, _: Places) -> None:
    """Train a teacher on transcripts; write the targets that it aligns, and its answers without transcripts."""
    started = time.monotonic()
    inputs, folder = task.inputs, task.folder
    config = config_from_saved(dict(task.job.settings["config"]))
    data = load_training_data(inputs["clips"], inputs["first"])  # no annotation is in it
    training, validation = (data.clips[split].clips for split in (TRAINING, VALIDATION))
    start = _load_first(inputs["first"]) if config.teacher.start == "durations" else None
    transcribed = Transcribed(data.about.actions, training, validation, start)
    trained = train_teacher(config.teacher, transcribed, config.seed, RunSession(folder / CHECKPOINTS, say))
    labels = chain.split_targets(align_clips(trained, [*training, *validation]), training, validation)

    def answer(clip: Clip) -> Answers:
        log_probs = trained.log_probs(clip)
        return Answers(log_probs, log_probs, np.full(clip.ticks, np.nan, np.float32))

    _keep_aligned(answer, load_clips(inputs["clips"], TRAINING).clips, labels.training, folder)
    count = sum(parameter.numel() for parameter in trained.model.parameters())
    spent = time.process_time()
    answer(validation[0])
    ms = 1e3 * (time.process_time() - spent) / validation[0].ticks
    system = System(answer, count, ms, 0, offline=True)
    keep_answers(system, dataclasses.replace(data, labels=labels), folder, started)


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
        kept.append(dataclasses.replace(answers, targets=aligned.labels))
    answer_files.save(task.folder / ALIGNED_TARGETS, kept)
    for name in (ABOUT, LABELS, split_file(VALIDATION)):
        shutil.copy(source / name, task.folder)


def _keep_aligned(
    answer: Callable[[Clip], Answers], clips: Sequence[Clip], targets: Mapping[str, Any], folder: Path
) -> None:
    """Write the targets beside the annotations that nobody has seen, for the score of the alignment alone."""
    kept = []
    for clip in clips:
        found = answer(clip)
        lagged = found.lagged_log_probs[:0]
        kept.append(
            ClipAnswers(
                clip.name, clip.actions, targets[clip.name], clip.transcript, found.log_probs, lagged, found.boundary
            )
        )
    answer_files.save(folder / ALIGNED_TARGETS, kept)
