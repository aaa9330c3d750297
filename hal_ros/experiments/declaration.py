"""What config/tables.yaml declares, and how the part on one data set becomes a plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hal_ros.baselines.presets import PRESETS
from hal_ros.baselines.sequence_config import settings_of
from hal_ros.core.errors import ConfigError
from hal_ros.experiments.plan import DATASETS, Builder, TablePlan, merged, quickened
from hal_ros.train.config import load_config

QUICK = "quick"


class NotHereError(ConfigError):
    """A data set of other people, or of another robot, is not on this machine: an error only if it was asked for."""


Declaration = Mapping[str, Any]
"""What config/tables.yaml says, or its part on one data set."""


def load_declaration(path: Path) -> Declaration:
    """Read config/tables.yaml. Raises ConfigError for a file that can't be read or lacks a part."""
    try:
        declared = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}; expected a readable YAML file") from error
    missing = {*DATASETS, QUICK} - set(declared or {})
    if missing:
        raise ConfigError(f"{path}: has no {', '.join(sorted(missing))}; expected the tables' declaration")
    return dict(declared)


def run_settings(path: str, quick: Declaration | None) -> dict[str, Any]:
    """Return a training run's settings as nested mappings, with those of the short form over them."""
    found = dataclasses.asdict(load_config(Path(path)))
    return merged(found, quick["run"]) if quick else found


def make_plan(
    dataset: str,
    declared: Declaration,
    settings: Mapping[str, Any],
    folds: Mapping[str, Mapping[str, Any]],
    quick: Declaration | None,
) -> TablePlan:
    """Return the jobs and lines of one data set; see `plan.Builder`."""
    presets = {kind: settings_of(preset) for kind, preset in PRESETS.items()}
    return Builder(dataset, quickened(declared, quick) if quick else declared, settings, folds, presets).build()
