"""What the segmenter logs of its diagnostics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy")

from hal_ros.ros.segmenter import diagnostics
from hal_ros.ros.segmenter.reporter import REPEAT_LOG_S, Reporter


def logged(*statuses: tuple[float, bytes, str]) -> list[str]:
    """Return the lines that statuses of one stream make; each comes with its second."""
    lines: list[str] = []
    logger = SimpleNamespace(info=lines.append, warning=lines.append)
    node: Any = SimpleNamespace(create_publisher=lambda *_: None, get_logger=lambda: logger)
    reporter = Reporter(node)
    for second, level, message in statuses:
        reporter._log_change(round(second * 1e9), "segmenter: arm", level, message)
    return lines


def test_another_cause_is_logged_though_the_level_stays() -> None:
    nobody, names = "nobody publishes there", "joint states name a, b; the model expects c"
    found = logged((0, diagnostics.WARN, nobody), (1, diagnostics.WARN, names), (REPEAT_LOG_S, diagnostics.WARN, names))
    assert found == [f"arm: {nobody}", f"arm: {names}"]


def test_numbers_and_what_is_left_are_no_cause() -> None:
    found = logged(
        (0, diagnostics.WARN, "no message for 2.3 s; running on front alone"),
        (20, diagnostics.WARN, "no message for 22.3 s; running on wrist alone"),
        (40, diagnostics.OK, "10.0 messages per second"),
        (60, diagnostics.OK, "11.0 messages per second"),
    )
    assert found == ["arm: no message for 2.3 s; running on front alone", "arm: 10.0 messages per second"]
