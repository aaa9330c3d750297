"""`hal recover`: finish a recording that was cut off or damaged, so that every reader opens it."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bag", type=Path, metavar="PATH", help="an .mcap or .db3 file, or the folder of a recording")
    parser.add_argument("--out", type=Path, help="a new folder, or a new .mcap file (default: PATH-recovered)")


def run(args: argparse.Namespace) -> int:
    """Write the finished recording beside the old one, which stays as it is."""
    from hal_ros.bags.recover import recover

    recovered = recover(args.bag, args.out)
    if recovered is None:
        print(f"{args.bag}: is complete, there is nothing to recover")
        return 0
    attached = f" and {recovered.attachments} attachments" if recovered.attachments else ""
    print(f"{recovered.folder}: {recovered.messages} messages{attached} recovered")
    if str(recovered.notes):
        print(f"{args.bag}: {recovered.notes}")
    return 0
