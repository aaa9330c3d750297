"""`hal label`: bags again, with the labels and boundaries that the node would publish in them."""

from __future__ import annotations

import argparse
from pathlib import Path

from hal_ros.cli import arguments as backends
from hal_ros.cli import topic_arguments as topics
from hal_ros.core.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    text = "an .mcap or .db3 file, a rosbag2 folder, or a folder of such"
    parser.add_argument("bags", type=Path, nargs="+", metavar="BAG", help=text)
    text = "a new .mcap file or folder; of several bags the folder that they go to (default: BAG-labelled beside each)"
    parser.add_argument("--out", type=Path, help=text)
    parser.add_argument("--processes", type=int, help="of several bags, how many at a time (default: the cores here)")
    parser.add_argument("--replace", action="store_true", help="leave the answers out that are in the bag already")
    topics.add_arguments(parser)
    backends.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Check, label, report."""
    from hal_ros.offline.labelling import LabelJob
    from hal_ros.offline.several import run_labels, usual_processes

    if args.processes is not None and args.processes < 1:
        raise ConfigError(f"--processes is {args.processes}; expected 1 or more")
    form, choice = LabelJob(args.bags[0], args.out, args.replace, topics.asked(args)), backends.bundle_choice(args)
    run_labels(args.bags, form, choice, args.processes or usual_processes(), print)
    return 0
