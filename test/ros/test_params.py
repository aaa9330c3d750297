"""Parameters come from one dataclass: declared, described, checked, documented."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

from fakes import make_card, make_streams
from hal_ros.core.errors import ConfigError
from hal_ros.ros.params import markdown_table
from hal_ros.ros.segmenter_parameters import SegmenterParameters
from hal_ros.runtime.backend import CHOICES
from ros_fakes import Rig

pytestmark = pytest.mark.ros
FIELDS = {field.name: field for field in dataclasses.fields(SegmenterParameters)}
RANGED = [name for name, field in FIELDS.items() if field.metadata["limits"]]
CHOSEN = [name for name, field in FIELDS.items() if field.metadata["choices"]]
README = Path(__file__).parents[2] / "README.md"
MARKERS = ("<!-- parameters -->", "<!-- /parameters -->")


def set_parameter(rig: Rig, name: str, value: Any) -> tuple[bool, str]:
    """As `ros2 param set` does it."""
    client = rig.robot.create_client(SetParameters, "segmenter/set_parameters")
    rig.until(client.service_is_ready)
    future = client.call_async(SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()]))
    rig.until(future.done)
    rig.robot.destroy_client(client)
    (result,) = future.result().results
    return result.successful, result.reason


def test_every_field_is_declared_and_described(rig: Rig) -> None:
    node = rig.segmenter()
    for name, field in FIELDS.items():
        assert node.has_parameter(name)
        assert node.describe_parameter(name).description == field.metadata["description"] != ""


@pytest.mark.parametrize("name", RANGED)
@pytest.mark.parametrize("side", [0, 1])
def test_a_value_out_of_range_is_refused_at_start(rig: Rig, name: str, side: int) -> None:
    limit = FIELDS[name].metadata["limits"][side]
    beyond = limit + (limit * 2 if side else -limit * 2)
    rig.segmenter(**{name: limit}).destroy_node()
    rig.nodes.pop()
    with pytest.raises(ConfigError, match=name):
        rig.bare_segmenter(**{name: beyond})


@pytest.mark.parametrize("name", CHOSEN)
def test_a_value_that_is_no_choice_is_refused_at_start(rig: Rig, name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is 'nonsense': expected one of"):
        rig.bare_segmenter(**{name: "nonsense"})


def test_a_choice_that_is_a_typo_is_refused_with_the_nearest(rig: Rig) -> None:
    with pytest.raises(ConfigError, match=r"backend is 'tensort': expected one of auto, .*; did you mean tensorrt"):
        rig.bare_segmenter(backend="tensort")


def test_a_wrong_type_is_refused_at_start(rig: Rig) -> None:
    with pytest.raises(ConfigError, match="image_timeout_s"):
        rig.bare_segmenter(image_timeout_s="soon")


def test_a_typo_is_refused_with_the_nearest_name(rig: Rig) -> None:
    with pytest.raises(ConfigError, match="'image_topik' for node /segmenter: did you mean image_topic"):
        rig.bare_segmenter(image_topik="camera")


@pytest.mark.parametrize("name", ["class_names", "rate_hz"])
def test_what_the_card_says_is_no_parameter(rig: Rig, name: str) -> None:
    with pytest.raises(ConfigError, match=r"expected one of|did you mean"):
        rig.bare_segmenter(**{name: "10"})


def test_a_set_value_is_checked_while_running(rig: Rig) -> None:
    node = rig.segmenter()
    assert set_parameter(rig, "threads", 2) == (True, "")
    assert node.get_parameter("threads").value == 2
    assert not set_parameter(rig, "threads", 0)[0]
    assert not set_parameter(rig, "backend", "magic")[0]
    assert not set_parameter(rig, "thread", 2)[0]
    assert node.get_parameter("threads").value == 2


def test_what_was_read_at_configure_can_not_be_changed_after_it(rig: Rig) -> None:
    node = rig.segmenter()
    node.trigger_configure()
    done, reason = set_parameter(rig, "image_topic", "elsewhere")
    assert not done and "clean the node up" in reason
    node.trigger_cleanup()
    assert set_parameter(rig, "image_topic", "elsewhere") == (True, "")


def test_the_backend_choices_are_those_of_the_runtime() -> None:
    assert FIELDS["backend"].metadata["choices"] == CHOICES


def test_one_stream_can_not_be_synchronised(rig: Rig) -> None:
    node = rig.segmenter(card=make_card(streams=make_streams(joints=None)), synchroniser="message_filters")
    node.trigger_configure()
    assert node.state == "unconfigured"


def test_an_absent_synchroniser_is_refused_at_configure(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "message_filters", None)
    node = rig.segmenter(synchroniser="message_filters")
    node.trigger_configure()
    rig.status("model", DiagnosticStatus.ERROR, "message_filters, a ROS 2 package that can't be imported")


def test_the_table_names_every_parameter_with_default_and_range() -> None:
    rows = markdown_table(SegmenterParameters).splitlines()
    assert len(rows) == 2 + len(FIELDS)
    for row, name in zip(rows[2:], FIELDS, strict=True):
        assert row.startswith(f"| `{name}` |") and row.count("|") == 5
    (threads,) = (row for row in rows if row.startswith("| `threads` | int | `1` |"))
    assert "(1 to 64)" in threads


def test_the_readme_shows_the_table() -> None:
    text = README.read_text(encoding="utf-8") if README.exists() else ""
    if MARKERS[0] not in text:
        pytest.skip("README.md has no parameter table yet")
    shown = text.partition(MARKERS[0])[2].partition(MARKERS[1])[0].strip()
    assert shown == markdown_table(SegmenterParameters)
