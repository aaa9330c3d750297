"""The tabletop benchmark: its actions, its recipes and the fixed list of episodes. Imports no simulator.

The lists are part of the benchmark's definition: whoever changes them, the scene or the controller changes VERSION,
which datasets know as a folder's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from hal_ros.core.errors import ConfigError
from hal_ros.datasets.folder import BENCHMARK

VERSION = BENCHMARK

ACTIONS: tuple[str, ...] = (
    "idle",  # the arm stands still, nothing held
    "move",  # free-space motion with an empty gripper, towards a place that is not decided yet
    "pick_red",  # descend over the red block, close, lift
    "pick_blue",
    "missed_grasp",  # the same motion beside a block: closes on nothing, rises, opens
    "carry",  # transport of a held object, destination not decided yet
    "place_plate",  # lower a block onto the round plate, open, rise
    "place_tray",  # the same motion above the square tray, whose floor is as high as the plate
    "open_drawer",
    "close_drawer",
    "press_button",  # lower the closed gripper, press, hold; the lamp is lit meanwhile
    "hover_button",  # the same motion, stopping short of the button: the lamp stays dark
    "pick_cup",
    "pour",  # tilt the full cup over the bowl
    "tilt_empty",  # the same tilt with an empty cup
    "return_cup",
)

JOINT_NAMES: tuple[str, ...] = (
    "joint_0",
    "joint_1",
    "joint_2",
    "joint_3",
    "joint_4",
    "joint_5",
    "left_carriage_joint",  # metres; the right finger mirrors it
)

# A recipe is a list of macros (see tasks.py). Recipes come in pairs of equal motion that differ in what is acted upon,
# so that the sequence of motions does not tell the colours or receptacles either.
_SEEN: dict[str, tuple[str, ...]] = {
    "serve": ("red_to_plate", "press", "blue_to_tray"),
    "return": ("blue_to_tray", "hover", "red_to_plate"),
    "stack_plate": ("blue_to_plate", "press", "red_to_plate"),
    "stack_tray": ("red_to_tray", "hover", "blue_to_tray"),
    "cook": ("press", "pour", "red_to_plate"),
    "wash": ("hover", "tilt", "blue_to_tray"),
    "store": ("open", "blue_to_plate", "close", "hover"),
    "restock": ("open", "red_to_tray", "close", "press"),
    "brew": ("pour", "hover", "tilt"),
    "rinse": ("tilt", "press", "tilt"),
    "inspect": ("hover", "red_to_plate", "press"),
    "recheck": ("press", "blue_to_tray", "hover"),
}
_UNSEEN: dict[str, tuple[str, ...]] = {
    "lunch": ("blue_to_plate", "pour", "press"),
    "reset": ("red_to_tray", "open", "hover", "close"),
    "night": ("open", "tilt", "close", "press", "hover"),
    "sort": ("red_to_tray", "press", "blue_to_plate"),
}
RECIPES: Mapping[str, tuple[str, ...]] = MappingProxyType({**_SEEN, **_UNSEEN})

LEVELS = ("default", "hard")

# split -> recipes, first seed, number of episodes. Recipes take turns.
_SPLITS: dict[str, tuple[tuple[str, ...], int, int]] = {
    "train": (tuple(_SEEN), 10_000, 200),
    "validation": (tuple(_SEEN), 20_000, 24),
    "test": (tuple(_SEEN), 30_000, 32),
    "unseen": (tuple(_UNSEEN), 40_000, 24),
}
SPLITS = tuple(_SPLITS)

# Episodes whose physics contradicts a label (see checks.py), left out of the lists; the next seeds take their places.
# 30029: a finger lands on the bowl's rim beside the block, and nothing is picked.
EXCLUDED_SEEDS: frozenset[int] = frozenset({30029})


class EpisodeSpec(NamedTuple):
    """All that determines an episode. The level changes only what is seen, never what the robot does."""

    name: str
    recipe: str
    seed: int
    level: str


def episode(recipe: str, seed: int, level: str = "default") -> EpisodeSpec:
    """Return the spec of any episode, in or outside the fixed lists; ConfigError for an unknown recipe or level."""
    if recipe not in RECIPES:
        raise ConfigError(f"unknown recipe {recipe!r}, expected one of {', '.join(RECIPES)}")
    if level not in LEVELS:
        raise ConfigError(f"unknown level {level!r}, expected one of {', '.join(LEVELS)}")
    return EpisodeSpec(f"{recipe}-{seed}", recipe, seed, level)


def episodes(split: str, level: str = "default") -> tuple[EpisodeSpec, ...]:
    """Return the fixed episodes of a split; ConfigError for an unknown split."""
    if split not in _SPLITS:
        raise ConfigError(f"unknown split {split!r}, expected one of {', '.join(SPLITS)}")
    recipes, seed, count = _SPLITS[split]
    specs: list[EpisodeSpec] = []
    while len(specs) < count:
        if seed not in EXCLUDED_SEEDS:
            specs.append(episode(recipes[seed % len(recipes)], seed, level))
        seed += 1
    return tuple(specs)
