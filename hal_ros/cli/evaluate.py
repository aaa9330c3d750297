"""`hal evaluate`: score a bundle beside the baselines, tick by tick, on splits that it was not trained on."""

from __future__ import annotations

import argparse
from pathlib import Path

from hal_ros.cli import topic_arguments
from hal_ros.core.errors import ConfigError
from hal_ros.experiments.evaluate import BASELINES, Evaluation, EvaluationConfig, FeatureEvaluation
from hal_ros.outside.console import PrintableConsole
from hal_ros.report.table import results_table

FILE_WIDTH = 120
"""Columns of the tables where the output is no terminal."""
FEATURE_RUN = "features.json"
"""What a finished run on features has in its folder."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    text = "bundle folder, or that of a run of `hal train` on features"
    parser.add_argument("--model", type=Path, default=Path("models/tabletop"), help=text)
    text = "folder of splits with bags, or of features (default: what the model was trained on)"
    parser.add_argument("--data", type=Path, help=text)
    parser.add_argument("--splits", nargs="+", help="splits to score (default: test and unseen, where there are such)")
    parser.add_argument("--cache", type=Path, help="ingested episodes and features (default: the data set's)")
    topic_arguments.add_arguments(parser)
    parser.add_argument(
        "--baselines",
        nargs="*",
        choices=BASELINES,
        default=BASELINES,
        help="baselines trained and scored in the same run (logistic needs torch)",
    )
    text = "run the encoder on every picture, use no cached features"
    parser.add_argument("--encode", action="store_true", help=text)
    parser.add_argument("--limit", type=int, help="score only the first N episodes of each split")
    text = "rows as JSON, pictures beside (default: runs/evaluation/; of features: the run's folder)"
    parser.add_argument("--results", type=Path, help=text)


def run(args: argparse.Namespace) -> int:
    """Print one table a split, and write all rows and the timeline picture."""
    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit is {args.limit}; expected 1 or more")
    if (args.model / FEATURE_RUN).exists():
        return _evaluate_features(args)
    console = PrintableConsole(width=None if PrintableConsole().is_terminal else FILE_WIDTH)
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
    for split in args.splits or evaluation.usual_splits():
        console.print(results_table(split, evaluation.score(split)))
    results, picture = evaluation.write()
    console.print(*evaluation.worst_pairs(), sep="\n", soft_wrap=True)
    console.print(f"rows: {results}   timelines: {picture}", soft_wrap=True)
    return 0


def _evaluate_features(args: argparse.Namespace) -> int:
    from hal_ros.experiments.documents import fold_scores

    if args.encode or (args.results and len(args.splits or ()) > 1):
        given = "--encode" if args.encode else f"--results with {len(args.splits)} splits"
        raise ConfigError(f"{given}: is not for a run on features; expected --data, --limit or one of --splits")
    evaluation = FeatureEvaluation(args.model, args.data, args.limit)
    for split in args.splits or ("test",):
        fold_scores.write(args.results or evaluation.results(split), evaluation.score(split)).show()
    return 0
