"""`hal doctor`: what is installed here, and what killed nodes left behind."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--clean", action="store_true", help="remove shared memory whose processes are gone")
    parser.epilog = "exit code: 0 all that every command needs is there, 1 something of it is missing"


def run(args: argparse.Namespace) -> int:
    """Print what was found; with --clean, remove what nobody uses any more."""
    from hal_ros.live import doctor

    for fact in (facts := doctor.look()):
        print(f"{fact.name:<24} {fact.text}")
    for line in doctor.shared_memory_lines(args.clean):
        print(line)
    return int(any(fact.is_fault for fact in facts))
