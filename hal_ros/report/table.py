"""Result rows as a table in the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from hal_ros.metrics.scores import MOF_BG, Row

SHOWN = {
    "MoF": "MoF %",
    MOF_BG: "MoF-Bg %",
    "Edit": "Edit %",
    "F1@10": "F1@10 %",
    "F1@25": "F1@25 %",
    "F1@50": "F1@50 %",
    "boundary F1@0.25s": "boundary F1 0.25 s %",
    "boundary F1@0.5s": "boundary F1 0.5 s %",
    "boundary F1@1s": "boundary F1 1 s %",
    "segment ratio": "segments per true one",
    "latency median s": "latency median s",
    "latency p90 s": "latency p90 s",
    "latency missed": "segments missed %",
    "latency early": "announced early %",
}
"""The metrics that the terminal shows, and what it calls them; the JSON rows hold all metrics."""

SOMETIMES = {MOF_BG}
"""A line of these stands only where they were measured."""
RATIOS = {"segment ratio", "latency median s", "latency p90 s"}


def results_table(split: str, rows: Sequence[Row]) -> Table:
    """Return one split's table: a line for each metric of SHOWN, a column for each system's output."""
    columns: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        if row.split == split and row.metric in SHOWN:
            columns.setdefault((row.system, row.output), {})[row.metric] = row
    table = Table(title=split, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("")
    for system, output in columns:
        table.add_column(f"{system}\n{output}", justify="right")
    for metric, name in SHOWN.items():
        if metric in SOMETIMES and not any(metric in by_metric for by_metric in columns.values()):
            continue
        table.add_row(name, *(_cell(by_metric.get(metric)) for by_metric in columns.values()))
    return table


def _cell(row: Row | None) -> str:
    if row is None or row.mean is None or math.isnan(row.mean):
        return "–"
    digits = 2 if row.metric in RATIOS else 1
    std = f"±{row.std:.{digits}f}" if row.std is not None else ""
    return f"{row.mean:.{digits}f}{std}"
