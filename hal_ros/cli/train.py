"""`hal train`: from the benchmark to a bundle; every step is skipped when its result is there."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", type=Path, help="settings, e.g. config/train.yaml")
    parser.add_argument(
        "--checkpoint", type=Path, help="folder of the checkpoint (default: runs/<name>-<hash of the settings>)"
    )
    parser.add_argument("--out", type=Path, help="folder of the bundle (default: models/<name>)")
    parser.add_argument("--no-export", action="store_true", help="stop after training")


def run(args: argparse.Namespace) -> int:
    """Generate, ingest, train, export."""
    from hal_ros.cli import export, ingest
    from hal_ros.train import stages
    from hal_ros.train.config import load_config
    from hal_ros.train.loop import fit, new_model
    from hal_ros.train.tracks import measure

    config = load_config(args.config)
    ingest.ensure_episodes(config.data, (stages.TRAINING, stages.VALIDATION))
    card, _, (training, validation) = ingest.ingest(config, (stages.TRAINING, stages.VALIDATION))
    hal = stages.hal_config(config, len(card.vocabulary))
    model = new_model(config, hal, measure(training.tracks, hal.grid[2]))
    folder = args.checkpoint or stages.run_folder(config, training, validation)
    print(f"run {folder}: {sum(t.ticks for t in training.tracks)} training ticks, {len(card.vocabulary)} actions")
    trained = fit(config, model, training.tracks, validation.tracks, folder)
    print(f"best epoch {trained.epoch + 1}: {trained.accuracy:.4f} of validation ticks right (lagged head)")
    if not args.no_export:
        export.export_run(folder, args.out)
    return 0
