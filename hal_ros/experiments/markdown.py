"""Result tables over seeds: rows from the scores of single runs, Markdown for the documents, and what was aimed at.

Rows that could not be finished stand in the table by name: a table that leaves them out would look complete.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from hal_ros.metrics.decoded import CONFIRMED_ARGMAX
from hal_ros.metrics.predictions import CONFIRMED
from hal_ros.metrics.scores import Row, row_over_seeds

ALL_SPLITS, MODEL = "all", "model"
"""Split and output of rows that speak of the network itself."""
PARAMETERS, MS_PER_TICK, TRAINING_S = "parameters", "ms per tick", "training s"

Scores = Mapping[str, Mapping[str, Mapping[str, float | None]]]
"""One run's scores: split -> output -> metric -> value, None where there was nothing to measure."""


class Column(NamedTuple):
    """A metric, its heading and its digits behind the point."""

    metric: str
    heading: str
    digits: int = 1


COLUMNS = (
    Column("MoF", "MoF"),
    Column("Edit", "Edit"),
    Column("F1@10", "F1@10"),
    Column("F1@25", "F1@25"),
    Column("F1@50", "F1@50"),
    Column("boundary F1@0.5s", "bF1 0.5 s"),
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
class Entry:
    """One system under one supervision: a line of a table for each of its outputs."""

    system: str
    supervision: str
    runs: tuple[Scores | None, ...]  # one for each seed, None where it isn't finished


def rows_of(entry: Entry) -> list[Row]:
    """Return mean and standard deviation over the finished seeds of every metric; none if no seed is finished."""
    finished = [run for run in entry.runs if run is not None]
    values: dict[tuple[str, str, str], list[float]] = {}
    for run in finished:
        for split, outputs in run.items():
            for output, metrics in outputs.items():
                for metric, value in metrics.items():
                    if value is not None and math.isfinite(value):
                        values.setdefault((split, output, metric), []).append(value)
    return [row_over_seeds(entry.system, entry.supervision, *key, found) for key, found in values.items()]


class Table:
    """Rows, found by what they speak of."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = {(row.system, row.supervision, row.split, row.output, row.metric): row for row in rows}
        self.outputs: dict[tuple[str, str, str], list[str]] = {}
        for row in rows:
            outputs = self.outputs.setdefault((row.system, row.supervision, row.split), [])
            if row.output not in outputs:
                outputs.append(row.output)

    def get(self, system: str, supervision: str, split: str, output: str, metric: str) -> Row | None:
        """Return a row, if it was measured."""
        return self._rows.get((system, supervision, split, output, metric))


# --- Markdown ---------------------------------------------------------------------------------------------------------


def markdown(entries: Sequence[Entry], split: str, outputs: Sequence[str], title: str = "system") -> str:
    """Return one split's table, a line for each entry and output that it has, in the entries' order."""
    table = Table([row for entry in entries for row in rows_of(entry)])
    shown = [column for column in COLUMNS if _is_used(column, table, entries, split, outputs)]
    columns = [title, "supervision", "output", *(c.heading for c in (*shown, *MODEL_COLUMNS)), "seeds"]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * 3 + "--:|" * (len(columns) - 3)]
    for entry in entries:
        found = [o for o in outputs if o in table.outputs.get((entry.system, entry.supervision, split), ())]
        for output in found:
            cells = [_cell(table.get(entry.system, entry.supervision, split, output, c.metric), c) for c in shown]
            cells += [
                _cell(table.get(entry.system, entry.supervision, ALL_SPLITS, MODEL, c.metric), c) for c in MODEL_COLUMNS
            ]
            cells.append(_seeds(entry))
            lines.append("| " + " | ".join([entry.system, entry.supervision, output, *cells]) + " |")
        if not any(entry.runs):  # else it has no answers on this split, as an alignment has none
            blank = ["–"] * (len(columns) - 4)
            lines.append("| " + " | ".join([entry.system, entry.supervision, "not finished", *blank, "0"]) + " |")
    return "\n".join(lines) + "\n"


def unfinished(entries: Sequence[Entry]) -> list[str]:
    """Return what is missing, a line for each entry that lacks a seed."""
    return [
        f"{entry.system}, {entry.supervision}: {entry.runs.count(None)} of {len(entry.runs)} seeds missing"
        for entry in entries
        if None in entry.runs
    ]


def _is_used(column: Column, table: Table, entries: Sequence[Entry], split: str, outputs: Sequence[str]) -> bool:
    """Tell whether any line has the column: offline systems alone have no latency."""
    return any(
        table.get(entry.system, entry.supervision, split, output, column.metric)
        for entry in entries
        for output in outputs
    )


def _cell(row: Row | None, column: Column) -> str:
    if row is None or row.mean is None or math.isnan(row.mean):
        return "–"
    if column.metric == PARAMETERS:
        return f"{round(row.mean):,}".replace(",", " ")
    spread = "" if row.std is None or column in MODEL_COLUMNS else f" ± {row.std:.{column.digits}f}"
    return f"{row.mean:.{column.digits}f}{spread}"


def _seeds(entry: Entry) -> str:
    finished = len(entry.runs) - entry.runs.count(None)
    return str(finished) if finished == len(entry.runs) else f"{finished} of {len(entry.runs)}"


# --- what was aimed at ------------------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    """One aim, the figures that decide it, and whether it holds; None where a figure is missing."""

    aim: str
    figures: str
    holds: bool | None


MOST_MOF_LOST = 8.0
RATIO = (0.9, 1.2)
LEAST_EDIT_ERROR_REMOVED = 0.5


def verdicts(
    rows: Sequence[Row],
    system: str,
    supervision: str,
    baselines: Sequence[str],
    split: str,
    reference: str = "annotations",
) -> list[Verdict]:
    """Judge a system's confirmed answers on a split: against each baseline under the same supervision, against itself
    trained on `reference`, by its segment ratio and by what its decoder adds."""
    table = Table(rows)

    def get(of: str, metric: str, output: str = CONFIRMED, trained_on: str = supervision) -> Row | None:
        return table.get(of, trained_on, split, output, metric)

    found = []
    for baseline in baselines:
        for metric in ("Edit", "F1@50"):
            aim = f"{metric}: ahead of {baseline} by more than the larger std"
            found.append(_judge(aim, get(system, metric), get(baseline, metric), _is_ahead))
        for metric in ("latency median s", "latency p90 s"):
            aim = f"{metric}: no worse than {baseline}"
            found.append(_judge(aim, get(system, metric), get(baseline, metric), _is_not_later))
    aim = f"MoF: within {MOST_MOF_LOST:g} points of the same system trained on {reference}"
    found.append(_judge(aim, get(system, "MoF"), get(system, "MoF", trained_on=reference), _is_near))
    ratio = get(system, "segment ratio")
    found.append(_judge(f"segment ratio between {RATIO[0]} and {RATIO[1]}", ratio, ratio, _is_in_range))
    aim = "the decoder removes at least half of argmax's Edit error (100 - Edit)"
    found.append(_judge(aim, get(system, "Edit"), get(system, "Edit", CONFIRMED_ARGMAX), _removes_half))
    return found


class _Comparison(Protocol):
    def __call__(self, ours: float, other: float, larger_std: float, /) -> bool: ...


def _judge(aim: str, ours: Row | None, other: Row | None, holds: _Comparison) -> Verdict:
    figures = _figure(ours) if ours is other else f"{_figure(ours)} against {_figure(other)}"
    if ours is None or other is None or ours.mean is None or other.mean is None:
        return Verdict(aim, figures, None)
    if holds is _is_ahead and (ours.std is None or other.std is None):
        return Verdict(aim, f"{figures}, a single seed", None)
    larger = max(ours.std or 0.0, other.std or 0.0)
    return Verdict(aim, figures, holds(ours.mean, other.mean, larger))


def _is_ahead(ours: float, other: float, larger_std: float) -> bool:
    return ours - other > larger_std


def _is_not_later(ours: float, other: float, _: float) -> bool:
    return ours <= other


def _is_near(ours: float, other: float, _: float) -> bool:
    return other - ours <= MOST_MOF_LOST


def _is_in_range(ours: float, _: float, __: float) -> bool:
    return RATIO[0] <= ours <= RATIO[1]


def _removes_half(ours: float, argmax: float, _: float) -> bool:
    return (100 - ours) <= (1 - LEAST_EDIT_ERROR_REMOVED) * (100 - argmax)


def _figure(row: Row | None) -> str:
    if row is None or row.mean is None:
        return "nothing"
    return f"{row.mean:.2f}" + ("" if row.std is None else f" ± {row.std:.2f}")


def verdict_lines(found: Sequence[Verdict]) -> list[str]:
    """Return a Markdown list of verdicts."""
    words = {True: "holds", False: "does not hold", None: "not measured"}
    return [f"- {verdict.aim}: **{words[verdict.holds]}** ({verdict.figures})" for verdict in found]
