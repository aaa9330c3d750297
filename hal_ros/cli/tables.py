"""`hal tables`: train and score every system of the result tables, from a queue that survives interruption."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from hal_ros.core.errors import ConfigError
from hal_ros.experiments import plan as table_plan
from hal_ros.experiments import report as table_report
from hal_ros.experiments.graph import Graph, Store
from hal_ros.experiments.plan import SECTIONS, Line, Plan
from hal_ros.experiments.queue import Outcome, duration, seconds_left
from hal_ros.experiments.queue import run as run_queue
from hal_ros.experiments.report import Results
from hal_ros.experiments.runner import Runner

if TYPE_CHECKING:
    from hal_ros.train.config import TrainConfig

TABLETOP, GESTURE_PHASE = "tabletop", "gesture_phase"
DATA_FOLDER = "HAL_ROS_DATA"
"""The environment variable that names the folder of other people's data sets."""
MOST_JOBS = 8


class Bench(NamedTuple):
    """One data set's plan, and where its data lie."""

    name: str
    plan: Plan
    places: Mapping[str, Any]
    vocabulary: tuple[str, ...]
    period_ns: int
    aims: str  # the split on which the aims are judged; "" where nothing was aimed at


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--dataset", choices=(TABLETOP, GESTURE_PHASE), help="default: both, as far as they are there")
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="parts of the tables (default: all)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, a thread each (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="say what is done and what is left, and stop")
    parser.add_argument("--report", action="store_true", help="write tables of what is done, and stop")
    parser.add_argument("--quick", action="store_true", help="the whole graph in minutes, on a few episodes")
    parser.add_argument("--config", type=Path, default=Path("config/tables.yaml"), help="default: %(default)s")
    parser.add_argument("--store", type=Path, default=Path("runs/tables"), help="jobs' results (default: %(default)s)")
    parser.add_argument("--results", type=Path, help="tables and pictures (default: docs/results; quick: build/tables)")


def run(args: argparse.Namespace) -> int:
    """Do what is left, then write the tables; the exit code is 1 when a job failed."""
    if not 1 <= args.jobs <= MOST_JOBS:
        raise ConfigError(f"--jobs is {args.jobs}; expected 1 to {MOST_JOBS}")
    signal.signal(signal.SIGTERM, _leave)  # so that the jobs' processes end too
    benches = _benches(args)
    store = Store(args.store)
    lines = [line for bench in benches for line in bench.plan.lines if line.section in args.only]
    graph = Graph(job for bench in benches for job in bench.plan.jobs).needed_for(_by_seed(lines))
    if args.list:
        _list(graph, store, args.jobs)
        return 0
    outcome = Outcome((), {}, {})
    if not args.report:
        _say_what_is_left(graph, store, args.jobs)
        places = {key: value for bench in benches for key, value in bench.places.items()}
        outcome = run_queue(graph, store, Runner(places), args.jobs, functools.partial(print, flush=True))
    folder = args.results or Path("build/tables" if args.quick else "docs/results")
    for bench in benches:
        results = Results(
            bench.name, bench.plan, Graph(bench.plan.jobs), store, bench.vocabulary, bench.period_ns, bench.aims
        )
        table_report.write(folder, results)
    return _conclude(outcome)


def _leave(number: int, _: object) -> None:
    sys.exit(128 + number)


def _by_seed(lines: Sequence[Line]) -> list[str]:
    """Return the scoring jobs section by section, all lines of one seed before the next seed."""
    found = []
    for section in SECTIONS:
        chosen = [line for line in lines if line.section == section]
        for place in range(max((len(line.scores) for line in chosen), default=0)):
            found += [line.scores[place] for line in chosen if place < len(line.scores)]
    return found


# --- what there is to do ----------------------------------------------------------------------------------------------


def _benches(args: argparse.Namespace) -> list[Bench]:
    declared = _declaration(args.config)
    quick = declared["quick"] if args.quick else None
    found = []
    if args.dataset in (None, TABLETOP):
        found.append(_tabletop(declared[TABLETOP], quick))
    if args.dataset in (None, GESTURE_PHASE):
        folder = Path(os.environ.get(DATA_FOLDER, "")) / GESTURE_PHASE
        if os.environ.get(DATA_FOLDER) and folder.is_dir():
            found.append(_gesture_phase(declared, folder, quick))
        elif args.dataset:
            raise ConfigError(
                f"{DATA_FOLDER} is {os.environ.get(DATA_FOLDER, '')!r}; expected a folder with {GESTURE_PHASE}"
            )
        else:
            print(f"{GESTURE_PHASE}: left out, {DATA_FOLDER} names no folder with it (docs/datasets.md)")
    return found


def _declaration(path: Path) -> dict[str, Any]:
    try:
        declared = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}; expected a readable YAML file") from error
    missing = {TABLETOP, GESTURE_PHASE, "quick"} - set(declared or {})
    if missing:
        raise ConfigError(f"{path}: has no {', '.join(sorted(missing))}; expected the tables' declaration")
    return dict(declared)


def _tabletop(declared: Mapping[str, Any], quick: Mapping[str, Any] | None) -> Bench:
    from hal_ros.sim.simulate import write_missing
    from hal_ros.train import stages

    settings = _run_settings(declared["run"], quick)
    config = _config(settings)
    splits = (stages.TRAINING, stages.VALIDATION, *declared["score"])
    limits = quick["limits"] if quick else {}
    write_missing(Path(config.data.folder), splits, config.data.processes, limits)
    card, encoder, materials = stages.ingest(config, splits, limits)
    by_split = dict(zip(splits, materials, strict=True))
    fold = {
        "episodes": {split: material.sha256 for split, material in by_split.items()},
        "vocabulary": list(card.vocabulary),
    }
    places = {
        "encoder": str(encoder),
        "episodes": {split: [str(folder) for folder in material.folders] for split, material in by_split.items()},
    }
    if quick:
        declared = table_plan.quickened(declared, quick)
    plan = table_plan.Builder(TABLETOP, declared, settings, {"": fold}, _presets()).build()
    return Bench(TABLETOP, plan, places, card.vocabulary, card.period_ns, declared["aims"])


def _gesture_phase(declared: Mapping[str, Any], folder: Path, quick: Mapping[str, Any] | None) -> Bench:
    from hal_ros.datasets.formats.layouts import read_dataset

    own = declared[GESTURE_PHASE]
    rate = {"data": {"rate_hz": own["rate_hz"], "lag_ticks": own["lag_ticks"], "joints": []}}
    settings = table_plan.merged(_run_settings(declared[TABLETOP]["run"], quick), rate, own.get("student", {}))
    data = {"validation": own["validation"], "rate_hz": own["rate_hz"], "bytes": _digest(folder)}
    folds = {f"split {split}": {**data, "split": split} for split in own["split_names"]}
    if quick:
        own = table_plan.quickened(own, quick)
    plan = table_plan.Builder(GESTURE_PHASE, own, settings, folds, _presets()).build()
    vocabulary = read_dataset(folder, own["split_names"][0], derive_transcripts=True).vocabulary
    return Bench(GESTURE_PHASE, plan, {"dataset": str(folder)}, vocabulary, round(1e9 / own["rate_hz"]), "")


def _presets() -> dict[str, dict[str, Any]]:
    from hal_ros.baselines.sequence_fit import PRESETS

    return {kind: dataclasses.asdict(preset) for kind, preset in PRESETS.items()}


def _digest(folder: Path) -> str:
    import hashlib

    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _run_settings(path: str, quick: Mapping[str, Any] | None) -> dict[str, Any]:
    from hal_ros.train.config import load_config

    found = dataclasses.asdict(load_config(Path(path)))
    return table_plan.merged(found, quick["run"]) if quick else found


def _config(settings: Mapping[str, Any]) -> TrainConfig:
    from hal_ros.train.config import config_from_mapping

    return config_from_mapping(dict(settings))


# --- what is said -----------------------------------------------------------------------------------------------------


def _say_what_is_left(graph: Graph, store: Store, processes: int) -> None:
    keys = {graph.keys[name]: name for name in graph.jobs}
    left = [name for name in keys.values() if not store.done(graph, name)]
    estimate = duration(seconds_left(graph, store, processes))
    print(f"{len(keys)} jobs, {len(keys) - len(left)} done, {len(left)} left (about {estimate})", flush=True)


def _list(graph: Graph, store: Store, processes: int) -> None:
    for name in graph.jobs:
        if store.done(graph, name):
            state = f"done, {duration(store.about(graph, name)['seconds'])}"
        elif pid := store.holder(graph, name):
            state = f"running, process {pid}"
        elif error := store.error(graph, name):
            state = f"failed: {error}"
        else:
            state = "to do"
        print(f"{name}: {state}")
    _say_what_is_left(graph, store, processes)


def _conclude(outcome: Outcome) -> int:
    for name, reason in outcome.failed.items():
        print(f"FAILED {name}: {reason}")
    for name, causes in outcome.blocked.items():
        print(f"not done, {name}: waits for {', '.join(causes)}")
    return 1 if outcome.failed else 0
