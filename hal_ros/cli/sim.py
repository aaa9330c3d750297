"""`hal sim`: simulate the tabletop benchmark's episodes and write them as bags."""

from __future__ import annotations

import argparse
from pathlib import Path

from hal_ros.core.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from hal_ros.sim.benchmark import LEVELS, SPLITS, VERSION
    from hal_ros.sim.simulate import MAX_JOBS

    parser.add_argument("--out", type=Path, default=Path("datasets") / VERSION, help="folder (default: %(default)s)")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS, help="which splits (default: all)")
    parser.add_argument("--level", choices=LEVELS, default=LEVELS[0], help="randomisation (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help=f"processes, 1 to {MAX_JOBS} (default: %(default)s)")
    parser.add_argument("--size", type=_size, default=(128, 128), help="of the images, e.g. 640x480 (default: 128x128)")
    parser.add_argument("--raw", action="store_true", help="write uncompressed images")
    parser.add_argument("--no-extras", action="store_true", help="write front camera, joints and truth alone")
    parser.add_argument("--split-gripper", action="store_true", help="write the gripper's joint in its own topic only")
    parser.add_argument("--limit", type=int, help="write the first episodes of each split only")
    parser.add_argument("--overwrite", action="store_true", help="write again what is there already")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size, expected WIDTHxHEIGHT in pixels")
    return int(width), int(height)


def run(args: argparse.Namespace) -> int:
    """Write the episodes that are missing; an interrupted run goes on where it stopped."""
    from hal_ros.sim.extras import Extras
    from hal_ros.sim.simulate import MAX_JOBS, Wanted, simulate

    if not 1 <= args.jobs <= MAX_JOBS:
        raise ConfigError(f"--jobs is {args.jobs}; expected 1 to {MAX_JOBS}")
    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit is {args.limit}; expected 1 or more")
    if args.no_extras and args.split_gripper:
        raise ConfigError("--split-gripper needs the gripper's own topic; expected it without --no-extras")
    extras = None if args.no_extras else Extras(split_gripper=args.split_gripper)
    wanted = Wanted(
        args.out, args.splits, args.level, args.jobs, args.size, args.raw, args.limit, args.overwrite, extras
    )
    for line in simulate(wanted).summary():
        print(line)
    return 0
