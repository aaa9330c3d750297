"""The Foxglove layout names only panels that it configures, and only fields that our messages have."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from hal_ros.bags import messages
from hal_ros.bags.answer_messages import BOUNDARY_TYPE, LABEL_TYPE

LAYOUT = json.loads((Path(__file__).parents[2] / "config" / "foxglove_layout.json").read_text(encoding="utf-8"))
TYPES = {
    "/action_label": LABEL_TYPE,
    "/action_boundary": BOUNDARY_TYPE,
    "/simulation/action_truth": "hal_msgs/msg/ActionTruth",
    "/joint_states": "sensor_msgs/msg/JointState",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
    "/camera/color/image_raw": "sensor_msgs/msg/Image",
    "/wrist_camera/color/image_raw": "sensor_msgs/msg/Image",
    "/gripper/joint_states": "sensor_msgs/msg/JointState",
    "/ft_sensor/wrench": "geometry_msgs/msg/WrenchStamped",
}
PANELS = {"Image", "StateTransitions", "Plot", "RawMessages", "DiagnosticSummary"}


def leaves(layout: Any) -> list[str]:
    return [layout] if isinstance(layout, str) else [*leaves(layout["first"]), *leaves(layout["second"])]


def paths(config: dict[str, Any]) -> list[str]:
    """Return every message path that a panel's configuration holds."""
    single = [config.get("topicPath"), config.get("topicToRender"), config.get("imageMode", {}).get("imageTopic")]
    return [*filter(None, single), *(path["value"] for path in config.get("paths", []))]


def test_every_configured_panel_is_shown_once_and_every_shown_one_configured() -> None:
    assert sorted(leaves(LAYOUT["layout"])) == sorted(LAYOUT["configById"])
    assert {panel.partition("!")[0] for panel in LAYOUT["configById"]} == PANELS


@pytest.mark.parametrize("panel", LAYOUT["configById"])
def test_every_path_leads_to_a_field(panel: str) -> None:
    found = paths(LAYOUT["configById"][panel])
    assert found
    for path in found:
        topic, *steps = path.split(".")
        kind = TYPES[topic]
        for step in steps:
            found_types = {entry.name: str(entry.type) for entry in dataclasses.fields(messages.known_class(kind))}
            assert re.sub(r"\[.*\]$", "", step) in found_types
            kind = found_types[re.sub(r"\[.*\]$", "", step)].replace("__", "/")


def test_a_path_to_nowhere_would_be_seen() -> None:
    fields = {entry.name for entry in dataclasses.fields(messages.known_class(LABEL_TYPE))}
    assert "lable" not in fields
    assert paths({"paths": [{"value": "/action_label.lable"}]}) == ["/action_label.lable"]
