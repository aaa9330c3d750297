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
    parser.add_argument("--from", dest="start", type=Path, help="run or bundle to begin with: new actions are added")
    text = "of a folder of features: all listed splits in turn, or each group of data.groups left out (default: one)"
    parser.add_argument("--folds", choices=(ALL_SPLITS, EACH_GROUP), help=text)


def run(args: argparse.Namespace) -> int:
    """Train on episodes and export a bundle; or on a folder of feature vectors, and score its test clips."""
    from hal_ros.train.config import load_config

    config = load_config(args.config)
    if config.data.layout != EPISODES:
        if args.start:
            raise ConfigError(f"--from {args.start}: is for episodes; data.layout is {config.data.layout!r}")
        _train_on_features(config, args.checkpoint, args.folds)
        return 0
    if args.folds:
        raise ConfigError(f"--folds {args.folds}: is for folders of features; expected data.layout in {args.config}")
    folder = _train_on_episodes(config, args.checkpoint, args.start)
    if not args.no_export:
        from hal_ros.export.run import ExportOptions, export_run

        export_run(folder, ExportOptions(args.out))
    from hal_ros.labels.doubt_files import closing_lines

    for line in closing_lines(folder):
        print(line)
    return 0


def _train_on_episodes(config: TrainConfig, folder: Path | None, start: Path | None) -> Path:
    """Simulate the benchmark if it is missing, ingest, train; returns the run's folder."""
    from hal_ros.datasets.config import TRAINING, VALIDATION
    from hal_ros.experiments.ingested import write_benchmark
    from hal_ros.train import run

    write_benchmark(config.data, (TRAINING, VALIDATION))
    return run.train_from(start, config, folder) if start else run.train(config, folder)


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
