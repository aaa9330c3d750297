"""The options of the simulated tabletop robot, and the plans of its recipes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from hal_planner.options import IDLE, NOTHING, Option

DURATIONS = Path(__file__).with_name("durations.json")
"""Seconds by option, learnt from simulated episodes: mean_s and p99_s."""
EMPTY = "hand_empty"
START = frozenset({EMPTY})
"""The facts at an episode's start."""
COLOURS, RECEPTACLES = ("red", "blue"), ("plate", "tray")
HOLDS = frozenset({IDLE, "carry"})
"""What a robot that holds still with something in its hand may be taken to do."""
MARGIN = 1.25
"""Time-outs are the learnt 99th percentile, that of few episodes, times this."""


def learnt(path: Path = DURATIONS) -> Mapping[str, Mapping[str, float]]:
    """Return mean_s and p99_s of each option; raises OSError or ValueError where the file can't be read."""
    durations: Mapping[str, Mapping[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    return durations


def options(durations: Mapping[str, Mapping[str, float]]) -> Mapping[str, Option]:
    """Return the robot's options by name, each with its time-out."""
    found = [*_blocks(), *_with_empty_hand(), *_cup()]
    timed = [replace(option, timeout_s=MARGIN * durations[option.name]["p99_s"]) for option in found]
    safe = Option("safe", "safe", (), timeout_s=4.0, ends_in=HOLDS)
    return MappingProxyType({option.name: option for option in (*timed, safe)})


def plan_of(macros: Sequence[str]) -> tuple[str, ...]:
    """Return the options that do a recipe's macros, as red_to_plate, press and pour, in order, and home at the end."""
    steps: list[str] = []
    for macro in macros:
        colour, _, receptacle = macro.partition("_to_")
        if receptacle:
            steps += [f"pick_{colour}", f"place_{colour}_on_{receptacle}"]
        elif macro in ("pour", "tilt"):
            steps += ["pick_cup", "pour" if macro == "pour" else "tilt_empty", "return_cup"]
        else:
            names = {"press": "press_button", "hover": "hover_button", "open": "open_drawer", "close": "close_drawer"}
            steps.append(names[macro])
    return (*steps, "home")


def _blocks() -> list[Option]:
    found = []
    for colour in COLOURS:
        held = frozenset({f"{colour}_held"})
        places = frozenset(f"{colour}_on_{receptacle}" for receptacle in RECEPTACLES)
        pick = _option(f"pick_{colour}", "move", requires=START, adds=held, removes=START | places)
        found.append(replace(pick, failures=frozenset({"missed_grasp"}), ends_in=HOLDS))
        for receptacle in RECEPTACLES:
            put = _option(f"place_{receptacle}", "carry", requires=held, adds=START | {f"{colour}_on_{receptacle}"})
            found.append(_with_held(replace(put, name=f"place_{colour}_on_{receptacle}", removes=held), held))
    return found


def _with_empty_hand() -> list[Option]:
    names = ("press_button", "hover_button", "open_drawer", "close_drawer")
    does = [_option(name, "move", requires=START, adds=frozenset({f"{name}_done"})) for name in names]
    return [*does, replace(_option("home", "", requires=START, adds=NOTHING), actions=("move",))]


def _cup() -> list[Option]:
    held = frozenset({"cup_held"})
    tilts = (_option(name, "carry", requires=held, adds=frozenset({f"{name}_done"})) for name in ("pour", "tilt_empty"))
    back = _option("return_cup", "carry", requires=held, adds=START, removes=held)
    return [
        replace(_option("pick_cup", "move", requires=START, adds=held, removes=START), ends_in=HOLDS),
        *(replace(_with_held(tilt, held), ends_in=HOLDS) for tilt in tilts),
        _with_held(back, held),
    ]


def _option(
    name: str, before: str, requires: frozenset[str], adds: frozenset[str], removes: frozenset[str] = NOTHING
) -> Option:
    """Return the option of a skill that shows the action `before` and then the one of its own name."""
    return Option(name, name, (before, name), math.inf, requires, adds, removes)


def _with_held(option: Option, held: frozenset[str]) -> Option:
    """Return an option that moves what is held: an empty hand moves instead of carrying."""
    return replace(option, refuted_by=frozenset({"move"}), loses=held, leaves=START)
