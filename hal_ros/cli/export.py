"""`hal export`: a checkpoint becomes a bundle, with temperatures and decoder chosen on the validation split."""

from __future__ import annotations

import argparse
from pathlib import Path

from hal_ros.runtime.card_json import CACHES, TARGETS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run_folder", type=Path, help="folder that `hal train` wrote, e.g. runs/tabletop-1a2b3c4d")
    parser.add_argument("--out", type=Path, help="folder of the bundle (default: models/<name>)")
    parser.add_argument(
        "--target",
        choices=TARGETS,
        default="10",
        help="the oldest TensorRT that is to take the graphs (default: 10); for 8.6 pictures go in as float32",
    )
    parser.add_argument(
        "--caches",
        choices=CACHES,
        default="shift",
        help="shift moves each cache by one row a tick (default); delta writes one row, for GPUs and long windows",
    )
    parser.add_argument("--reference", action="store_true", help="add weights.npz, for the torch back end")


def run(args: argparse.Namespace) -> int:
    """Export."""
    from hal_ros.export.run import ExportOptions, export_run

    export_run(args.run_folder, ExportOptions(args.out, args.target, args.caches, args.reference))
    return 0
