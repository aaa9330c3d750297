"""What ingest reads of a card is what the settings say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hal_ros.core.card import ImageSpec, JointSpec
from hal_ros.datasets.config import DataConfig, draft_card
from hal_ros.datasets.episodes import ANNOTATION, USUAL_TOPICS, episode_key

DATA = DataConfig(joints=("b", "a"), joints_max_age_s=0.2, image_size_px=64, rate_hz=5.0, lag_ticks=3, max_held_ticks=2)


def test_the_card_says_how_bags_become_ticks() -> None:
    card = draft_card(DATA, ("reach", "grasp"))
    assert (card.image, card.joints) == (ImageSpec(64), JointSpec(("b", "a"), 0.2))
    assert (card.rate_hz, card.lag_ticks, card.max_held_ticks) == (5.0, 3, 2)
    assert card.vocabulary == ("reach", "grasp")


@pytest.mark.parametrize(
    "change", [{"image_size_px": 32}, {"joints": ("a", "b")}, {"rate_hz": 10.0}, {"max_held_ticks": 3}]
)
def test_other_settings_make_other_episodes(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / ANNOTATION).touch()

    def key(data: DataConfig, *actions: str) -> str:
        return episode_key(tmp_path, draft_card(data, actions), USUAL_TOPICS)

    assert key(DATA, "reach") == key(replace(DATA, lag_ticks=0, folder="elsewhere"), "reach") != key(DATA, "grasp")
    assert key(DATA, "reach") != key(replace(DATA, **change), "reach")
