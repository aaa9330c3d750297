"""`hal label`: a bag again, with the labels and boundaries that the node would publish in it."""

from __future__ import annotations

import argparse
from pathlib import Path

from hal_ros.cli import arguments as backends
from hal_ros.cli import topic_arguments as topics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="an .mcap or .db3 file, or a rosbag2 folder")
    parser.add_argument(
        "--out", type=Path, help="a new .mcap file, or a new folder (default: BAG-labelled beside the bag)"
    )
    parser.add_argument("--replace", action="store_true", help="leave the answers out that are in the bag already")
    topics.add_arguments(parser)
    backends.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Check, label, report."""
    from hal_ros.offline.labelling import LabelJob, run_label

    run_label(LabelJob(args.bag, args.out, args.replace, topics.asked(args)), backends.bundle_choice(args))
    return 0
