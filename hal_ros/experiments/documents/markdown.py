"""Result tables over seeds: rows from the scores of single runs, and Markdown for the documents.

Rows that could not be finished stand in the table by name: a table that leaves them out would look complete.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hal_ros.metrics.scores import MOF_BG, Row, RowKey, row_over_seeds

ALL_SPLITS, MODEL = "all", "model"
"""Split and output of rows that speak of the network itself."""
PARAMETERS, MS_PER_TICK, TRAINING_S = "parameters", "ms per tick", "training s"
BOUNDARY_ERROR_MEDIAN, BOUNDARY_ERROR_P90 = "boundary error median s", "boundary error p90 s"
"""Of targets, against annotations."""
RECALL, SEGMENTS, TICKS = "recall", "segments", "ticks"
"""Of one action, whose name stands behind them: how much of it is found, in percent, and on how much that stands."""

MEASURED_TOGETHER = (
    "*ms / tick*: processor time of one tick on one thread, behind the eye, median of many steps, all systems in turns"
    " in one process; who works on a window anew at every tick pays for all of it, who sees whole recordings has a"
    " recording's time over its ticks."
)
MEASURED_APART = "*ms / tick* was measured beside each training, and not of all systems in the same way."
"""What is said of the times of ticks."""

RunScores = Mapping[str, Mapping[str, Mapping[str, float | None]]]
"""One run's scores: split -> output -> metric -> value, None where there was nothing to measure."""


def pooled(splits: Sequence[str]) -> str:
    """Return what several splits are called where they are scored as one."""
    return " + ".join(splits)


class Column(NamedTuple):
    """A metric, its heading and its digits behind the point."""

    metric: str
    heading: str
    digits: int = 1


COLUMNS = (
    Column("MoF", "MoF"),
    Column(MOF_BG, "MoF-Bg"),
    Column("Edit", "Edit"),
    Column("F1@10", "F1@10"),
    Column("F1@25", "F1@25"),
    Column("F1@50", "F1@50"),
    Column("boundary F1@0.25s", "bF1 0.25 s"),
    Column("boundary F1@0.5s", "bF1 0.5 s"),
    Column(BOUNDARY_ERROR_MEDIAN, "error median", 2),
    Column(BOUNDARY_ERROR_P90, "error p90", 2),
    Column("IoU (TASL, per class)", "IoU class"),
    Column("IoD (TASL, per class)", "IoD class"),
    Column("IoU (ISBA, per segment)", "IoU segm."),
    Column("IoD (ISBA, per segment)", "IoD segm."),
    Column("segment ratio", "segments", 2),
    Column("latency median s", "latency", 2),
    Column("latency p90 s", "p90", 2),
    Column("latency missed", "missed"),
)
MODEL_COLUMNS = (Column(PARAMETERS, "parameters", 0), Column(MS_PER_TICK, "ms / tick", 2))


@dataclass(frozen=True)
class SystemScores:
    """One system under one supervision: a line of a table for each of its outputs."""

    system: str
    supervision: str
    runs: tuple[RunScores | None, ...]  # one for each seed, None where it isn't finished

    def key(self, split: str, output: str, metric: str) -> RowKey:
        """Return what one of its rows speaks of."""
        return RowKey(self.system, self.supervision, split, output, metric)


def with_cost(run: RunScores | None, cost: Mapping[str, float] | None) -> RunScores | None:
    """Return a run's scores with what a tick costs as it was measured of all systems, if it was."""
    if run is None or cost is None:
        return run
    found = {MS_PER_TICK: cost["ms_per_tick"], PARAMETERS: float(cost["parameters"])}
    return {**run, ALL_SPLITS: {MODEL: {**run.get(ALL_SPLITS, {}).get(MODEL, {}), **found}}}


def rows_of(entry: SystemScores) -> list[Row]:
    """Return mean and standard deviation over the finished seeds of every metric; none if no seed is finished."""
    values: dict[RowKey, list[float]] = {}
    for run in (run for run in entry.runs if run is not None):
        for place, value in _measured(run):
            values.setdefault(entry.key(*place), []).append(value)
    return [row_over_seeds(key, found) for key, found in values.items()]


def _measured(run: RunScores) -> Iterator[tuple[tuple[str, str, str], float]]:
    """Yield split, output and metric of all that was measured, with its value."""
    for split, outputs in run.items():
        for output, metrics in outputs.items():
            yield from (
                ((split, output, metric), value)
                for metric, value in metrics.items()
                if value is not None and math.isfinite(value)
            )


class RowIndex:
    """Rows, found by what they speak of."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = {row.key: row for row in rows}
        self.outputs: dict[tuple[str, str, str], list[str]] = {}
        for row in rows:
            outputs = self.outputs.setdefault((row.system, row.supervision, row.split), [])
            if row.output not in outputs:
                outputs.append(row.output)

    def get(self, key: RowKey) -> Row | None:
        """Return a row, if it was measured."""
        return self._rows.get(key)


# --- Markdown ---------------------------------------------------------------------------------------------------------


def markdown(entries: Sequence[SystemScores], split: str, outputs: Sequence[str], title: str = "system") -> str:
    """Return one split's table, a line for each entry and output that it has, in the entries' order."""
    rows = RowIndex([row for entry in entries for row in rows_of(entry)])
    shown = [column for column in COLUMNS if _is_used(column, rows, entries, split, outputs)]
    columns = [title, "supervision", "output", *(c.heading for c in (*shown, *MODEL_COLUMNS)), "seeds"]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * 3 + "--:|" * (len(columns) - 3)]
    for entry in entries:
        found = [o for o in outputs if o in rows.outputs.get((entry.system, entry.supervision, split), ())]
        for output in found:
            cells = [_cell(rows.get(entry.key(split, output, c.metric)), c) for c in shown]
            cells += [_cell(rows.get(entry.key(ALL_SPLITS, MODEL, c.metric)), c) for c in MODEL_COLUMNS]
            cells.append(_seeds(entry))
            lines.append("| " + " | ".join([entry.system, entry.supervision, output, *cells]) + " |")
    return "\n".join(lines) + "\n" + _not_finished(entries)


def _not_finished(entries: Sequence[SystemScores]) -> str:
    """Name what has no finished seed below the table: many empty lines would hide what was measured."""
    missing: dict[str, list[str]] = {}
    for entry in entries:
        if not any(entry.runs):  # what has runs and no line has no answers on this split, as an alignment has none
            missing.setdefault(entry.supervision, []).append(entry.system)
    if not missing:
        return ""
    return "\nNot finished: " + "; ".join(f"{', '.join(names)} ({told})" for told, names in missing.items()) + ".\n"


def unfinished(entries: Sequence[SystemScores]) -> list[str]:
    """Return what is missing, a line for each entry that lacks a seed."""
    return [
        f"{entry.system}, {entry.supervision}: {entry.runs.count(None)} of {len(entry.runs)} seeds missing"
        for entry in entries
        if None in entry.runs
    ]


def _is_used(
    column: Column, rows: RowIndex, entries: Sequence[SystemScores], split: str, outputs: Sequence[str]
) -> bool:
    """Tell whether any line has the column: offline systems alone have no latency."""
    return any(rows.get(entry.key(split, output, column.metric)) for entry in entries for output in outputs)


def _cell(row: Row | None, column: Column) -> str:
    if row is None or row.mean is None or math.isnan(row.mean):
        return "–"
    if column.metric == PARAMETERS:
        return f"{round(row.mean):,}".replace(",", " ")
    spread = "" if row.std is None or column in MODEL_COLUMNS else f" ± {row.std:.{column.digits}f}"
    return f"{row.mean:.{column.digits}f}{spread}"


def _seeds(entry: SystemScores) -> str:
    finished = len(entry.runs) - entry.runs.count(None)
    return str(finished) if finished == len(entry.runs) else f"{finished} of {len(entry.runs)}"
