"""What a start decides of a training's settings, and what must be the same, each refusal in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from hal_ros.core.errors import ConfigError
from hal_ros.nn.hal import CausalHal, HalConfig
from hal_ros.nn.joint_guided_attention import Eye, EyeConfig
from hal_ros.train.config import TrainConfig, config_from_mapping, config_from_saved, to_mapping
from hal_ros.train.encoders import grid_of
from hal_ros.train.stages import draft_card
from hal_ros.train.warm_start.settings import begun
from hal_ros.train.warm_start.start import Start

pytestmark = pytest.mark.torch

JOINTS = ["a", "b"]
WIDTHS = {"width": 16, "lookback": [3, 5]}


def settings(*actions: str, **data: Any) -> TrainConfig:
    given = {"joints": JOINTS, "actions": list(actions), **data}
    return config_from_mapping({"data": {key: value for key, value in given.items() if value is not None}})


def start(config: TrainConfig) -> Start:
    """Untrained networks of another shape than settings have by default."""
    known = len(config.data.actions)
    eye = Eye(EyeConfig(known, 6, grid_of(config.data), width=16, gazes=2))
    model = CausalHal(HalConfig(known, 6, attended=16, width=16, heads=2, lookback=(3, 5)))
    return Start(Path("runs/old"), draft_card(config), (eye,), model, "0" * 64)


@pytest.fixture(scope="module")
def old() -> Start:
    return start(settings("wipe", "grasp"))


def test_old_actions_keep_their_ids_and_shapes_are_the_starts(old: Start) -> None:
    config = settings("pour", "grasp", "aim")  # one of the old actions is not shown, and two are new
    made = begun(config, old)
    assert made.data.actions == ("wipe", "grasp", "pour", "aim")
    assert (made.model.width, made.model.heads, made.model.lookback) == (16, 2, (3, 5))
    assert (made.eye.width, made.eye.gazes) == (16, 2)
    assert config_from_saved(to_mapping(made)) == made, "a checkpoint holds all of it"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"rate_hz": 20}, "data.rate_hz is 20.0; expected 10.0, as of --from runs/old"),
        ({"lag_ticks": 2}, "data.lag_ticks is 2; expected 4, as of --from runs/old"),
        ({"joints": ["a", "c"]}, "joints: names is a, c; expected a, b, as of --from runs/old"),
        ({"image_size_px": 96}, "camera: size_px is 96; expected 128, as of --from runs/old"),
        ({"encoder_stage": 3}, "encoder's map .* is .*; expected .*, as of --from runs/old"),
        (
            {"joints": None, "image_size_px": None, "streams": {"cameras": {"wrist": {}}, "states": {}}},
            "cameras is wrist; expected camera, as of --from runs/old",
        ),
    ],
)
def test_what_the_networks_can_not_take_is_refused(old: Start, data: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=f"^{line}$"):
        begun(settings("pour", "grasp", **data), old)


def test_without_a_new_action_there_is_nothing_to_begin(old: Start) -> None:
    with pytest.raises(ConfigError, match=r"^--from runs/old: knows all of grasp, wipe; expected an action that it"):
        begun(settings("grasp", "wipe"), old)


def test_other_topics_are_no_difference(old: Start) -> None:
    begun(settings("pour", camera_topic="/elsewhere", cache="other"), old)


def test_feature_vectors_have_no_start(old: Start) -> None:
    config = settings("pour")
    with pytest.raises(ConfigError, match="is for episodes"):
        begun(replace(config, data=replace(config.data, layout="mstcn")), old)
