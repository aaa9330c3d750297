"""`hal train`: from demonstrations to a model; every step is skipped when its result is there."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from hal_ros.core.errors import ConfigError
from hal_ros.datasets.config import ALL_SPLITS, EACH_GROUP, EPISODES

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
    text = "of a folder of features: all listed splits in turn, or each group of data.groups left out (default: one)"
    parser.add_argument("--folds", choices=(ALL_SPLITS, EACH_GROUP), help=text)


def run(args: argparse.Namespace) -> int:
    """Train on episodes and export a bundle; or on a folder of feature vectors, and score its test clips."""
    from hal_ros.train.config import load_config

    config = load_config(args.config)
    if config.data.layout != EPISODES:
        _train_on_features(config, args.checkpoint, args.folds)
        return 0
    if args.folds:
        raise ConfigError(f"--folds {args.folds}: is for folders of features; expected data.layout in {args.config}")
    folder = _train_on_episodes(config, args.checkpoint)
    if not args.no_export:
        from hal_ros.export.run import ExportOptions, export_run

        export_run(folder, ExportOptions(args.out))
    from hal_ros.labels.doubt_files import closing_lines

    for line in closing_lines(folder):
        print(line)
    return 0


def _train_on_episodes(config: TrainConfig, folder: Path | None) -> Path:
    """Simulate the benchmark if it is missing, ingest, train; returns the run's folder."""
    from hal_ros.datasets.config import TRAINING, VALIDATION
    from hal_ros.experiments.ingested import write_benchmark
    from hal_ros.train import stages
    from hal_ros.train.run import train_on_episodes

    splits = (TRAINING, VALIDATION)
    write_benchmark(config.data, splits)
    card, _, (training, validation) = stages.ingest(config, splits)
    return train_on_episodes(config, card, training, validation, folder)


def _train_on_features(config: TrainConfig, folder: Path | None, folds: str | None) -> None:
    """Train, and print the scores of the test clips where there are some."""
    from hal_ros.experiments.documents import fold_scores
    from hal_ros.train.on_features import scored_folds, train_folds

    if folds:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, split=folds))
    place, found = train_folds(config, folder)
    if found:
        scored = scored_folds(found[0].model, [predictions.said for predictions in found])
        fold_scores.write(fold_scores.scores_file(place), scored).show()
    for predictions in found:
        predictions.write_labels()
