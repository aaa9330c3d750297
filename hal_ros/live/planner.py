"""The example's planner as a process of the demo: it drives the simulated robot by what the segmenter says."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

import hal_ros
from hal_ros.core.errors import ConfigError
from hal_ros.live.processes import Child, Processes
from hal_ros.sim.benchmark import RECIPES

EXAMPLE = Path(hal_ros.__file__).parents[1] / "examples" / "planner"
"""Where it lies in a checkout."""
PACKAGE = "hal_planner"


def check_planner(recipe: str) -> None:
    """Raise ConfigError for a recipe that there is not, or where the example is neither installed nor beside us."""
    if not recipe:
        return
    if recipe not in RECIPES:
        raise ConfigError(f"--planner is {recipe!r}; expected one of {', '.join(RECIPES)}")
    if importlib.util.find_spec(PACKAGE) is None and not (EXAMPLE / PACKAGE).is_dir():
        raise ConfigError(f"the package {PACKAGE} is not here; expected {EXAMPLE}, or `pip install` of that folder")


def driven_parameters(recipe: str) -> dict[str, bool | str]:
    """Return the simulated robot's parameters with which it obeys a planner; {} without a recipe."""
    return {"driven": True, "recipe": recipe} if recipe else {}


def start_planner(processes: Processes, recipe: str) -> Child:
    """Start the planner with a recipe's plan. Raises HalError where it can't be started."""
    path = os.pathsep.join(filter(None, [str(EXAMPLE), os.environ.get("PYTHONPATH", "")]))
    macros = f"macros:={json.dumps(list(RECIPES[recipe]))}"
    command = [sys.executable, "-m", f"{PACKAGE}.node", "--ros-args", "-p", macros, "-p", "repeat:=true"]
    return processes.start("planner", command, {**os.environ, "PYTHONPATH": path})
