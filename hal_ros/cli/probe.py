"""`hal probe`: what camera and joints each contribute on the benchmark; writes docs/results/probe.json."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hal_ros.train.config import TrainConfig
    from hal_ros.train.probe import Score, Trial


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", type=Path, help="settings, e.g. config/train.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=6, help="of each training (default: %(default)s)")
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=1, help="trainings at a time (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("docs/results/probe.json"), help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    """Train every modality with every seed, print a table and say whether the camera matters."""
    from hal_ros.cli import ingest
    from hal_ros.train import probe, stages
    from hal_ros.train.config import load_config

    config = load_config(args.config)
    splits = (stages.TRAINING, stages.VALIDATION, *probe.SPLITS)
    ingest.ensure_episodes(config.data, splits)
    card, _, materials = ingest.ingest(config, splits)
    trials = [probe.Trial(modality, seed) for seed, modality in product(args.seeds, probe.MODALITIES)]
    scores = _run_all(config, trials, args.epochs, args.jobs)
    about = {
        "dataset": {split: material.sha256 for split, material in zip(splits, materials, strict=True)},
        "seeds": args.seeds,
        "epochs": args.epochs,
        "actions": len(card.vocabulary),
    }
    probe.write_result(args.out, scores, about)
    _print(scores)
    return 0


def _run_all(config: TrainConfig, trials: Sequence[Trial], epochs: int, jobs: int) -> list[Score]:
    from hal_ros.train.probe import run_trial

    count = len(trials)
    if jobs == 1:
        results = [run_trial(config, trial, epochs) for trial in trials]
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            results = list(pool.map(run_trial, [config] * count, trials, [epochs] * count))
    return [score for scores in results for score in scores]


def _print(scores: Sequence[Score]) -> None:
    from rich.console import Console
    from rich.table import Table

    from hal_ros.train.probe import LEAD, SLACK, leads, summarise

    rows = summarise(scores)
    table = Table(title="frame accuracy in %, mean and standard deviation over seeds")
    for column in ("sees", "split", "provisional", "lagged"):
        table.add_column(column, justify="left" if column in ("sees", "split") else "right")
    for row in rows:
        now, lagged = f"{row.mean:.1f} ± {row.spread:.1f}", f"{row.lagged_mean:.1f} ± {row.lagged_spread:.1f}"
        table.add_row(row.modality, row.split, now, lagged)
    Console().print(table)
    for split, points in leads(rows).items():
        print(
            f"{split}: camera and joints lead joints by {points:+.1f} points (target {LEAD:+.0f}, never -{SLACK:.0f})"
        )
