"""The benchmark's rows of one process that need no bundle's weights."""

from __future__ import annotations

from dataclasses import replace

from fakes import make_card

from hal_ros.core.types import DecoderSpec, Priors
from hal_ros.evaluate import bench_model

THIRDS = (1 / 3,) * 3
HALVES = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))


def test_following_a_plan_is_timed_with_the_bundles_own_actions() -> None:
    bare = make_card()
    card = replace(bare, decoder=DecoderSpec("duration", priors=Priors(THIRDS, HALVES, (20.0,) * 3, (4.0,) * 3)))
    for each in (bare, card):
        row = bench_model._plan_row(each, repeats=3)
        assert row.name == "following a known plan, median per tick"
        assert isinstance(row.value, float) and row.value > 0 and row.unit == "ms"
        assert row.note == "3 actions, a plan of 3 steps"
