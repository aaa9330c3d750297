"""What is written and printed of one system on the folds of a feature folder: rows, tables, who is taken for whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from hal_ros.experiments.documents import confusion
from hal_ros.experiments.documents.rows import write_records
from hal_ros.experiments.files import SCORES
from hal_ros.metrics.folds import MEAN, POOLED, FoldRow, ScoredFolds, fold_rows, pooled_folds
from hal_ros.metrics.predictions import CONFIRMED
from hal_ros.metrics.scores import Row
from hal_ros.outside.console import PrintableConsole
from hal_ros.report.table import results_table

TABLE_WIDTH = 100
PICTURE = "confusion.svg"
SHOWN = ("MoF", "Edit", "F1@50")
"""Of each of several folds in one line; the tables have more, the rows have all."""


class WrittenScores(NamedTuple):
    """What is to be printed: tables first."""

    tables: list[Table]
    lines: list[str]

    def show(self) -> None:
        """Print all of it."""
        console = PrintableConsole(width=TABLE_WIDTH)
        for table in self.tables:
            console.print(table)
        for line in self.lines:
            print(line)


def write(path: Path, scored: ScoredFolds) -> WrittenScores:
    """Write the rows as JSON to `path` and the confusion table as a picture beside it; return what a person reads."""
    rows = fold_rows(scored)
    write_records(path, [row.record() for row in rows])
    together = pooled_folds(scored.folds)
    counts = confusion.confusions(together.clips, together.outputs, CONFIRMED, len(scored.vocabulary))
    picture = path.with_name(PICTURE if path.name == SCORES else f"{path.stem}-{PICTURE}")
    confusion.draw(counts, scored.vocabulary, f"{scored.key.system}, {scored.key.split}, {CONFIRMED}", picture)
    lines = [*confusion.worst_lines(counts, scored.vocabulary), f"rows: {path}   who is taken for whom: {picture}"]
    return WrittenScores(list(_tables(scored, rows)), [*_each_fold(rows), *lines])


def scores_file(folder: Path) -> Path:
    """Return where a run keeps its rows."""
    return folder / SCORES


def _tables(scored: ScoredFolds, rows: Sequence[FoldRow]) -> list[Table]:
    split, count = scored.key.split, len(scored.folds)
    titles = {MEAN: f"{split}, {MEAN} ± std ({count})", POOLED: f"{split}, {count} folds {POOLED}"}
    if count == 1:
        fold = scored.folds[0].fold
        titles = {fold: f"{split}, fold {fold}"}
    return [results_table(title, _of_fold(rows, fold, title)) for fold, title in titles.items()]


def _of_fold(rows: Sequence[FoldRow], fold: str, title: str) -> list[Row]:
    """Return a fold's rows under the title of their table, which shows those of its own split alone."""
    return [dataclasses.replace(one.row, split=title) for one in rows if one.fold == fold]


def _each_fold(rows: Sequence[FoldRow]) -> list[str]:
    folds = [fold for fold in dict.fromkeys(one.fold for one in rows) if fold not in (MEAN, POOLED)]
    if len(folds) < 2:
        return []
    values = {(one.fold, one.row.metric): one.row.mean for one in rows if one.row.output == CONFIRMED}
    return [f"fold {fold}: {', '.join(f'{name} {_shown(values[fold, name])}' for name in SHOWN)}" for fold in folds]


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
