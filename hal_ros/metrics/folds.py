"""Scores of the folds of a cross-validation: each by itself, their mean, and all their test clips pooled."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hal_ros.core.errors import DatasetError
from hal_ros.metrics.answer_files import ClipAnswers
from hal_ros.metrics.decoded import score_clips
from hal_ros.metrics.predictions import OutputStream
from hal_ros.metrics.scores import NO_BACKGROUND, Background, Row, RowKey, row_over_seeds

MEAN, POOLED = "mean of folds", "pooled"
"""What stands as the fold in rows over all of them: mean and standard deviation, and the clips of all as one split."""


@dataclass(frozen=True)
class FoldAnswers:
    """What one system said of one fold's test clips."""

    fold: str
    seed: int
    clips: Sequence[ClipAnswers]
    outputs: Sequence[Mapping[str, OutputStream]]  # of each clip


@dataclass(frozen=True)
class FoldRow:
    """A row of a result table, and of which folds it speaks."""

    fold: str  # its name, or MEAN, or POOLED
    folds: int  # how many of them
    seed: int
    row: Row  # of MEAN: std is over the folds

    def record(self) -> dict[str, Any]:
        """Return what is written of it: {fold, folds, seed, system, supervision, split, output, metric, mean, …}."""
        return {"fold": self.fold, "folds": self.folds, "seed": self.seed, **dataclasses.asdict(self.row)}


def fold_rows(
    key: RowKey, folds: Sequence[FoldAnswers], period_ns: int, background: Background = NO_BACKGROUND
) -> list[FoldRow]:
    """Return the rows of each fold; of several ones their mean ± standard deviation too, and those of all clips pooled.

    Output and metric of `key` do not matter. A metric that a fold has nothing to measure for is left out of the mean.
    Raises DatasetError for folds of several seeds.
    """
    if len({one.seed for one in folds}) > 1:
        raise DatasetError(f"folds of seeds {sorted({one.seed for one in folds})}; expected those of one seed")
    single = [_scored(key, one, period_ns, background) for one in folds]
    found = [FoldRow(one.fold, 1, one.seed, row) for one, rows in zip(folds, single, strict=True) for row in rows]
    if len(folds) < 2:
        return found
    seed = folds[0].seed
    found += [FoldRow(MEAN, len(folds), seed, row) for row in _means(single)]
    clips, outputs = ([item for one in folds for item in getattr(one, part)] for part in ("clips", "outputs"))
    together = FoldAnswers(POOLED, seed, clips, outputs)
    return [*found, *(FoldRow(POOLED, len(folds), seed, row) for row in _scored(key, together, period_ns, background))]


def _scored(key: RowKey, fold: FoldAnswers, period_ns: int, background: Background) -> list[Row]:
    return [
        Row(key.system, key.supervision, key.split, output, metric, value, None, 1)
        for output, metrics in score_clips(fold.clips, fold.outputs, period_ns, background).items()
        for metric, value in metrics.items()
    ]


def _means(folds: Sequence[Sequence[Row]]) -> Iterator[Row]:
    values: dict[RowKey, list[float]] = {}
    for row in (row for rows in folds for row in rows):
        if row.mean is not None:
            values.setdefault(row.key, []).append(row.mean)
    for key, measured in values.items():
        yield dataclasses.replace(row_over_seeds(key, measured), seeds=1)
