"""Robots that others modelled: one plan for each whose bags are there."""

from __future__ import annotations

from pathlib import Path

from hal_ros.core.errors import ConfigError
from hal_ros.datasets.config import TRAINING
from hal_ros.experiments.declaration import Declaration, NotHereError, make_plan, run_settings
from hal_ros.experiments.ingested import ingest
from hal_ros.experiments.plan import OTHER_ROBOTS, Experiment

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
        ingested = ingest(settings, declared["score"], quick["limits"] if quick else {})
        plan = make_plan(f"{OTHER_ROBOTS}: {robot}", declared, settings, {"": ingested.fold}, quick)
        card = ingested.card
        found.append(Experiment(plan, ingested.places, card.vocabulary, card.period_ns, table=OTHER_ROBOTS, part=robot))
    if not found:
        raise NotHereError(f"{', '.join(absent)}; expected the bags that `{MAKE}` makes")
    for line in absent:
        print(f"{OTHER_ROBOTS}: {line}: left out")
    return found
