"""The data sets that the tables know, each as experiments: as config/tables.yaml declares it, on the data here."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import ConfigError, DatasetError
from hal_ros.core.streams.columns import joints_of
from hal_ros.datasets.config import EPISODES, TRAINING, VALIDATION
from hal_ros.datasets.formats.folds import TEST, fold_names, fold_title, groups_file, read_fold
from hal_ros.datasets.formats.layouts import read_dataset
from hal_ros.experiments.declaration import (
    QUICK,
    Declaration,
    NotHereError,
    OwnTables,
    load_declaration,
    make_plan,
    of_curve,
    run_settings,
)
from hal_ros.experiments.ingested import annotated_alone, first_episodes, ingest, parts_of, write_benchmark
from hal_ros.experiments.other_robots import other_robot_experiments
from hal_ros.experiments.plan import (
    DATASETS,
    GESTURE_PHASE,
    OTHER_ROBOTS,
    OWN,
    STREAMS,
    TABLETOP,
    Experiment,
    merged,
)
from hal_ros.experiments.stream_sets import stream_experiments
from hal_ros.train.config import config_from_mapping

FEATURE_SETTINGS = (*("layout", "split", "stride", "orientation", "validation", "background", "group_by", "rate_hz"),)
"""Settings of `data` that say what is read of a folder of features."""
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
        TABLETOP: lambda: _tabletop(declared[TABLETOP], shortened),
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


def _tabletop(declared: Declaration, quick: Declaration | None) -> list[Experiment]:
    settings = run_settings(declared["run"], quick)
    limits = quick["limits"] if quick else {}
    splits = (TRAINING, VALIDATION, *declared["score"])
    data = config_from_mapping(dict(settings)).data
    write_benchmark(data, splits, limits)
    whole = ingest(settings, declared["score"], limits)
    found = []
    for part, episodes in parts_of(whole, data, declared, TABLETOP):
        name = TABLETOP if part is whole else f"{TABLETOP}: {episodes} episodes"
        plan = make_plan(name, declared if part is whole else of_curve(declared), settings, {"": part.fold}, quick)
        card, aims = part.card, declared["aims"] if part is whole else ""
        found.append(Experiment(plan, part.places, card.vocabulary, card.period_ns, aims, TABLETOP, "", episodes))
    return found


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


# --- one's own data ---------------------------------------------------------------------------------------------------


def load_own(own: OwnTables) -> list[Experiment]:
    """Return an experiment on all of one's own data, and one on each number of episodes of the learning curve.

    Raises ConfigError or DatasetError for data that can't be learned or scored.
    """
    if own.config.data.layout == EPISODES:
        found = _own_bags(own)
    else:
        found = [_own_features(own, episodes) for episodes in (*own.episodes, None)]
    return list({one.part: one for one in found}.values())  # as many as there are is all of them


def _own_features(own: OwnTables, episodes: int | None) -> Experiment:
    data, supervision = own.config.data, own.config.supervision
    folds: dict[str, dict[str, Any]] = {}
    groups, count = groups_file(data), 0
    bytes_ = _sha256(Path(data.folder)) + (hashlib.sha256(groups.read_bytes()).hexdigest() if groups else "")
    for name in fold_names(data):
        one = dataclasses.replace(data, split=name)
        fold = read_fold(one, supervision, episodes)
        count = max(count, len(fold.training) + len(fold.validation))
        if not any((clip.actions != NO_ACTION).any() for clip in fold.test):
            raise DatasetError(f"{data.folder}: split {name!r} has no annotated test clip; expected some to be scored")
        settings = {key: value for key, value in dataclasses.asdict(one).items() if key in FEATURE_SETTINGS}
        known = {"supervision": supervision, "episodes": episodes, "bytes": bytes_}
        folds[f"split {fold_title(name)}"] = {"data": settings, **known}
        if episodes is None:
            print(*fold.notes, sep="\n")
    declared = own.declared((TEST,), rule=False) | {"split_names": list(folds), "reader": "features"}
    declared["unscored"] = [fold.dataset.background, fold.dataset.unscored]
    places = {"dataset": data.folder, "groups": str(groups or "")}
    return _own_experiment(own, episodes or count, Prepared(declared, folds, places, fold.dataset.vocabulary))


def _own_bags(own: OwnTables) -> list[Experiment]:
    data = own.config.data
    scored = [split for split in ("test", "unseen") if (Path(data.folder) / split).is_dir()]
    if not scored:
        raise ConfigError(f"{data.folder}: has neither test nor unseen; expected annotated episodes to be scored")
    settings = dataclasses.asdict(own.config)
    whole = annotated_alone(ingest(settings, scored, {}), data, scored)
    scored = [split for split in scored if split in whole.places["episodes"]]
    declared = own.declared(scored, rule=bool(joints_of(whole.card.streams).names))
    experiments = []
    for found in (*(first_episodes(whole, data, episodes) for episodes in own.episodes), whole):
        count = sum(len(found.places["episodes"][split]) for split in (TRAINING, VALIDATION))
        prepared = Prepared(declared, {"": found.fold}, found.places, found.card.vocabulary)
        experiments.append(_own_experiment(own, count, prepared))
    return experiments


class Prepared(NamedTuple):
    """One's own data, ready for a plan."""

    declared: Declaration
    folds: Mapping[str, Mapping[str, Any]]
    places: Mapping[str, Any]
    vocabulary: tuple[str, ...]


def _own_experiment(own: OwnTables, episodes: int, data: Prepared) -> Experiment:
    config = own.config
    name = f"{config.name}: {episodes} episodes"
    plan = make_plan(name, data.declared, dataclasses.asdict(config), data.folds, None)
    period_ns = round(1e9 / config.data.rate_hz)
    return Experiment(plan, data.places, data.vocabulary, period_ns, table=OWN, part=str(episodes), episodes=episodes)


def _sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
