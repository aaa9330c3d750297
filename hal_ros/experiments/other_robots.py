"""Robots that others modelled: one plan for each whose bags are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hal_ros.core.errors import ConfigError
from hal_ros.datasets.config import TRAINING
from hal_ros.experiments.blocks import that_fit
from hal_ros.experiments.declaration import Declaration, NotHereError, make_plan, of_curve, run_settings
from hal_ros.experiments.ingested import ingest, parts_of
from hal_ros.experiments.plan import OTHER_ROBOTS, Experiment
from hal_ros.train.config import config_from_mapping

MAKE = "python scripts/other_robots/make_bags.py"


def other_robot_experiments(declared: Declaration, quick: Declaration | None, bags: Path | None) -> list[Experiment]:
    """Return an experiment for each robot with bags in `bags`/<robot>, or else in the folder of its own settings.

    The others are named and left out. Raises NotHereError where there are bags of none, ConfigError for a robot with
    bags of which some split is missing.
    """
    found, absent = [], []
    for robot, one in declared["robots"].items():
        settings = run_settings(one["run"], quick)
        folder = bags / robot if bags else Path(settings["data"]["folder"])
        settings["data"]["folder"] = str(folder)
        if not folder.is_dir():
            absent.append(f"no bags of {robot} in {folder}")
            continue
        if lacking := [split for split in (TRAINING, *declared["score"]) if not (folder / split).is_dir()]:
            raise ConfigError(f"{folder}: has no {lacking[0]}; expected the bags that `{MAKE} {robot}` makes")
        found += _experiments(robot, settings, declared, quick)
    if not found:
        raise NotHereError(f"{', '.join(absent)}; expected the bags that `{MAKE}` makes")
    for line in absent:
        print(f"{OTHER_ROBOTS}: {line}: left out")
    return found


def _experiments(
    robot: str, settings: dict[str, Any], declared: Declaration, quick: Declaration | None
) -> list[Experiment]:
    """Return an experiment on all of a robot's episodes, and one for each point of the learning curve."""
    name, found = f"{OTHER_ROBOTS}: {robot}", []
    whole = ingest(settings, declared["score"], quick["limits"] if quick else {})
    data = config_from_mapping(dict(settings)).data
    fitting = that_fit(declared, len(whole.places["episodes"][TRAINING]), name)
    for part, episodes in parts_of(whole, data, declared, name):
        own, title = (fitting, name) if part is whole else (of_curve(declared), f"{name}, {episodes} episodes")
        plan = make_plan(title, own, settings, {"": part.fold}, quick)
        places, card = part.places, part.card
        found.append(Experiment(plan, places, card.vocabulary, card.period_ns, "", OTHER_ROBOTS, robot, episodes))
    return found
