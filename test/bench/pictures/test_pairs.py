"""Both nodes get their pictures in turns, in one steady time."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from hal_ros.bench.pictures.latency import BARE, REAL
from hal_ros.bench.pictures.pairs import JOINTS_HZ, schedule


def test_pictures_take_turns_at_equal_distances() -> None:
    found = schedule(3, 10)
    pictures = [one for one in found if one.whose]
    assert [one.whose for one in pictures] == [BARE, REAL] * 30
    assert set(np.diff([one.due_ns for one in pictures])) == {50_000_000}
    assert [one.due_ns for one in found] == sorted(one.due_ns for one in found)
    assert sum(not one.whose for one in found) == 3 * JOINTS_HZ
