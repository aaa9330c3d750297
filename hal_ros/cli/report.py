"""`hal report`: write report.html for a recording and print its numbers."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("recording", type=Path, help="MCAP file or rosbag2 folder with /action_label")
    text = "where no truth was recorded (default: annotation.json beside the recording, or beside BAG of BAG-labelled)"
    parser.add_argument("--annotation", type=Path, help=text)
    parser.add_argument("--namespace", help="of the robot that is meant, where the recording holds several")
    parser.add_argument("--out", type=Path, help="where to write the page (default: report.html beside the recording)")


def run(args: argparse.Namespace) -> int:
    """Write the page and print the summary."""
    from hal_ros.report.write import write_and_print

    folder = args.recording if args.recording.is_dir() else args.recording.parent
    write_and_print(args.recording, args.out or folder / "report.html", args.namespace, args.annotation)
    return 0
