"""Recipes say what can be done, in 5 to 15 phases; half of the test episodes have an order that training lacks."""

from __future__ import annotations

from itertools import groupby, pairwise

import numpy as np
import pytest

from other_robots.plans import COOKBOOKS, FEWEST, MOST, Recipe, action_of, draw_recipe, parse_counts, vocabulary

ROBOTS = pytest.mark.parametrize("robot", sorted(COOKBOOKS))


def recipes(robot: str, split: str) -> list[Recipe]:
    return [draw_recipe(robot, split, index, np.random.default_rng(index)) for index in range(100)]


def order(recipe: Recipe) -> tuple[str, ...]:
    """Return the actions in order, a repeated one once, with the names as they were drawn first."""
    actions = [action for action, _ in groupby(map(action_of, recipe.phases))]
    return tuple(actions)


@ROBOTS
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_an_episode_has_five_to_fifteen_segments_of_known_actions(robot: str, split: str) -> None:
    orders = [order(recipe) for recipe in recipes(robot, split)]
    assert all(FEWEST <= len(actions) <= MOST for actions in orders)
    assert {action for actions in orders for action in actions} <= set(vocabulary(robot))


@ROBOTS
def test_training_shows_every_action(robot: str) -> None:
    assert {action for recipe in recipes(robot, "train") for action in order(recipe)} == set(vocabulary(robot))


@ROBOTS
def test_unseen_orders_are_not_trained_on(robot: str) -> None:
    trained = {order(recipe) for recipe in recipes(robot, "train")}
    test = recipes(robot, "test")
    assert sum(recipe.unseen for recipe in test) == len(test) // 2
    assert not trained & {order(recipe) for recipe in test if recipe.unseen}
    assert not any(recipe.unseen for split in ("train", "validation") for recipe in recipes(robot, split))


def test_a_lift_follows_a_grasp_and_what_is_lifted_is_put_somewhere() -> None:
    for split in ("train", "test"):
        for recipe in recipes("panda", split):
            held = False
            for phase in recipe.phases:
                assert held == (
                    phase in ("lift", "put_down") or phase.startswith("stack") or (held and phase == "idle")
                )
                held = phase == "grasp" or (held and phase in ("lift", "idle"))


def test_an_arm_lifts_what_it_grasped() -> None:
    for recipe in recipes("aloha", "train"):
        for before, after in pairwise(recipe.phases):
            side, _, verb = after.partition("_")
            if verb in ("grasp", "lift"):
                assert before == f"{side}_{'reach' if verb == 'grasp' else 'grasp'}"


@ROBOTS
def test_a_recipe_is_drawn_by_its_seed_alone(robot: str) -> None:
    assert recipes(robot, "train") == recipes(robot, "train")
    assert len(set(recipes(robot, "train"))) > len(COOKBOOKS[robot].seen)


def test_counts_are_read() -> None:
    assert parse_counts("train:40,test:12") == {"train": 40, "test": 12}


@pytest.mark.parametrize("text", ["", "train", "train:-1", "unseen:3", "train:2;test:1"])
def test_other_counts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected train, test"):
        parse_counts(text)
