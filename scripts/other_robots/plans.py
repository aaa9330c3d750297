"""Recipes: the ordered phases of an episode in words. Some orders are kept for the test split, never trained on.

A phase with a question mark is done in half of the episodes. In the recipes of ALOHA `one` and `other` are the two
arms, in those of the Panda `one` and `other` are the two cubes; which is which is drawn for each episode.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

SPLITS = ("train", "test", "validation")  # their places decide about seeds
FEWEST, MOST = 5, 15
"""Phases of an episode."""


class Recipe(NamedTuple):
    """The phases of one episode, in order, and whether training has that order."""

    phases: tuple[str, ...]
    unseen: bool


class Cookbook(NamedTuple):
    """The orders of phases that training and test share, those that only test has, and the names drawn for them."""

    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    names: tuple[str, str]


ALOHA = Cookbook(
    seen=(
        "wait one_reach one_grasp one_lift handover other_place retreat? wait",
        "one_reach one_grasp one_lift one_place retreat other_reach other_grasp other_lift other_place retreat",
        "wait? one_reach one_grasp one_lift handover other_place one_reach one_grasp one_lift one_place retreat",
        "push wait one_reach one_grasp one_lift handover other_place retreat",
        "one_reach one_grasp one_lift one_place push retreat wait?",
        "wait? push one_reach one_grasp one_lift one_place wait other_reach other_grasp other_lift handover one_place",
        "one_reach one_grasp one_lift handover other_place wait? one_reach one_grasp one_lift handover other_place",
        "push retreat wait one_reach one_grasp one_lift one_place retreat",
    ),
    unseen=(
        "one_reach one_grasp one_lift handover other_place push wait push retreat",
        "wait one_reach one_grasp one_lift wait one_place retreat push wait",
        "push retreat push one_reach one_grasp one_lift handover wait other_place retreat",
        "retreat wait one_reach retreat wait other_reach other_grasp other_lift handover one_place",
        "one_reach one_grasp one_lift handover wait handover one_place push",
    ),
    names=("left", "right"),
)

PANDA = Cookbook(
    seen=(
        "idle? approach_one grasp lift stack_on_other approach_one press retreat idle?",
        "approach_one miss approach_one grasp lift stack_on_other retreat approach_one grasp lift put_down retreat?",
        "idle approach_one grasp lift put_down approach_other push retreat idle",
        "approach_one push approach_other grasp lift put_down retreat idle?",
        "approach_one press retreat approach_other grasp lift stack_on_one approach_other press retreat",
        "idle? approach_other press approach_one grasp lift put_down retreat idle",
        "approach_one miss approach_one grasp lift put_down retreat? approach_other push approach_other press retreat",
        "approach_one grasp lift stack_on_other retreat idle approach_one grasp lift put_down approach_other push",
        "idle approach_one push retreat approach_one miss approach_one grasp lift stack_on_other retreat",
    ),
    unseen=(
        "approach_one miss retreat idle approach_other grasp lift put_down approach_other push",
        "approach_one push approach_one press approach_other miss approach_other grasp lift stack_on_one",
        "retreat approach_one grasp lift idle put_down approach_one press idle",
        "approach_one press push approach_other press push retreat idle",
        "approach_one approach_other approach_one grasp lift stack_on_other approach_one grasp lift put_down press",
    ),
    names=("red", "green"),
)

COOKBOOKS: Mapping[str, Cookbook] = {"aloha": ALOHA, "panda": PANDA}


def parse_counts(text: str) -> dict[str, int]:
    """Return the episodes of each split from 'train:40,test:12'; ValueError for anything else."""
    counts = {}
    for part in text.split(","):
        split, _, count = part.partition(":")
        if split not in SPLITS or not count.isdecimal():
            raise ValueError(f"'{part}' in '{text}': expected {', '.join(SPLITS)}, a colon and a number")
        counts[split] = int(count)
    return counts


def draw_recipe(robot: str, split: str, index: int, random: np.random.Generator) -> Recipe:
    """Return the phases of episode `index`: every second one of the test split has an order that training lacks."""
    book = COOKBOOKS[robot]
    unseen = split == "test" and index % 2 == 1
    recipes = book.unseen if unseen else book.seen
    text = recipes[(index // 2 if split == "test" else index) % len(recipes)]
    one, other = book.names if random.random() < 0.5 else book.names[::-1]
    kept = [phase.rstrip("?") for phase in text.split() if not phase.endswith("?") or random.random() < 0.5]
    named = [phase.replace("other", other).replace("one", one) for phase in kept]
    return Recipe(tuple(named), unseen)


def action_of(phase: str) -> str:
    """Return the label of a phase: where a cube is stacked on is for the script alone."""
    return "stack" if phase.startswith("stack_on_") else phase


def vocabulary(robot: str) -> tuple[str, ...]:
    """Return all labels of a robot, sorted."""
    book = COOKBOOKS[robot]
    phases = {phase.rstrip("?") for text in (*book.seen, *book.unseen) for phase in text.split()}
    for word, names in (("other", book.names), ("one", book.names)):
        phases = {named for phase in phases for named in _with_names(phase, word, names)}
    return tuple(sorted({action_of(phase) for phase in phases}))


def _with_names(phase: str, word: str, names: tuple[str, str]) -> tuple[str, ...]:
    return tuple(phase.replace(word, name) for name in names)
