"""The trainings of the tables, one function each: from the folders of earlier jobs to stored answers.

All take the job's settings, the folders of its inputs by role, and the folder to write into, which may hold what an
earlier attempt left. `settings["config"]` is a part of a training configuration: what this job depends on, and no more.
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

from hal_ros.baselines import gripper_rule
from hal_ros.baselines.sequence_answers import processor_ms
from hal_ros.baselines.sequence_fit import Question, SequenceConfig, fit_sequence
from hal_ros.baselines.simple_fit import Fitted, fit_logistic, fit_rule
from hal_ros.core.arrays import FloatArray
from hal_ros.datasets.clips import Clip
from hal_ros.experiments.files import TRAINING, VALIDATION, Lesson, load_lesson
from hal_ros.fit.loop import Session
from hal_ros.labels.files import save_labels
from hal_ros.metrics import answer_files
from hal_ros.metrics.answer_files import ClipAnswers, Latents
from hal_ros.nn.hal import CausalHal
from hal_ros.train import chain, loop
from hal_ros.train.answers import Answers
from hal_ros.train.clips import Data
from hal_ros.train.config import config_from_mapping

Settings = Mapping[str, Any]
Folders = Mapping[str, Path]
RUN = "run"
"""Checkpoints, below a job's folder; gone when it is done."""
ABOUT = "about.json"
LATENT_CLIPS = 8


class System(NamedTuple):
    """A trained system, ready to answer."""

    answer: Callable[[Clip], Answers]
    parameters: int
    ms_per_tick: float
    lag_ticks: int
    offline: bool = False


def student(settings: Settings, inputs: Folders, folder: Path) -> None:
    """Train the causal student; its latents of some clips are kept for the pictures."""
    started = time.monotonic()
    lesson = load_lesson(inputs["clips"], inputs.get("labels"), settings.get("modalities", "both"))
    config = config_from_mapping(dict(settings["config"]))
    about, clips = lesson.about, lesson.clips
    data = Data(about.actions, about.columns, clips[TRAINING], clips[VALIDATION])
    model = chain.Student(chain.RunSettings(config, folder / RUN, say)).fit(data, lesson.labels).model
    count = sum(parameter.numel() for parameter in model.parameters())

    def answer(clip: Clip) -> Answers:
        return loop.answer(model, clip)

    some = lesson.clips[VALIDATION].clips[0]
    system = System(answer, count, _student_ms(model, some), config.data.lag_ticks)
    _keep_latents(model, lesson, folder)
    finish(system, lesson, folder, started)


def baseline(settings: Settings, inputs: Folders, folder: Path) -> None:
    """Train one of the systems that people would pick instead."""
    started = time.monotonic()
    lesson = load_lesson(inputs["clips"], inputs.get("labels"))
    fitted = _fit_baseline(settings, lesson, folder / RUN)
    lag_ticks, offline = settings["lag_ticks"], settings["system"] == "ms_tcn"
    system = System(fitted.answer, fitted.parameter_count, fitted.ms_per_tick(), lag_ticks, offline)
    finish(system, lesson, folder, started)


def _fit_baseline(settings: Settings, lesson: Lesson, run: Path) -> Fitted:
    actions, lag_ticks, training = lesson.about.actions, settings["lag_ticks"], lesson.training
    match settings["system"]:
        case "rule":
            gripper = gripper_rule.gripper_index(settings["joints"])
            return fit_rule(training, actions, lag_ticks, lesson.about.columns, gripper)
        case "logistic":
            return fit_logistic(training, actions, lag_ticks)
        case _:
            config = SequenceConfig(**settings["preset"])
            question = Question(actions, lag_ticks, settings["seed"])
            return fit_sequence(config, question, training, lesson.validation, Session(run, say))


# --- what is kept -----------------------------------------------------------------------------------------------------


def finish(system: System, lesson: Lesson, folder: Path, started: float) -> None:
    """Write the answers of all splits but the training one, the training labels, and what is known of the system."""
    for split, seen in lesson.clips.items():
        if split != TRAINING:
            targets = lesson.labels.validation if split == VALIDATION else {}
            answer_files.save(folder / f"{split}.npz", [_answered(system, clip, targets) for clip in seen.clips])
    save_labels(folder, lesson.labels)
    transcripts = {clip.name: clip.transcript for clip in lesson.clips[TRAINING].clips}
    about = {
        "parameters": system.parameters,
        "ms per tick": system.ms_per_tick,
        "training s": time.monotonic() - started,
        "lag_ticks": system.lag_ticks,
        "rate_hz": lesson.about.rate_hz,
        "actions": lesson.about.actions,
        "transcripts": transcripts,
    }
    (folder / ABOUT).write_text(json.dumps(about))
    shutil.rmtree(folder / RUN, ignore_errors=True)


def _answered(system: System, clip: Clip, targets: Mapping[str, Any]) -> ClipAnswers:
    said = system.answer(clip)
    lagged = said.lagged_log_probs[:0] if system.offline else said.lagged_log_probs
    target = np.asarray(targets.get(clip.name, np.zeros(0, np.int64)))
    return ClipAnswers(clip.name, clip.actions, target, clip.transcript, said.log_probs, lagged, said.boundary)


@torch.no_grad()
def _student_ms(model: CausalHal, clip: Clip, ticks: int = 200) -> float:
    """Milliseconds of processor that one more tick costs; an empty state costs what a full one does."""
    one, state = loop.stream_inputs(clip, loop.columns_of(model), 0, 1), model.initial_state()
    return processor_ms(lambda: model(one, state), times=ticks)


@torch.no_grad()
def _keep_latents(model: CausalHal, lesson: Lesson, folder: Path) -> None:
    """Write v and c of some clips of every scored split, from all over it."""
    for split in lesson.about.splits:
        if split in (TRAINING, VALIDATION):
            continue
        clips = lesson.clips[split].clips
        some = clips[:: -(-len(clips) // LATENT_CLIPS)]
        found = [Latents(clip.name, clip.actions, *_latents(model, clip)) for clip in some]
        answer_files.save_latents(folder / f"latents-{split}.npz", found)


def _latents(model: CausalHal, clip: Clip) -> list[FloatArray]:
    """Return v and c of every tick, in pieces with the state carried, as `loop.answer` does."""
    columns, state, pieces = loop.columns_of(model), model.initial_state(), []
    for start in range(0, clip.ticks, loop.ANSWER_TICKS):
        outputs, state = model(loop.stream_inputs(clip, columns, start, start + loop.ANSWER_TICKS), state)
        pieces.append((outputs.visual[0], outputs.context[0]))
    return [torch.cat(column).numpy() for column in zip(*pieces, strict=True)]


def say(line: str) -> None:
    """Write a line of progress into the job's log."""
    print(line, flush=True)
