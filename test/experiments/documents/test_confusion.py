"""Who is taken for whom, as a picture and in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hal_ros.experiments.documents.confusion import draw, worst_lines

COUNTS = np.array([[8, 2, 0, 0], [0, 0, 0, 0], [1, 0, 5, 4]])
ACTIONS = ("reach", "pour", "wipe")


def test_the_worst_pairs_are_told_by_name() -> None:
    assert worst_lines(COUNTS, ACTIONS) == [
        "wipe taken for nothing: 4 ticks, 40.0 % of its own",
        "reach taken for pour: 2 ticks, 20.0 % of its own",
        "wipe taken for reach: 1 ticks, 10.0 % of its own",
    ]
    assert worst_lines(np.diag([1, 2, 3, 0])[:3], ACTIONS) == ["no tick was confused"]


@pytest.mark.parametrize("ending", [".svg", ".png"])
def test_the_picture_has_what_happened_and_what_was_said(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"confusion{ending}"
    draw(COUNTS, ACTIONS, "student", path)
    assert path.stat().st_size > 1000
    if ending == ".svg":
        text = path.read_text()
        assert all(part in text for part in ("reach (10)", "wipe (10)", "no answer", "pour"))
        assert "pour (0)" not in text, "an action that never happened has no row"
