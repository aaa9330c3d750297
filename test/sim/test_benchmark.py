"""The benchmark's lists are fixed, disjoint and as large as promised."""

from __future__ import annotations

import pytest

from hal_ros.core.errors import ConfigError
from hal_ros.sim import benchmark
from hal_ros.sim.benchmark import ACTIONS, RECIPES, SPLITS, episode, episodes


def test_split_sizes() -> None:
    assert {split: len(episodes(split)) for split in SPLITS} == {
        "train": 200,
        "validation": 24,
        "test": 32,
        "unseen": 24,
    }


def test_no_seed_or_name_occurs_twice_in_any_splits() -> None:
    specs = [spec for split in SPLITS for spec in episodes(split)]
    assert len({spec.seed for spec in specs}) == len(specs)
    assert len({spec.name for spec in specs}) == len(specs)


def test_unseen_recipes_are_new_orders_and_seen_ones_all_occur_in_every_seen_split() -> None:
    recipes = {split: {spec.recipe for spec in episodes(split)} for split in SPLITS}
    assert not recipes["unseen"] & recipes["train"]
    assert recipes["train"] == recipes["validation"] == recipes["test"]
    assert len(recipes["train"]) >= 8
    assert len(recipes["unseen"]) >= 3
    assert recipes["train"] | recipes["unseen"] == set(RECIPES)
    assert len(set(RECIPES.values())) == len(RECIPES)


def test_a_list_is_the_same_every_time_and_excluded_seeds_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    before = episodes("test")
    assert before == episodes("test")
    monkeypatch.setattr(benchmark, "EXCLUDED_SEEDS", frozenset({before[3].seed}))
    after = episodes("test")
    assert len(after) == len(before)
    assert before[3] not in after


def test_vocabulary_has_no_repeats() -> None:
    assert len(set(ACTIONS)) == len(ACTIONS)
    assert 10 <= len(ACTIONS) <= 16


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="'trian'"):
        episodes("trian")
    with pytest.raises(ConfigError, match="'soup'"):
        episode("soup", 1)
    with pytest.raises(ConfigError, match="'easy'"):
        episode("serve", 1, "easy")
