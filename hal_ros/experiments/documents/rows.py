"""Result rows as JSON, one row a line."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hal_ros.metrics.scores import Row


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write {system, supervision, split, output, metric, mean, std, seeds}, one row a line; not measured is null."""
    write_records(path, [dataclasses.asdict(row) for row in rows])


def write_records(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write rows that have further keys, or others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({**record, **{key: _rounded(record[key]) for key in ("mean", "std")}}) for record in records]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 4)
