"""What results are written as: rows as JSON, one row a line, and Markdown."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hal_ros.core.errors import DatasetError
from hal_ros.metrics.scores import Row
from hal_ros.outside import outputs
from hal_ros.outside.reading import MIB, Expected, read_json

ROWS = Expected(DatasetError, "result rows", 64 * MIB)
IS_DOCUMENT = outputs.has_mark("Made by `hal ")  # near the head of each


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write {system, supervision, split, output, metric, mean, std, seeds}, one row a line; not measured is null."""
    write_records(path, [dataclasses.asdict(row) for row in rows])


def write_records(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write rows that have further keys, or others."""
    lines = [json.dumps({**record, **{key: _rounded(record[key]) for key in ("mean", "std")}}) for record in records]
    outputs.replace_text(path, "[\n" + ",\n".join(lines) + "\n]\n", is_ours, "result rows")


def write_document(path: Path, text: str) -> None:
    """Write tables as Markdown, in place of older ones; ConfigError where something else lies."""
    outputs.replace_text(path, text, IS_DOCUMENT, "tables")


def is_ours(path: Path) -> bool:
    """Tell result rows of an earlier call."""
    stored = read_json(path, ROWS)
    return isinstance(stored, list) and all(
        isinstance(row, dict) and {"metric", "mean"} <= row.keys() for row in stored
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 4)
