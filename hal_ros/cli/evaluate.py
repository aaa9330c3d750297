"""`hal evaluate`: score a bundle beside the baselines, tick by tick, on splits that it was not trained on."""

from __future__ import annotations

import argparse
from pathlib import Path

from hal_ros.cli import topic_arguments
from hal_ros.core.errors import ConfigError
from hal_ros.experiments.evaluate import BASELINES, Evaluation, EvaluationConfig
from hal_ros.outside.console import PrintableConsole
from hal_ros.report.table import results_table

FILE_WIDTH = 120
"""Columns of the tables where the output is no terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", type=Path, default=Path("models/tabletop"), help="bundle folder")
    parser.add_argument("--data", type=Path, default=Path("datasets/tabletop-v1"), help="folder of splits with bags")
    parser.add_argument(
        "--splits", nargs="+", default=["test", "unseen"], help="splits to score (default: test unseen)"
    )
    parser.add_argument("--cache", type=Path, default=Path("datasets/cache"), help="ingested episodes and features")
    topic_arguments.add_arguments(parser)
    parser.add_argument(
        "--baselines",
        nargs="*",
        choices=BASELINES,
        default=BASELINES,
        help="baselines trained and scored in the same run (logistic needs torch)",
    )
    parser.add_argument(
        "--encode", action="store_true", help="run the encoder on every picture, use no cached features"
    )
    parser.add_argument("--limit", type=int, help="score only the first N episodes of each split")
    parser.add_argument(
        "--results", type=Path, help="rows as JSON (default: docs/results/bundle-<model>.json; picture beside)"
    )


def run(args: argparse.Namespace) -> int:
    """Print one table a split, and write all rows and the timeline picture."""
    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit is {args.limit}; expected 1 or more")
    console = PrintableConsole()
    if not console.is_terminal:
        console = PrintableConsole(width=FILE_WIDTH)
    config = EvaluationConfig(
        model=args.model,
        data=args.data,
        cache=args.cache,
        topics=topic_arguments.asked(args),
        baselines=args.baselines,
        encode=args.encode,
        limit=args.limit,
        results=args.results,
    )
    evaluation = Evaluation(config)
    for split in args.splits:
        console.print(results_table(split, evaluation.score(split)))
    results, picture = evaluation.write()
    console.print(f"rows: {results}   timelines: {picture}", soft_wrap=True)
    return 0
