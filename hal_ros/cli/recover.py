"""`hal recover`: finish a recording that was cut off, so that every reader opens it."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bag", type=Path, metavar="PATH", help="an .mcap file, or the folder of a recording")
    parser.add_argument("--out", type=Path, help="folder to write (default: PATH-recovered)")


def run(args: argparse.Namespace) -> int:
    """Write the finished recording beside the old one, which stays as it is."""
    from hal_ros.bags.recover import recover

    recovered = recover(args.bag, args.out)
    if recovered is None:
        print(f"{args.bag}: is complete, there is nothing to recover")
        return 0
    print(f"{recovered.folder}: {recovered.messages} messages recovered")
    for count, what in ((recovered.damaged, "damaged chunks"), (recovered.skipped, "messages that are not CDR")):
        if count:
            print(f"{recovered.folder}: {count} {what} left out")
    return 0
