"""The picture of accuracy against latency."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal_ros.experiments.documents import curves
from hal_ros.metrics.predictions import CONFIRMED
from hal_ros.metrics.scores import Row


def test_the_picture_is_the_same_every_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    row = Row("s", "t", "unseen", CONFIRMED, "MoF", 80.0, 1.0, 3)
    points = [curves.Point(str(lag), dict.fromkeys((curves.LATENCY, *curves.SHOWN), row)) for lag in (0, 4)]
    for name in ("a", "b"):
        curves.draw([curves.Curve("by lag", points), curves.Curve("GRU", points[:1])], "t", tmp_path / name / "c.svg")
    assert (tmp_path / "a" / "c.svg").read_bytes() == (tmp_path / "b" / "c.svg").read_bytes()
