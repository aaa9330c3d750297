"""Result rows in their file."""

from __future__ import annotations

import json
import math
from pathlib import Path

from hal_ros.experiments.documents.rows import write_records, write_rows
from hal_ros.metrics.predictions import CONFIRMED
from hal_ros.metrics.scores import Row


def test_rows_hold_the_agreed_keys_and_what_was_not_measured_is_null(tmp_path: Path) -> None:
    table = [
        Row("ours", "annotations", "test", CONFIRMED, "MoF", 81.23456, 1.5, 3),
        Row("ours", "annotations", "test", CONFIRMED, "NLL", math.inf, None, 1),
    ]
    path = tmp_path / "results" / "tabletop.json"
    write_rows(path, table)
    raw = json.loads(path.read_text())
    assert list(raw[0]) == ["system", "supervision", "split", "output", "metric", "mean", "std", "seeds"]
    assert [row["mean"] for row in raw] == [81.2346, None]
    assert [Row(**row).seeds for row in raw] == [3, 1]
    assert len(path.read_text().splitlines()) == 2 + len(table)


def test_records_keep_their_further_keys(tmp_path: Path) -> None:
    write_records(tmp_path / "more.json", [{"dataset": "arm", "mean": 1 / 3, "std": None, "seeds": 1}])
    assert json.loads((tmp_path / "more.json").read_text()) == [
        {"dataset": "arm", "mean": 0.3333, "std": None, "seeds": 1}
    ]
