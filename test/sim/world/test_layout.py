"""Stations never stand in each other's way, and a place does not tell what stands there."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from hal_ros.sim.benchmark import RECIPES
from hal_ros.sim.random_streams import stream
from hal_ros.sim.world import layout as table_layout

SEEDS = range(40)


def _all_places(layout: Any) -> Any:
    return dict(layout.places) | {name: block.xy for name, block in layout.blocks.items()}


@pytest.mark.parametrize("recipe", RECIPES)
def test_everything_a_recipe_needs_is_there_and_clear(recipe: Any) -> None:
    for seed in SEEDS:
        layout = table_layout.draw(RECIPES[recipe], stream(seed, "layout"))
        places = _all_places(layout)
        assert set(table_layout.stations(RECIPES[recipe])) <= set(places)
        assert bool(layout.drawer_side) == ("open" in RECIPES[recipe])
        items = list(places.values())
        for i, (xa, ya) in enumerate(items):
            assert all(max(abs(xa - xb), abs(ya - yb)) > 0.06 for xb, yb in items[:i])


def test_a_crowded_table_is_told_apart_from_a_clear_one() -> None:
    assert table_layout._apart({"plate": (0.2, 0.0), "tray": (0.33, 0.0)}, 0)
    assert not table_layout._apart({"plate": (0.2, 0.0), "tray": (0.3, 0.0)}, 0)
    assert not table_layout._apart({"plate": (0.3, 0.1)}, drawer_side=1)
    assert table_layout._apart({"plate": (0.3, 0.1)}, drawer_side=-1)


def test_red_and_blue_plate_and_tray_take_every_slot() -> None:
    slots = defaultdict(set)
    for seed in range(150):
        for name, (x, y) in _all_places(table_layout.draw(RECIPES["serve"], stream(seed, "layout"))).items():
            slots[name].add((x > 0.28, round(y / 0.12 - 0.5)))
    for name in ("red", "blue", "plate", "tray", "button"):
        assert len(slots[name]) == 8, name
