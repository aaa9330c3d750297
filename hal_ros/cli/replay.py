"""`hal replay`: label a bag offline with the node's own code, and compare with the labels in it."""

from __future__ import annotations

import argparse
from pathlib import Path

from hal_ros.cli import arguments as backends
from hal_ros.cli import topic_arguments as topics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="an .mcap or .db3 file, or a rosbag2 folder")
    parser.add_argument("--out", type=Path, help="write labels and boundaries: a new .mcap file, or a new folder")
    parser.add_argument(
        "--ticks-from", type=Path, metavar="BAG", help="step exactly the ticks of the labels recorded in this bag"
    )
    parser.add_argument(
        "--from-start", action="store_true", help="begin with the first image, not with the first of recorded labels"
    )
    parser.add_argument(
        "--plan", type=Path, metavar="FILE", help="follow this plan, one action a line, and print where it is"
    )
    parser.add_argument("--namespace", help="of the robot whose recorded labels are meant, where there are several")
    topics.add_arguments(parser)
    backends.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Replay, write, compare; 1 when --ticks-from does not give the recorded labels again."""
    from hal_ros.offline.run import ReplayJob, run_replay

    asked = topics.asked(args)
    job = ReplayJob(args.bag, args.out, args.ticks_from, args.from_start, args.plan, asked, args.namespace)
    return int(not run_replay(job, backends.bundle_choice(args)))
