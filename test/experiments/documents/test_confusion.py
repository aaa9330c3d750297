"""Who is taken for whom, as a picture and in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

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


def test_the_picture_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    draw(COUNTS, ACTIONS, "student", tmp_path / "new" / "confusion.svg")
    assert "student, % of each row" in (tmp_path / "new" / "confusion.svg").read_text()
