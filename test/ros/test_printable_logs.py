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
    logger = node.get_logger()
    logger.info(f"info {EVIL}")
    logger.warning(f"warning {EVIL}")
    logger.error(f"error {EVIL}")
    node.destroy_node()
    printed = capfd.readouterr()
    for severity in ("info", "warning", "error"):
        assert f"{severity} {arrives}" in printed.out + printed.err


@pytest.mark.parametrize(("module", "name"), NODES.items())
def test_every_node_logs_that_way(module: str, name: str) -> None:
    pytest.importorskip("hal_msgs")
    if module == "robot.node":
        pytest.importorskip("mujoco")
    assert issubclass(getattr(importlib.import_module(f"hal_ros.ros.{module}"), name), PrintableLogs)
