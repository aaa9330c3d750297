"""What camera and joints each contribute: the same small model with one modality taken away, over several seeds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hal_ros.model.hal import CausalHal
from hal_ros.train import stages
from hal_ros.train.clips import Supervised, annotated, columns_of, seen_clips
from hal_ros.train.config import TrainConfig
from hal_ros.train.eye import fit_eye, gather, new_eye
from hal_ros.train.loop import fit, new_model, validate
from hal_ros.train.tracks import Track, measure, restrict

MODALITIES = ("joints", "camera", "both")
SPLITS = ("test", "unseen")
LEAD = 10.0
"""Points by which 'both' has to lead 'joints' on every split for vision to matter."""
SLACK = 1.0
"""Points that no split may lose when the camera is added."""


class Trial(NamedTuple):
    """One training of the probe: what it may see, and its seed."""

    modality: str
    seed: int


class Score(NamedTuple):
    """Frame accuracy in percent of one trial on one split, of the provisional and of the lagged answer."""

    modality: str
    seed: int
    split: str
    provisional: float
    lagged: float


class Row(NamedTuple):
    """Mean and standard deviation (of the sample) of the provisional answer's accuracy over the seeds."""

    modality: str
    split: str
    mean: float
    spread: float
    lagged_mean: float
    lagged_spread: float


def trial_config(config: TrainConfig, trial: Trial, epochs: int) -> TrainConfig:
    """Return the run's settings; what is never seen is not dropped out on top, so each modality gets its best."""
    batches = dataclasses.replace(
        config.batches,
        blind=config.batches.blind if trial.modality == "both" else 0.0,
        numb=config.batches.numb if trial.modality == "both" else 0.0,
    )
    optimiser = dataclasses.replace(config.optimiser, epochs=epochs)
    name = f"probe-{trial.modality}-{trial.seed}"
    data = dataclasses.replace(config.data, processes=1)  # a trial may be one of several at a time
    return dataclasses.replace(config, name=name, seed=trial.seed, data=data, batches=batches, optimiser=optimiser)


def run_trial(config: TrainConfig, trial: Trial, epochs: int) -> list[Score]:
    """Train once, selected on validation, and score every split; the run's folder remembers the scores."""
    config = trial_config(config, trial, epochs)
    card = stages.draft_card(config)
    encoder = stages.ensure_encoder(config.data)
    names = (stages.TRAINING, stages.VALIDATION, *SPLITS)
    materials = {name: stages.prepare(config.data, card, name, encoder, _silent) for name in names}
    folder = stages.run_folder(config, *materials.values())
    stored = folder / "probe.json"
    if stored.exists():
        return [Score(**row) for row in json.loads(stored.read_text())]
    tracks = {name: restrict(material.tracks, trial.modality) for name, material in materials.items()}
    model, clips = _train(config, len(card.vocabulary), tracks, folder)
    scores = []
    for split in SPLITS:
        provisional, lagged = validate(model, clips[split], config.data.lag_ticks)
        scores.append(Score(trial.modality, trial.seed, split, 100 * provisional, 100 * lagged))
    stored.write_text(json.dumps([score._asdict() for score in scores]))
    return scores


def _train(
    config: TrainConfig, actions: int, tracks: Mapping[str, Sequence[Track]], folder: Path
) -> tuple[CausalHal, dict[str, Supervised]]:
    """Train eye and model on the annotations; returns the model, and each split as it sees it."""
    training, grid = tracks[stages.TRAINING], stages.grid_of(config.data)
    eye = new_eye(config, actions, grid, measure(training, grid[2]))

    def report(line: str) -> None:
        print(f"{config.name}: {line}", flush=True)

    if any(track.image_valid.any() for track in training):
        ticks = gather(training, {track.name: track.actions for track in training}, actions)
        fit_eye(config, eye, ticks, folder / stages.EYE, report)
    clips = {split: annotated(seen_clips(eye, part)) for split, part in tracks.items()}
    model = new_model(config, actions, columns_of(eye), clips[stages.TRAINING].clips)
    trained = fit(config, model, clips[stages.TRAINING], clips[stages.VALIDATION], folder, report)
    return trained.model, clips


def _silent(_: str) -> None:
    """The command line has reported the ingest already."""


def summarise(scores: Sequence[Score]) -> list[Row]:
    """Return a row for each modality and split, in the order of MODALITIES and SPLITS."""
    rows = []
    for modality in MODALITIES:
        for split in SPLITS:
            chosen = [s for s in scores if (s.modality, s.split) == (modality, split)]
            if chosen:
                now, lagged = np.array([s.provisional for s in chosen]), np.array([s.lagged for s in chosen])
                rows.append(Row(modality, split, now.mean(), _spread(now), lagged.mean(), _spread(lagged)))
    return rows


def _spread(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def leads(rows: Sequence[Row]) -> dict[str, float]:
    """Return, per split, by how many points the mean of 'both' lies above that of 'joints'."""
    means = {(row.modality, row.split): row.mean for row in rows}
    return {split: float(means["both", split] - means["joints", split]) for split in SPLITS}


def write_result(path: Path, scores: Sequence[Score], about: dict[str, Any]) -> None:
    """Write the figures, and whether the two targets hold, as JSON."""
    rows = summarise(scores)
    lead = leads(rows)
    result = {
        **about,
        "rows": [{key: round(v, 2) if isinstance(v, float) else v for key, v in row._asdict().items()} for row in rows],
        "lead_of_both_over_joints_points": {split: round(points, 2) for split, points in lead.items()},
        "vision_matters": min(lead.values()) >= LEAD,
        "camera_never_hurts": min(lead.values()) >= -SLACK,
        "scores": [score._asdict() for score in scores],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
