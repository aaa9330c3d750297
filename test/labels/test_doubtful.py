"""Doubt is greatest where the probabilities are spread, and nothing where they are sure."""

from __future__ import annotations

import numpy as np
import pytest

from hal_ros.labels.doubtful import doubtful_share, doubts
from hal_ros.labels.targets import Targets

HARD = np.repeat([0, 1, 2], 20)


def soft(first_width: float, second_width: float) -> np.ndarray:
    ticks = np.arange(60)
    begun = [
        np.clip((ticks - at) / max(width, 1e-9) + 0.5, 0, 1) for at, width in ((20, first_width), (40, second_width))
    ]
    return np.stack([1 - begun[0], begun[0] - begun[1], begun[1]], 1)


def test_a_boundary_spreads_as_its_probabilities_do() -> None:
    labels = Targets({"a": HARD, "b": HARD}, {}, {"a": soft(12, 6), "b": np.eye(3)[HARD]})
    wide, sure = doubts(labels, period_s=0.1)
    assert (wide.name, sure.name) == ("a", "b")
    assert [(place.tick, place.before, place.after) for place in wide.places] == [(20, 0, 1), (40, 1, 2)]
    assert [place.spread_ticks for place in wide.places] == pytest.approx([12 / 12**0.5, 6 / 12**0.5], rel=0.1)
    assert wide.wrong_ticks == pytest.approx((12 + 6) / 4, rel=0.1)
    assert sure.wrong_ticks == 0 and all(place.spread_ticks == 0 for place in sure.places)
    assert doubtful_share([wide, sure]) == pytest.approx(wide.wrong_ticks / 120)


def test_annotated_clips_are_not_in_doubt_and_shorter_ones_come_first() -> None:
    longer = np.concatenate([soft(12, 12), np.tile([[0.0, 0.0, 1.0]], (600, 1))])
    hard = np.concatenate([HARD, np.full(600, 2)])
    labels = Targets({"sure": HARD, "long": hard, "short": HARD}, {}, {"long": longer, "short": soft(12, 12)})
    assert [one.name for one in doubts(labels, period_s=0.1)] == ["short", "long"]
