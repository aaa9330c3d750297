"""One trial of a search: a competitor learns a fold with one seed, and is scored on what the fold holds out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hal_ros.baselines.presets import PRESETS
from hal_ros.baselines.sequence_fit import Question, fit_sequence
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.config import TRAINING
from hal_ros.experiments.training_data import TrainingData, load_training_data
from hal_ros.fit.loop import RunSession
from hal_ros.train import student
from hal_ros.train.answers import Answers
from hal_ros.train.config import config_from_mapping, to_mapping
from hal_ros.train.decoding import (
    Decoded,
    best_of_each_kind,
    calibrated,
    chosen_kind,
    fit_both_temperatures,
    score_decoder,
)
from hal_ros.train.priors import fit_priors
from search_folds import HELD_OUT

LAG_S = 0.4
"""How late the confirmed answer comes, whatever the rate."""
KINDS = ("argmax", "hysteresis", "duration")


@dataclass(frozen=True)
class Competitor:
    """A student with some settings of its own, or a baseline as it is preset."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)  # of a student, nested as in config/train.yaml
    baseline: str = ""  # one of `baselines.presets.PRESETS`
    clips: int = 0  # of the fold's training clips, how many it learns from; 0: all. The eye has seen them all

    @property
    def digest(self) -> str:
        """A hash of all that is set, today's defaults too: rows of other settings are other rows."""
        if self.baseline:
            said: Any = dataclasses.asdict(PRESETS[self.baseline])
        else:
            said = to_mapping(config_from_mapping(dict(self.settings)))
        said = {**said, "clips": self.clips} if self.clips else said
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


def run_trial(folder: Path, competitor: Competitor, seed: int) -> dict[str, Any]:
    """Train and score; returns one row, JSON-ready. Scores are in percent, times those of this process' processor."""
    started = time.process_time()
    data = _fewer(load_training_data(folder, None), competitor.clips)
    lag_ticks = round(LAG_S * data.about.rate_hz)
    fit = _fit_baseline if competitor.baseline else _fit_student
    answer, parameters = fit(data, competitor, lag_ticks, seed)
    trained = time.process_time()
    chosen = _decoders(data, answer, lag_ticks)
    held_out = data.clips[HELD_OUT].clips
    answers = [calibrated(answer(clip), chosen.temperatures) for clip in held_out]
    labels = [clip.actions for clip in held_out]
    scores = {kind: score_decoder(one.decoder, answers, labels, lag_ticks) for kind, one in chosen.of_kind.items()}
    return {
        "fold": folder.name,
        "competitor": competitor.name,
        "seed": seed,
        "settings": competitor.digest,
        "decoder": chosen.best,
        **_shown(scores[chosen.best]),
        "by decoder": {kind: _shown(one) for kind, one in scores.items()},
        "parameters": parameters,
        "training s": round(trained - started, 1),
        "scoring s": round(time.process_time() - trained, 1),
    }


def _fewer(data: TrainingData, clips: int) -> TrainingData:
    """Return the data with so many training clips, spread evenly over them; 0 leaves them all."""
    training = data.clips[TRAINING]
    if not clips or clips >= len(training.clips):
        return data
    kept = [training.clips[place * len(training.clips) // clips] for place in range(clips)]
    return dataclasses.replace(data, clips={**data.clips, TRAINING: dataclasses.replace(training, clips=kept)})


def _shown(found: Decoded) -> dict[str, float]:
    return {"MoF": round(found.mof, 2), "Edit": round(found.edit, 2), "F1@50": round(found.f1_50, 2)}


Answer = Callable[[Clip], Answers]


def _fit_student(data: TrainingData, competitor: Competitor, lag_ticks: int, seed: int) -> tuple[Answer, int]:
    given: dict[str, Any] = {**competitor.settings, "seed": seed}
    given["data"] = {**given.get("data", {}), "lag_ticks": lag_ticks, "rate_hz": data.about.rate_hz}
    config = config_from_mapping(given)
    model = student.new_model(config, data.about.actions, data.about.columns, data.clips[TRAINING].clips)
    student.fit(config, model, data.training, data.validation, RunSession(None, _quiet))
    return lambda clip: student.answer(model, clip), sum(parameter.numel() for parameter in model.parameters())


def _fit_baseline(data: TrainingData, competitor: Competitor, lag_ticks: int, seed: int) -> tuple[Answer, int]:
    question = Question(data.about.actions, lag_ticks, seed)
    preset = PRESETS[competitor.baseline]
    fitted = fit_sequence(preset, question, data.training, data.validation, RunSession(None, _quiet))
    return fitted.answer, fitted.parameter_count


def _quiet(_: str) -> None:
    pass


@dataclass(frozen=True)
class _Chosen:
    """What validation chose."""

    temperatures: tuple[float, float]
    of_kind: Mapping[str, Decoded]
    best: str


def _decoders(data: TrainingData, answer: Answer, lag_ticks: int) -> _Chosen:
    clips = data.validation.clips
    labels: Sequence[Any] = [data.validation.labels(clip) for clip in clips]
    answers = [answer(clip) for clip in clips]
    temperatures = fit_both_temperatures(answers, labels, lag_ticks)
    answers = [calibrated(one, temperatures) for one in answers]
    training = data.clips[TRAINING].clips
    found = [data.labels.training[clip.name] for clip in training]
    priors = fit_priors(found, [clip.transcript for clip in training], data.about.actions)
    transcripts = [clip.transcript for clip in clips]
    of_kind = best_of_each_kind(answers, labels, transcripts, lag_ticks, KINDS, priors)
    return _Chosen(temperatures, of_kind, chosen_kind(of_kind))
