"""`hal verify`: one block of JSON that says what runs here, how exactly and how fast; made to be pasted."""

from __future__ import annotations

import argparse

from hal_ros.cli import arguments as backends


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    backends.add_arguments(parser)
    parser.add_argument("--ticks", type=int, default=200, help="that are timed (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Print the block; exit code 1 when the back end must not be used."""
    from hal_ros.bench.verify import to_text, verify
    from hal_ros.core.errors import ConfigError

    if args.ticks < 1:
        raise ConfigError(f"--ticks is {args.ticks}; expected 1 or more")
    block = verify(backends.bundle_choice(args), args.ticks)
    print(to_text(block))
    return 0 if block["accepted"] else 1
