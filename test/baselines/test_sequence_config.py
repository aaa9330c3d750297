"""The baselines' settings as they are stored."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("torch")

from hal_ros.baselines.presets import PRESETS
from hal_ros.baselines.sequence_config import ADDED, SequenceConfig, settings_of
from hal_ros.core.errors import ConfigError


@pytest.mark.parametrize("name", PRESETS)
def test_stored_settings_are_read_again_as_they_were(name: str) -> None:
    assert SequenceConfig(**settings_of(PRESETS[name])) == PRESETS[name]


def test_settings_that_came_later_are_stored_only_where_they_are_not_the_default() -> None:
    stored = settings_of(SequenceConfig())
    assert set(stored) == {field.name for field in dataclasses.fields(SequenceConfig)} - set(ADDED)
    assert settings_of(SequenceConfig("online_tas", clip_ticks=64))["clip_ticks"] == 64


def test_a_window_of_no_ticks_is_refused() -> None:
    with pytest.raises(ConfigError, match="clip_ticks is 0; expected 1 or more"):
        SequenceConfig("online_tas", clip_ticks=0)
