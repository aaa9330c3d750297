"""The data sets that the tables know, each as an experiment: as config/tables.yaml declares it, on the data here."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hal_ros.baselines.sequence_fit import PRESETS
from hal_ros.core.errors import ConfigError
from hal_ros.datasets.config import TRAINING, VALIDATION
from hal_ros.datasets.formats.layouts import read_dataset
from hal_ros.experiments.plan import GESTURE_PHASE, TABLETOP, Builder, Experiment, TablePlan, merged, quickened
from hal_ros.sim.simulate import write_missing
from hal_ros.train import stages
from hal_ros.train.config import config_from_mapping, load_config

QUICK = "quick"
DATA_FOLDER = "HAL_ROS_DATA"
"""The environment variable that names the folder of other people's data sets."""

Declaration = Mapping[str, Any]
"""What config/tables.yaml says, or its part on one data set."""


def load_experiments(path: Path, dataset: str | None, quick: bool) -> list[Experiment]:
    """Return the experiment on one data set, or on each that is here; `quick` is the short form of the declaration.

    Raises ConfigError for an unusable declaration, and where the data set that was asked for is not here.
    """
    declared = load_declaration(path)
    shortened = declared[QUICK] if quick else None
    found = []
    if dataset in (None, TABLETOP):
        found.append(_tabletop(declared[TABLETOP], shortened))
    if dataset in (None, GESTURE_PHASE):
        folder = Path(os.environ.get(DATA_FOLDER, "")) / GESTURE_PHASE
        if os.environ.get(DATA_FOLDER) and folder.is_dir():
            found.append(_gesture_phase(declared, folder, shortened))
        elif dataset:
            raise ConfigError(
                f"{DATA_FOLDER} is {os.environ.get(DATA_FOLDER, '')!r}; expected a folder with {GESTURE_PHASE}"
            )
        else:
            print(f"{GESTURE_PHASE}: left out, {DATA_FOLDER} names no folder with it (docs/datasets.md)")
    return found


def load_declaration(path: Path) -> Declaration:
    """Read config/tables.yaml. Raises ConfigError for a file that can't be read or lacks a part."""
    try:
        declared = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}; expected a readable YAML file") from error
    missing = {TABLETOP, GESTURE_PHASE, QUICK} - set(declared or {})
    if missing:
        raise ConfigError(f"{path}: has no {', '.join(sorted(missing))}; expected the tables' declaration")
    return dict(declared)


# --- the tabletop benchmark: bags with pictures and joints ------------------------------------------------------------


def _tabletop(declared: Declaration, quick: Declaration | None) -> Experiment:
    settings = _run_settings(declared["run"], quick)
    config = config_from_mapping(dict(settings))
    splits = (TRAINING, VALIDATION, *declared["score"])
    limits = quick["limits"] if quick else {}
    write_missing(Path(config.data.folder), splits, config.data.processes, limits)
    card, encoder, prepared = stages.ingest(config, splits, limits)
    by_split = dict(zip(splits, prepared, strict=True))
    fold = {
        "episodes": {split: split_data.sha256 for split, split_data in by_split.items()},
        "vocabulary": list(card.vocabulary),
    }
    places = {
        "encoder": str(encoder or ""),  # "" without cameras
        "episodes": {split: [str(folder) for folder in split_data.folders] for split, split_data in by_split.items()},
    }
    plan = _plan(TABLETOP, declared, settings, {"": fold}, quick)
    return Experiment(plan, places, card.vocabulary, card.period_ns, declared["aims"])


# --- gesture phases: feature vectors of other people's recordings -----------------------------------------------------


def _gesture_phase(declared: Declaration, folder: Path, quick: Declaration | None) -> Experiment:
    own = declared[GESTURE_PHASE]
    rate = {"data": {"rate_hz": own["rate_hz"], "lag_ticks": own["lag_ticks"], "joints": []}}
    settings = merged(_run_settings(declared[TABLETOP]["run"], quick), rate, own.get("student", {}))
    data = {"validation": own["validation"], "rate_hz": own["rate_hz"], "bytes": _sha256(folder)}
    folds = {f"split {split}": {**data, "split": split} for split in own["split_names"]}
    plan = _plan(GESTURE_PHASE, own, settings, folds, quick)
    vocabulary = read_dataset(folder, own["split_names"][0], derive_transcripts=True).vocabulary
    return Experiment(plan, {"dataset": str(folder)}, vocabulary, round(1e9 / own["rate_hz"]))


def _sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


# --- both -------------------------------------------------------------------------------------------------------------


def _run_settings(path: str, quick: Declaration | None) -> dict[str, Any]:
    found = dataclasses.asdict(load_config(Path(path)))
    return merged(found, quick["run"]) if quick else found


def _plan(
    dataset: str,
    declared: Declaration,
    settings: Mapping[str, Any],
    folds: Mapping[str, Mapping[str, Any]],
    quick: Declaration | None,
) -> TablePlan:
    presets = {kind: dataclasses.asdict(preset) for kind, preset in PRESETS.items()}
    return Builder(dataset, quickened(declared, quick) if quick else declared, settings, folds, presets).build()
