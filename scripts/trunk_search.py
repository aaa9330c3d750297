"""Search for what shall read sequences, by a fixed protocol on folds of training data; it may be stopped and goes on.

    python scripts/trunk_search.py --out DIR [--jobs 2] [--data tabletop panda gesture] [--round 1] [--limit TRIALS]
                                   [--competitors scripts/settings_search.yaml]
    python scripts/trunk_search.py --out DIR --report

Round 1: every competitor learns every fold once, with seed 0. Round 2: the best three students and the best baseline
of round 1, by the mean of MoF, Edit and F1@50 over the data sets, with seeds 0 to 2. Targets are annotations, eyes are
trained once a fold; see search_folds.py for the folds and search_trials.py for one trial. DIR/rows.jsonl holds a row
for each finished trial: with the same settings it is not done again. HAL_ROS_DATA names gesture_phase's parent folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml

from hal_ros.baselines.presets import PRESETS
from hal_ros.core.errors import ConfigError
from hal_ros.train.config import TrainConfig, load_config
from search_folds import Fold, gesture_folds, robot_folds
from search_trials import Competitor, run_trial

COMPETITORS = Path(__file__).with_name("trunk_search.yaml")
ROWS = "rows.jsonl"
DATA = ("tabletop", "panda", "aloha", "gesture")
METRICS = ("MoF", "Edit", "F1@50")
BEST_STUDENTS, SEEDS = 3, (0, 1, 2)
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Trial:
    """What one process does."""

    folder: Path
    competitor: Competitor
    seed: int

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What a row is known by."""
        return self.folder.name, self.competitor.name, self.seed, self.competitor.digest


def folds_of(data: str) -> list[Fold]:
    """Return a data set's folds; ConfigError where it is not here."""
    if data == "gesture":
        folder = Path(os.environ.get("HAL_ROS_DATA", "")) / "gesture_phase"
        if not folder.is_dir():
            raise ConfigError(f"HAL_ROS_DATA/gesture_phase is {folder}; expected its folder")
        return gesture_folds(folder)
    path = Path("config/train.yaml") if data == "tabletop" else Path(f"config/robots/{data}.yaml")
    return robot_folds(data, _annotated(load_config(path)), by_recipe=data == "tabletop")


def _annotated(config: TrainConfig) -> TrainConfig:
    return dataclasses.replace(config, supervision="annotations", data=dataclasses.replace(config.data, processes=1))


def load_competitors(path: Path) -> list[Competitor]:
    """Return the declared students, then the baselines."""
    declared = yaml.safe_load(path.read_text())
    students = [_student(name, dict(settings)) for name, settings in declared["students"].items()]
    return [*students, *(Competitor(kind, baseline=kind) for kind in declared["baselines"] if kind in PRESETS)]


def _student(name: str, settings: dict[str, Any]) -> Competitor:
    clips = int(settings.pop("clips", 0))  # no setting of a run
    return Competitor(name, settings, clips=clips)


# --- rows -------------------------------------------------------------------------------------------------------------


def load_rows(out: Path) -> list[Row]:
    """Return the rows of the trials that are done."""
    path = out / ROWS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _key(row: Row) -> tuple[str, str, int, str]:
    return row["fold"], row["competitor"], row["seed"], row["settings"]


def current(rows: Sequence[Row]) -> list[Row]:
    """Return of each competitor the rows with the settings of its last one: defaults change while a search rests."""
    last = {row["competitor"]: row["settings"] for row in rows}
    return [row for row in rows if row["settings"] == last[row["competitor"]]]


def mean_score(rows: Sequence[Row]) -> float:
    """Return the mean of the metrics over the data sets, each with the mean of its folds and seeds."""
    by_data: dict[str, list[float]] = {}
    for row in rows:
        by_data.setdefault(data_of(row), []).append(statistics.mean(row[metric] for metric in METRICS))
    return statistics.mean(statistics.mean(values) for values in by_data.values())


def data_of(row: Row) -> str:
    """Return the data set of a row."""
    return str(row["fold"].partition("-")[0])


def finalists(rows: Sequence[Row], competitors: Sequence[Competitor], folds: Sequence[str]) -> list[Competitor]:
    """Return the best students and the best baseline of those that have done all folds with the first seed."""
    scores = {}
    for competitor in competitors:
        done = [row for row in rows if row["competitor"] == competitor.name and row["seed"] == SEEDS[0]]
        if {row["fold"] for row in done} >= set(folds):
            scores[competitor.name] = mean_score([row for row in done if row["fold"] in folds])
    ranked = sorted((one for one in competitors if one.name in scores), key=lambda one: -scores[one.name])
    students = [one for one in ranked if not one.baseline][:BEST_STUDENTS]
    return [*students, *[one for one in ranked if one.baseline][:1]]


def report(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the tables in Markdown, best first: means over folds and seeds, and what is lost against the best."""
    for data in sorted({data_of(row) for row in rows}):
        some = [row for row in rows if data_of(row) == data]
        yield f"\n{data}\n"
        yield "| competitor | trials | MoF | Edit | F1@50 | by duration | paired | parameters | training, CPU s |"
        yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
        names = sorted({row["competitor"] for row in some}, key=lambda name: -_score(some, name))
        for name in names:
            yield _line(name, some, names[0])


def _score(rows: Sequence[Row], name: str) -> float:
    return mean_score([row for row in rows if row["competitor"] == name])


def _line(name: str, rows: Sequence[Row], reference: str) -> str:
    own = [row for row in rows if row["competitor"] == name]
    shown = [f"{statistics.mean(row[metric] for row in own):.1f}" for metric in METRICS]
    duration = statistics.mean(row["decoder"] == "duration" for row in own)
    cost = [f"{own[0]['parameters']}", f"{statistics.mean(row['training s'] for row in own):.0f}"]
    cells = [name, str(len(own)), *shown, f"{duration:.0%}", _paired(own, rows, reference), *cost]
    return f"| {' | '.join(cells)} |"


def _paired(own: Sequence[Row], rows: Sequence[Row], reference: str) -> str:
    """Return the mean difference of the score from the reference's at the same folds and seeds, ± its error."""
    others = {(row["fold"], row["seed"]): row for row in rows if row["competitor"] == reference}
    pairs = [(row, others[row["fold"], row["seed"]]) for row in own if (row["fold"], row["seed"]) in others]
    found = [statistics.mean(a[metric] - b[metric] for metric in METRICS) for a, b in pairs]
    if not found or own[0]["competitor"] == reference:
        return "–"
    error = f" ± {statistics.stdev(found) / math.sqrt(len(found)):.1f}" if len(found) > 1 else ""
    return f"{statistics.mean(found):+.1f}{error}"


# --- the search -------------------------------------------------------------------------------------------------------


def search(arguments: argparse.Namespace) -> None:
    """Do what is left of the rounds, of each at most as many trials as the limit says."""
    out, limit = arguments.out, arguments.limit
    folders = [fold.ready(out / "folds") for name in arguments.data for fold in _told(folds_of(name))]
    competitors = load_competitors(arguments.competitors)
    for number in arguments.round:
        rows = current(load_rows(out))
        chosen = competitors if number == 1 else finalists(rows, competitors, [folder.name for folder in folders])
        seeds = SEEDS[:1] if number == 1 else SEEDS
        done = {_key(row) for row in rows}
        trials = [Trial(folder, one, seed) for seed in seeds for folder in folders for one in chosen]
        left = [trial for trial in trials if trial.key not in done][:limit]
        print(f"round {number}: {len(left)} trials to do, {len(trials) - len(left)} done or left for later", flush=True)
        _run(out / ROWS, left, arguments.jobs)


def _told(folds: Sequence[Fold]) -> Iterator[Fold]:
    for fold in folds:
        print(f"fold {fold.name}", flush=True)
        yield fold


def _run(path: Path, trials: Sequence[Trial], jobs: int) -> None:
    started = time.monotonic()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(run_trial, trial.folder, trial.competitor, trial.seed): trial for trial in trials}
        for count, future in enumerate(as_completed(running), 1):
            fold, name, seed, _ = running[future].key
            if failure := future.exception():
                print(f"{count}/{len(trials)} {fold}, {name}, seed {seed}: failed, {failure!r}", flush=True)
                continue
            row = future.result()
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            shown = ", ".join(f"{metric} {row[metric]:.1f}" for metric in METRICS)
            spent = (time.monotonic() - started) / 60
            print(f"{count}/{len(trials)} {fold}, {name}, seed {seed}: {shown} | {spent:.0f} min", flush=True)


SEEN = "gesture: its three users are the test users of its own tables, so that no choice is to be made there for these"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of folds and rows")
    parser.add_argument("--data", nargs="+", choices=DATA, default=["tabletop"], help=SEEN)
    parser.add_argument("--round", type=int, nargs="+", choices=(1, 2), default=[1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="processes, one thread each")
    parser.add_argument("--limit", type=int, help="trials at most, for a first look")
    parser.add_argument("--competitors", type=Path, default=COMPETITORS, help="who takes part")
    parser.add_argument("--report", action="store_true", help="print the table of what is done, and do nothing")
    arguments = parser.parse_args()
    if not arguments.report:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        search(arguments)
    print("\n".join(report(current(load_rows(arguments.out)))))


if __name__ == "__main__":
    main()
