"""The job that measures what a tick costs: student and baselines one after the other in the same process."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import torch

from hal_ros.baselines.costs import WHOLE_CLIP_TICKS, Tick, logistic_tick, measure, rule_tick, sequence_tick
from hal_ros.baselines.sequence_config import SequenceConfig, build
from hal_ros.core.errors import ConfigError
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.config import VALIDATION
from hal_ros.experiments.files import COSTS
from hal_ros.experiments.graph import Task
from hal_ros.experiments.jobs.systems import joints_in
from hal_ros.experiments.kinds import Places
from hal_ros.experiments.training_data import AboutClips, load_about, load_clips
from hal_ros.labels.teacher.config import TeacherConfig
from hal_ros.labels.teacher.network import PyramidTeacher
from hal_ros.nn.hal import CausalHal
from hal_ros.nn.state import State
from hal_ros.train import student as loop
from hal_ros.train.config import config_from_saved


def cost(task: Task, _: Places) -> None:
    """Measure `settings["systems"]` on the columns of the clips, untrained; write costs.json, {system: cost}."""
    torch.set_num_threads(1)
    about, some = load_about(task.inputs["clips"]), load_clips(task.inputs["clips"], VALIDATION).clips[0]
    systems = {name: _tick(each, about, some) for name, each in task.job.settings["systems"].items()}
    found = {name: dataclasses.asdict(one) for name, one in measure(systems).items()}
    (task.folder / COSTS).write_text(json.dumps(found, indent=1))


def _tick(settings: Mapping[str, Any], about: AboutClips, clip: Clip) -> Tick:
    """Return the step of a system that has a training job's settings, and the job's kind beside them."""
    match settings["kind"]:
        case "student":
            config = config_from_saved(dict(settings["config"]))
            return _student_tick(loop.new_model(config, about.actions, about.columns, [clip]).eval(), clip)
        case "teacher":
            return _teacher_tick(config_from_saved(dict(settings["config"])).teacher, about)
        case "baseline":
            return _baseline_tick(settings, about)
        case kind:
            raise ConfigError(f"{kind!r} is no kind of a system; expected student, teacher or baseline")


def _baseline_tick(settings: Mapping[str, Any], about: AboutClips) -> Tick:
    width, lag_ticks = about.columns.width, settings["lag_ticks"]
    match settings["system"]:
        case "rule":
            return rule_tick(about.columns, joints_in(settings), about.actions, lag_ticks)
        case "logistic":
            return logistic_tick(width, about.actions, lag_ticks)
        case _:
            config = SequenceConfig(**settings["preset"])
            return sequence_tick(build(config, width, about.actions, lag_ticks))


def _student_tick(model: CausalHal, clip: Clip) -> Tick:
    """Return the step of the student, its state carried."""
    one = loop.stream_inputs(clip, loop.columns_of(model), 0, 1)
    carried: list[State] = [model.initial_state()]

    @torch.no_grad()
    def step() -> None:
        carried[0] = model(one, carried[0])[1]

    return Tick(sum(parameter.numel() for parameter in model.parameters()), step)


def _teacher_tick(config: TeacherConfig, about: AboutClips) -> Tick:
    """Return the step of a teacher, which sees a whole clip."""
    model = PyramidTeacher(config.pyramid(about.actions, about.columns.width)).eval()
    inputs, known = torch.zeros(1, WHOLE_CLIP_TICKS, about.columns.width), torch.ones(1, WHOLE_CLIP_TICKS)

    @torch.no_grad()
    def whole() -> None:
        model(inputs, known)

    return Tick(sum(parameter.numel() for parameter in model.parameters()), whole, WHOLE_CLIP_TICKS)
