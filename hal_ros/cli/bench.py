"""`hal bench`: measure speed, memory and losses on this machine; a table, and build/bench.json."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from hal_ros.core.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--full", action="store_true", help="also ten-minute runs, a training, a fresh installation")
    parser.add_argument("--model", type=Path, help="folder of a model bundle (default: models/tabletop)")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), help="default: %(default)s")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep recordings and logs in this new folder")


def run(args: argparse.Namespace) -> int:
    """Measure, print and write; 0 also when targets were missed: the verdicts stand in the rows."""
    load = os.getloadavg()  # before anything of ours runs
    from hal_ros.bench import rows as bench
    from hal_ros.bench.run import measure
    from hal_ros.outside.console import PrintableConsole
    from hal_ros.outside.outputs import check_file
    from hal_ros.outside.shared_files import shared_file

    if args.keep is not None and args.keep.exists():
        raise ConfigError(f"--keep {args.keep} exists; expected the name of a new folder")
    check_file(args.out, bench.is_ours, "benchmark rows")
    with tempfile.TemporaryDirectory(prefix="hal-bench-") as temporary:
        folder = args.keep or Path(temporary)
        rows = [*bench.facts(load), *measure(args.model or shared_file("models/tabletop"), folder, args.full)]
    if args.full:
        rows = bench.merged(bench.load(args.out), rows)
    bench.save(rows, args.out)
    PrintableConsole(soft_wrap=True).print(bench.report(rows), end="")
    print(f"written to {args.out}")
    return 0
