"""`hal train` on episodes: from ingested splits to the folder of a finished run."""

from __future__ import annotations

from pathlib import Path

from hal_ros.core.card import ModelCard
from hal_ros.labels.doubt_files import write_doubts
from hal_ros.train import stages
from hal_ros.train.chain import RunSettings, train_on_encoded_clips
from hal_ros.train.config import TrainConfig
from hal_ros.train.stages import PreparedSplit


def train_on_episodes(
    config: TrainConfig, card: ModelCard, training: PreparedSplit, validation: PreparedSplit, folder: Path | None = None
) -> Path:
    """Train the whole chain and return the run's folder, by default the one that settings and episodes name."""
    folder = folder or stages.run_folder(config, training, validation)
    ticks, actions = sum(encoded.ticks for encoded in training.encoded_clips), len(card.vocabulary)
    print(f"run {folder}: {ticks} training ticks, {actions} actions, from {config.supervision}")
    trained = train_on_encoded_clips(
        RunSettings(config, folder, vocabulary=card.vocabulary),
        actions,
        training.encoded_clips,
        validation.encoded_clips,
    )
    write_doubts(folder, card.vocabulary, 1 / config.data.rate_hz, training.folders)
    print(f"best epoch {trained.epoch + 1}: {trained.accuracy:.4f} of validation ticks right (lagged head)")
    return folder
