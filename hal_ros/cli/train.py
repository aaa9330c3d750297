"""`hal train`: from demonstrations to a model; every step is skipped when its result is there."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hal_ros.train.config import TrainConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", type=Path, help="settings, e.g. config/train.yaml")
    parser.add_argument(
        "--checkpoint", type=Path, help="folder of the checkpoint (default: runs/<name>-<hash of the settings>)"
    )
    parser.add_argument("--out", type=Path, help="folder of the bundle (default: models/<name>)")
    parser.add_argument("--no-export", action="store_true", help="stop after training")


def run(args: argparse.Namespace) -> int:
    """Train on episodes and export a bundle; or on a folder of feature vectors, and score its test clips."""
    from hal_ros.datasets.config import EPISODES
    from hal_ros.train.config import load_config

    config = load_config(args.config)
    if config.data.layout != EPISODES:
        from hal_ros.train import on_features as train_features

        return train_features.run(config, args.checkpoint)
    folder = _train_on_episodes(config, args.checkpoint)
    if not args.no_export:
        from hal_ros.cli import export

        export.export_run(folder, args.out)
    return 0


def _train_on_episodes(config: TrainConfig, folder: Path | None) -> Path:
    """Simulate the benchmark if it is missing, ingest, train; returns the run's folder."""
    from hal_ros.sim.simulate import write_missing
    from hal_ros.train import stages
    from hal_ros.train.chain import train_on_tracks

    splits = (stages.TRAINING, stages.VALIDATION)
    write_missing(Path(config.data.folder), splits, config.data.processes)
    card, _, (training, validation) = stages.ingest(config, splits)
    folder = folder or stages.run_folder(config, training, validation)
    ticks, actions = sum(track.ticks for track in training.tracks), len(card.vocabulary)
    print(f"run {folder}: {ticks} training ticks, {actions} actions, from {config.supervision}")
    trained = train_on_tracks(config, actions, training.tracks, validation.tracks, folder)
    print(f"best epoch {trained.epoch + 1}: {trained.accuracy:.4f} of validation ticks right (lagged head)")
    return folder
