"""`hal tables`: train and score every system of the result tables, from a queue that survives interruption."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from hal_ros.core.errors import ConfigError
from hal_ros.experiments.plan import DATASETS, SECTIONS

MOST_JOBS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--dataset", choices=DATASETS, help="default: all, as far as they are there")
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="parts of the tables (default: all)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, a thread each (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="say what is done and what is left, and stop")
    parser.add_argument("--report", action="store_true", help="write tables of what is done, and stop")
    parser.add_argument("--quick", action="store_true", help="the whole graph in minutes, on a few episodes")
    text = "declared tables (default: %(default)s), or a run's settings: systems are compared on its data then"
    parser.add_argument("--config", type=Path, default=Path("config/tables.yaml"), help=text)
    own = parser.add_argument_group("with a run's settings")
    own.add_argument("--seeds", nargs="+", type=int, default=[], metavar="SEED", help="default: 0")
    text = "a learning curve too: numbers of episodes to learn from, the smaller ones within the larger"
    own.add_argument("--episodes", nargs="+", type=int, default=[], metavar="N", help=text)
    parser.add_argument("--bags", type=Path, help="folder with the other robots' bags (default: as their settings say)")
    parser.add_argument("--store", type=Path, default=Path("runs/tables"), help="jobs' results (default: %(default)s)")
    parser.add_argument("--results", type=Path, help="default: build/tables; own: runs/<name>-tables")


def run(args: argparse.Namespace) -> int:
    """Do what is left, then write the tables; the exit code is 1 when a job failed."""
    if not 1 <= args.jobs <= MOST_JOBS:
        raise ConfigError(f"--jobs is {args.jobs}; expected 1 to {MOST_JOBS}")
    from hal_ros.experiments.datasets import load_experiments, load_own  # late: torch takes seconds to import
    from hal_ros.experiments.declaration import own_tables
    from hal_ros.experiments.graph import Store
    from hal_ros.experiments.queue import NOTHING_DONE
    from hal_ros.experiments.tables import Tables, print_failures

    signal.signal(signal.SIGTERM, _leave)  # so that the jobs' processes end too
    own = own_tables(args.config, args.seeds, args.episodes)
    if own is None and (args.seeds or args.episodes):
        raise ConfigError(f"--seeds and --episodes: {args.config} is no run's settings; expected one such --config")
    if own is not None and (args.dataset or args.quick or args.bags):
        raise ConfigError(f"--dataset, --quick and --bags: {args.config} declares no tables; expected none of them")
    experiments = load_own(own) if own else load_experiments(args.config, args.dataset, args.quick, args.bags)
    tables = Tables(experiments, args.only, Store(args.store))
    if args.list:
        tables.list_jobs(args.jobs)
        return 0
    outcome = NOTHING_DONE if args.report else tables.do_jobs(args.jobs)
    usual = f"runs/{own.config.name}-tables" if own else "build/tables"
    tables.write(args.results or Path(usual))
    print_failures(outcome)
    return 1 if outcome.failed else 0


def _leave(number: int, _: object) -> None:
    sys.exit(128 + number)
