"""`hal train` on episodes: from ingested splits to the folder of a finished run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hal_ros.core.card import ModelCard
from hal_ros.datasets.config import TRAINING, VALIDATION
from hal_ros.labels.doubt_files import write_doubts
from hal_ros.outside import outputs
from hal_ros.train import stages
from hal_ros.train.chain import RunSettings, train_on_encoded_clips
from hal_ros.train.config import TrainConfig
from hal_ros.train.mixture import agreement
from hal_ros.train.stages import PreparedSplit
from hal_ros.train.warm_start.rehearsal import all_new, paced
from hal_ros.train.warm_start.settings import begun
from hal_ros.train.warm_start.start import read_start, write_vocabulary

FEWEST_VALIDATION = 3
"""Episodes by which something can be chosen."""


def train_on_episodes(
    config: TrainConfig, card: ModelCard, training: PreparedSplit, validation: PreparedSplit, folder: Path | None = None
) -> Path:
    """Train the whole chain and return the run's folder, by default the one that settings and episodes name."""
    folder = folder or stages.run_folder(config, training, validation)
    return _train(RunSettings(config, folder, vocabulary=card.vocabulary), card, training, validation)


def train(config: TrainConfig, folder: Path | None = None) -> Path:
    """Ingest the episodes of the settings, and do so with them."""
    card, _, (training, validation) = stages.ingest(config, (TRAINING, VALIDATION))
    return train_on_episodes(config, card, training, validation, folder)


def train_from(place: Path, config: TrainConfig, folder: Path | None = None) -> Path:
    """Do the same, beginning with what the run or bundle at `place` has learnt; ConfigError where it can't be."""
    start = read_start(place)
    config = begun(config, start)
    known, new = config.data.actions[: start.actions], config.data.actions[start.actions :]
    print(f"from {place}: its {len(known)} actions, and {', '.join(new)}; eyes and shapes are as they were there")
    card, _, (training, validation) = stages.ingest(config, (TRAINING, VALIDATION))
    start = replace(start, alone=all_new(training.encoded_clips, start.actions))
    config = paced(config, training.encoded_clips, start.alone)
    folder = folder or stages.run_folder(config, training, validation, start=start.sha256)
    return _train(RunSettings(config, folder, vocabulary=card.vocabulary, start=start), card, training, validation)


def _train(run: RunSettings, card: ModelCard, training: PreparedSplit, validation: PreparedSplit) -> Path:
    with outputs.alone_in(run.folder):
        return _train_alone(run, card, training, validation)


def _train_alone(run: RunSettings, card: ModelCard, training: PreparedSplit, validation: PreparedSplit) -> Path:
    ticks, actions = sum(encoded.ticks for encoded in training.encoded_clips), len(card.vocabulary)
    print(f"run {run.folder}: {ticks} training ticks, {actions} actions, from {run.config.supervision}")
    trained = train_on_encoded_clips(run, actions, training.encoded_clips, validation.encoded_clips)
    write_doubts(run.folder, card.vocabulary, 1 / run.config.data.rate_hz, training.folders)
    write_vocabulary(run.folder, card.vocabulary)
    if run.start:
        outputs.write_whole_text(run.folder / stages.START, run.start.sha256)
    agrees = agreement(trained.accuracy, run.config.supervision, validation.encoded_clips)
    print(f"best epoch {trained.epoch + 1}: {agrees}")
    if (count := len(validation.encoded_clips)) < FEWEST_VALIDATION:
        print(f"warning: {count} validation episodes choose epoch and decoder; expected {FEWEST_VALIDATION} or more")
    return run.folder
