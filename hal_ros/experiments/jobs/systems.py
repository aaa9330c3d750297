"""Jobs that train one system of the tables, and what is kept of it: its answers, from which all scores are made.

`settings["config"]` is a part of a training configuration: what this job depends on, and no more.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from hal_ros.baselines.sequence_answers import processor_ms
from hal_ros.baselines.sequence_config import SequenceConfig
from hal_ros.baselines.sequence_fit import Question, fit_sequence
from hal_ros.baselines.simple_fit import FittedBaseline, fit_logistic, fit_rule
from hal_ros.core.arrays import FloatArray
from hal_ros.core.streams.columns import JointColumns, joints_of
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.config import TRAINING, VALIDATION, streams_of
from hal_ros.experiments.documents.latents import Latents, save_latents
from hal_ros.experiments.files import ABOUT, CHECKPOINTS, MINUTES, latents_file, split_file
from hal_ros.experiments.graph import Task
from hal_ros.experiments.kinds import Places, say
from hal_ros.experiments.training_data import TrainingData, load_training_data
from hal_ros.fit.loop import RunSession
from hal_ros.labels.targets import save_targets
from hal_ros.metrics import answer_files
from hal_ros.metrics.answer_files import ClipAnswers
from hal_ros.nn.hal import CausalHal
from hal_ros.train import chain
from hal_ros.train import student as loop
from hal_ros.train.answers import Answers
from hal_ros.train.clips import Data
from hal_ros.train.config import config_from_saved

LATENT_CLIPS = 8


class System(NamedTuple):
    """A trained system, ready to answer."""

    answer: Callable[[Clip], Answers]
    parameters: int
    ms_per_tick: float
    lag_ticks: int
    offline: bool = False


def student(task: Task, _: Places) -> None:
    """Train the causal student; its latents of some clips are kept for the pictures."""
    started = time.monotonic()
    settings, inputs, folder = task.job.settings, task.inputs, task.folder
    data = load_training_data(inputs["clips"], inputs.get("labels"), settings.get("modalities", "both"))
    config = config_from_saved(dict(settings["config"]))
    about, clips = data.about, data.clips
    run_data = Data(about.actions, about.columns, clips[TRAINING], clips[VALIDATION])
    run = chain.RunSettings(config, folder / CHECKPOINTS, say)
    model = chain.Student(run).fit(run_data, data.labels).model
    count = sum(parameter.numel() for parameter in model.parameters())

    def answer(clip: Clip) -> Answers:
        return loop.answer(model, clip)

    some = data.clips[VALIDATION].clips[0]
    system = System(answer, count, _student_ms(model, some), config.data.lag_ticks)
    _keep_latents(model, data, folder)
    keep_answers(system, data, folder, started)


def baseline(task: Task, _: Places) -> None:
    """Train one of the systems that people would pick instead."""
    started = time.monotonic()
    settings, inputs = task.job.settings, task.inputs
    data = load_training_data(inputs["clips"], inputs.get("labels"))
    fitted = _fit_baseline(settings, data, task.folder / CHECKPOINTS)
    lag_ticks = settings["lag_ticks"]
    system = System(fitted.answer, fitted.parameter_count, fitted.ms_per_tick(), lag_ticks, fitted.offline)
    keep_answers(system, data, task.folder, started)


def _fit_baseline(settings: Mapping[str, Any], data: TrainingData, run: Path) -> FittedBaseline:
    actions, lag_ticks, training = data.about.actions, settings["lag_ticks"], data.training
    match settings["system"]:
        case "rule":
            return fit_rule(training, actions, lag_ticks, data.about.columns, joints_in(settings))
        case "logistic":
            return fit_logistic(training, actions, lag_ticks)
        case _:
            config = SequenceConfig(**settings["preset"])
            question = Question(actions, lag_ticks, settings["seed"])
            return fit_sequence(config, question, training, data.validation, RunSession(run, say))


def joints_in(settings: Mapping[str, Any]) -> JointColumns:
    """Return the joints of the robot whose `joints`, or `streams`, stand in a job's settings."""
    data = {name: settings[name] for name in ("joints", "streams") if name in settings}
    return joints_of(streams_of(config_from_saved({"data": data}).data))


# --- what is kept -----------------------------------------------------------------------------------------------------


def keep_answers(system: System, data: TrainingData, folder: Path, started: float) -> None:
    """Write the answers of all splits but the training one, the training labels, and what is known of the system."""
    for split, attended in data.clips.items():
        if split != TRAINING:
            targets = data.labels.validation if split == VALIDATION else {}
            answer_files.save(folder / split_file(split), [_answered(system, clip, targets) for clip in attended.clips])
    save_targets(folder, data.labels)
    transcripts = {clip.name: clip.transcript for clip in data.clips[TRAINING].clips}
    about = {
        "parameters": system.parameters,
        "ms per tick": system.ms_per_tick,
        "training s": time.monotonic() - started,
        "lag_ticks": system.lag_ticks,
        "rate_hz": data.about.rate_hz,
        "actions": data.about.actions,
        "transcripts": transcripts,
        MINUTES: data.minutes,
    }
    (folder / ABOUT).write_text(json.dumps(about))
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def _answered(system: System, clip: Clip, targets: Mapping[str, Any]) -> ClipAnswers:
    found = system.answer(clip)
    lagged = found.lagged_log_probs[:0] if system.offline else found.lagged_log_probs
    target = np.asarray(targets.get(clip.name, np.zeros(0, np.int64)))
    return ClipAnswers(clip.name, clip.actions, target, clip.transcript, found.log_probs, lagged, found.boundary)


@torch.no_grad()
def _student_ms(model: CausalHal, clip: Clip, ticks: int = 200) -> float:
    """Milliseconds of processor that one more tick costs; an empty state costs what a full one does."""
    one, state = loop.stream_inputs(clip, loop.columns_of(model), 0, 1), model.initial_state()
    return processor_ms(lambda: model(one, state), times=ticks)


@torch.no_grad()
def _keep_latents(model: CausalHal, data: TrainingData, folder: Path) -> None:
    """Write v and c of some clips of every scored split, from all over it."""
    for split in data.about.splits:
        if split in (TRAINING, VALIDATION):
            continue
        clips = data.clips[split].clips
        some = clips[:: -(-len(clips) // LATENT_CLIPS)]
        found = [Latents(clip.name, clip.actions, *_latents(model, clip)) for clip in some]
        save_latents(folder / latents_file(split), found)


def _latents(model: CausalHal, clip: Clip) -> list[FloatArray]:
    """Return v and c of every tick, in pieces with the state carried, as `loop.answer` does."""
    columns, state, pieces = loop.columns_of(model), model.initial_state(), []
    for start in range(0, clip.ticks, loop.ANSWER_TICKS):
        outputs, state = model(loop.stream_inputs(clip, columns, start, start + loop.ANSWER_TICKS), state)
        pieces.append((outputs.visual[0], outputs.context[0]))
    return [torch.cat(column).numpy() for column in zip(*pieces, strict=True)]
