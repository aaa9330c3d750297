"""What ingest reads of a card is what the settings say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hal_ros.bags.inputs import AS_IN_THE_CARD
from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.spec import CameraSpec, StateSpec
from hal_ros.datasets.config import DataConfig, NamedStreams, asked_topics, check_streams, draft_card, streams_of
from hal_ros.datasets.episodes import ANNOTATION, episode_key

DATA = DataConfig(joints=("b", "a"), joints_max_age_s=0.2, image_size_px=64, rate_hz=5.0, lag_ticks=3, max_held_ticks=2)


def test_the_card_says_how_bags_become_ticks() -> None:
    card = draft_card(DATA, ("reach", "grasp"))
    assert card.streams.cameras == {"camera": CameraSpec(size_px=64)}
    assert card.streams.states == {"joints": StateSpec(names=("b", "a"), max_age_s=0.2)}
    assert (card.rate_hz, card.lag_ticks, card.max_held_ticks) == (5.0, 3, 2)
    assert card.vocabulary == ("reach", "grasp")


@pytest.mark.parametrize(
    "change", [{"image_size_px": 32}, {"joints": ("a", "b")}, {"rate_hz": 10.0}, {"max_held_ticks": 3}]
)
def test_other_settings_make_other_episodes(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / ANNOTATION).touch()

    def key(data: DataConfig, *actions: str) -> str:
        return episode_key(tmp_path, draft_card(data, actions), AS_IN_THE_CARD, tmp_path / "notes")

    assert key(DATA, "reach") == key(replace(DATA, lag_ticks=0, folder="elsewhere"), "reach") != key(DATA, "grasp")
    assert key(DATA, "reach") != key(replace(DATA, **change), "reach")


FRONT, GRIPPER = CameraSpec(("/front",), crop=(1, 2, 3, 4)), StateSpec(("/gripper",), names=("finger",))
NAMED = DataConfig(streams=NamedStreams("", {"front": FRONT}, {"gripper": GRIPPER}), rate_hz=5.0)


def test_named_streams_are_taken_as_they_are() -> None:
    spec = streams_of(NAMED)
    assert (spec.clock, spec.cameras, spec.states) == ("front", {"front": FRONT}, {"gripper": GRIPPER})
    assert (spec.rate_hz, spec.max_held_ticks) == (5.0, 5)
    assert asked_topics(NAMED) == {}
    only_states = replace(NAMED, streams=replace(NAMED.streams, cameras={}))
    assert (streams_of(only_states).clock, draft_card(only_states).encoder) == ("gripper", None)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            {"streams": replace(NAMED.streams, clock="wrist")},
            "data.streams.clock is 'wrist'; expected one of front, gr",
        ),
        ({"streams": NamedStreams("front")}, "data.streams.clock is 'front'; expected cameras or states beside it"),
        ({"rate_hz": 0.0}, "data.rate_hz is 0.0; expected"),
        ({"joints": ("a",)}, "data.joints is .* beside data.streams; expected names of a state there"),
        ({"camera_topic": "/x"}, "data.camera_topic is '/x' beside data.streams; expected topic of a camera"),
        ({"streams": NamedStreams("", {"a": CameraSpec(crop="left")})}, "data.streams.cameras.a.crop is 'left'"),
        ({"streams": NamedStreams("", {"a b": FRONT})}, "data.streams: stream 'a b' is no name"),
    ],
)
def test_streams_that_can_not_be_are_refused(data: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        check_streams(replace(NAMED, **data))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (DataConfig(image_size_px=0), "data.image_size_px is 0; expected 1 to 4096"),
        (DataConfig(joints=("a", "a")), "data.joints has 'a' 2 times; expected each once"),
        (DataConfig(joints=("a", "")), "data.joints has an empty entry; expected names"),
        (DataConfig(joints=("a",), joints_max_age_s=-1.0), "data.joints_max_age_s is -1.0; expected 0 to 3600"),
        (DataConfig(max_held_ticks=-1), "data.max_held_ticks is -1; expected 0 to 10000"),
    ],
)
def test_one_camera_and_its_joints_that_can_not_be_are_refused(data: DataConfig, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        check_streams(data)
