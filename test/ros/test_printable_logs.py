"""Whatever a node logs arrives at the terminal printable, at every severity; and all nodes log that way."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest

rclpy = pytest.importorskip("rclpy")
from rclpy.context import Context  # noqa: E402
from rclpy.node import Node  # noqa: E402

from hal_ros.ros.printable_logs import PrintableLogs  # noqa: E402

pytestmark = pytest.mark.ros
EVIL, SHOWN = "\x1b]0;owned\x07\u202ebag", r"\x1b]0;owned\x07\u202ebag"
NODES = {
    "recorder": "Recorder",
    "player": "Player",
    "robot.node": "SimulatedRobotNode",
    "segmenter.node": "SegmenterNode",
}


class _Plain(Node):
    pass


class _Printable(PrintableLogs, Node):
    pass


@pytest.fixture
def context(ros_domain_id: int) -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context, domain_id=ros_domain_id)
    yield context
    context.try_shutdown()


@pytest.mark.parametrize(("kind", "arrives"), [(_Printable, SHOWN), (_Plain, EVIL)])
def test_lines_of_all_severities_are_printable(
    context: Context, capfd: pytest.CaptureFixture[str], kind: type[Node], arrives: str
) -> None:
    node = kind("logs", context=context)
    for severity in ("info", "warning", "error"):  # one line of this file, three severities: each of a line of its own
        getattr(node.get_logger(), severity)(f"{severity} {EVIL}") if kind is _Printable else None
    if kind is _Plain:
        node.get_logger().info(f"info {EVIL}")
    node.destroy_node()
    printed = capfd.readouterr()
    text = printed.out + printed.err
    assert f"info {arrives}" in text
    assert kind is _Plain or all(f"{severity} {SHOWN}" in text for severity in ("warning", "error"))


@pytest.mark.parametrize(("module", "name"), NODES.items())
def test_every_node_logs_that_way(module: str, name: str) -> None:
    pytest.importorskip("hal_msgs")
    if module == "robot.node":
        pytest.importorskip("mujoco")
    assert issubclass(getattr(importlib.import_module(f"hal_ros.ros.{module}"), name), PrintableLogs)
