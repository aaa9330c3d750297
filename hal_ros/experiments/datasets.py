"""The data sets that the tables know, each as experiments: as config/tables.yaml declares it, on the data here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from hal_ros.datasets.config import TRAINING, VALIDATION
from hal_ros.datasets.formats.layouts import read_dataset
from hal_ros.experiments.declaration import (
    QUICK,
    Declaration,
    NotHereError,
    load_declaration,
    make_plan,
    run_settings,
)
from hal_ros.experiments.ingested import ingest, write_benchmark
from hal_ros.experiments.other_robots import other_robot_experiments
from hal_ros.experiments.plan import (
    DATASETS,
    GESTURE_PHASE,
    OTHER_ROBOTS,
    STREAMS,
    TABLETOP,
    Experiment,
    merged,
)
from hal_ros.experiments.stream_sets import stream_experiments
from hal_ros.train.config import config_from_mapping

DATA_FOLDER = "HAL_ROS_DATA"
"""The environment variable that names the folder of other people's data sets."""


def load_experiments(path: Path, dataset: str | None, quick: bool, bags: Path | None = None) -> list[Experiment]:
    """Return the experiments on one data set, or on each that is here; `quick` is the short form of the declaration.

    `bags` is where the other robots' bags lie, if not where their settings say. Raises ConfigError for an unusable
    declaration, and where the data set that was asked for is not here.
    """
    declared = load_declaration(path)
    shortened = declared[QUICK] if quick else None
    makers: dict[str, Callable[[], list[Experiment]]] = {  # streams first: their bags may be written anew for them
        STREAMS: lambda: stream_experiments(declared[STREAMS], shortened),
        TABLETOP: lambda: [_tabletop(declared[TABLETOP], shortened)],
        GESTURE_PHASE: lambda: [_gesture_phase(declared, shortened)],
        OTHER_ROBOTS: lambda: other_robot_experiments(declared[OTHER_ROBOTS], shortened, bags),
    }
    if dataset:
        return makers[dataset]()
    found = {name: _if_here(name, make) for name, make in makers.items()}
    return [one for name in DATASETS for one in found[name]]


def _if_here(name: str, make: Callable[[], list[Experiment]]) -> list[Experiment]:
    try:
        return make()
    except NotHereError as error:
        print(f"{name}: left out, {error}")
        return []


# --- the tabletop benchmark: bags with pictures and joints ------------------------------------------------------------


def _tabletop(declared: Declaration, quick: Declaration | None) -> Experiment:
    settings = run_settings(declared["run"], quick)
    limits = quick["limits"] if quick else {}
    splits = (TRAINING, VALIDATION, *declared["score"])
    write_benchmark(config_from_mapping(dict(settings)).data, splits, limits)
    found = ingest(settings, declared["score"], limits)
    plan = make_plan(TABLETOP, declared, settings, {"": found.fold}, quick)
    return Experiment(plan, found.places, found.card.vocabulary, found.card.period_ns, declared["aims"])


# --- gesture phases: feature vectors of other people's recordings -----------------------------------------------------


def _gesture_phase(declared: Declaration, quick: Declaration | None) -> Experiment:
    folder = Path(os.environ.get(DATA_FOLDER, "")) / GESTURE_PHASE
    if not (os.environ.get(DATA_FOLDER) and folder.is_dir()):
        raise NotHereError(
            f"{DATA_FOLDER} is {os.environ.get(DATA_FOLDER, '')!r}; expected a folder with {GESTURE_PHASE}"
            " (docs/datasets.md)"
        )
    own = declared[GESTURE_PHASE]
    rate = {"data": {"rate_hz": own["rate_hz"], "lag_ticks": own["lag_ticks"], "joints": []}}
    settings = merged(run_settings(declared[TABLETOP]["run"], quick), rate, own.get("student", {}))
    data = {"validation": own["validation"], "rate_hz": own["rate_hz"], "bytes": _sha256(folder)}
    folds = {f"split {split}": {**data, "split": split} for split in own["split_names"]}
    plan = make_plan(GESTURE_PHASE, own, settings, folds, quick)
    vocabulary = read_dataset(folder, own["split_names"][0], derive_transcripts=True).vocabulary
    return Experiment(plan, {"dataset": str(folder)}, vocabulary, round(1e9 / own["rate_hz"]))


def _sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
