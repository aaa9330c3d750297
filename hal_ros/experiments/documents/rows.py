"""Result rows as JSON, one row a line."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

from hal_ros.metrics.scores import Row


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write {system, supervision, split, output, metric, mean, std, seeds}, one row a line; not measured is null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for row in rows:
        fields = dataclasses.asdict(row)
        fields |= {key: _rounded(fields[key]) for key in ("mean", "std")}
        lines.append(json.dumps(fields))
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 4)
