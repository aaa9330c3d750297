"""The settings that ingest writes are those that are read back, whatever names a robot has."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal_ros.core.streams.spec import JOINT_STATE, CameraSpec, StateSpec
from hal_ros.datasets.config import DataConfig, NamedStreams
from hal_ros.datasets.look.settings_text import settings_text
from hal_ros.train.config import load_config

CAMERAS = {
    "front": CameraSpec(("/front",), 64, (0, 1, 20, 30), 0.5),
    "on": CameraSpec(("/a", "/b/compressed"), 64, "full"),  # a word that YAML takes for a truth
}
STATES = {
    "no": StateSpec(("/x",), JOINT_STATE, ("yes", "1", "a: b", "#c", "größe", "joint " * 40), ("position",), 12.25),
    "w": StateSpec(("/ft", "/ft_2"), "a/msg/B", (), ("force.x", "data[3]")),
    "any": StateSpec(("/any",), "", (), ("data",)),
}


@pytest.mark.parametrize(
    ("cameras", "states", "clock"), [(CAMERAS, STATES, "on"), ({}, STATES, "no"), (CAMERAS, {}, "front")]
)
def test_settings_are_read_back(
    tmp_path: Path, cameras: dict[str, CameraSpec], states: dict[str, StateSpec], clock: str
) -> None:
    data = DataConfig(folder="a b: #c", cache="no", rate_hz=12.5, streams=NamedStreams(clock, cameras, states))
    path = tmp_path / "train.yaml"
    path.write_text(settings_text("my: set", data, {}), encoding="utf-8")
    config = load_config(path)
    assert (config.name, config.supervision, config.data) == ("my: set", "mixed", data)
