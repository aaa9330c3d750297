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
from hal_ros.metrics.scores import ALL_SCORED, Row, RowKey, Unscored, row_over_seeds

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
class ScoredFolds:
    """One system's answers to the test clips of some folds, and how they are scored."""

    key: RowKey  # of its rows; output and metric do not matter
    folds: Sequence[FoldAnswers]
    vocabulary: Sequence[str]
    period_ns: int
    unscored: Unscored = ALL_SCORED


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


def fold_rows(scored: ScoredFolds) -> list[FoldRow]:
    """Return the rows of each fold; of several ones their mean ± standard deviation too, and those of all clips pooled.

    A metric that a fold has nothing to measure for is left out of the mean. Raises DatasetError for folds of several
    seeds.
    """
    folds = scored.folds
    if len({one.seed for one in folds}) > 1:
        raise DatasetError(f"folds of seeds {sorted({one.seed for one in folds})}; expected those of one seed")
    single = [_rows(scored, one) for one in folds]
    found = [FoldRow(one.fold, 1, one.seed, row) for one, rows in zip(folds, single, strict=True) for row in rows]
    if len(folds) < 2:
        return found
    seed = folds[0].seed
    found += [FoldRow(MEAN, len(folds), seed, row) for row in _means(single)]
    return [*found, *(FoldRow(POOLED, len(folds), seed, row) for row in _rows(scored, pooled_folds(folds)))]


def pooled_folds(folds: Sequence[FoldAnswers]) -> FoldAnswers:
    """Return the test clips of all folds as those of one."""
    clips = [clip for one in folds for clip in one.clips]
    return FoldAnswers(POOLED, folds[0].seed, clips, [outputs for one in folds for outputs in one.outputs])


def _rows(scored: ScoredFolds, fold: FoldAnswers) -> list[Row]:
    key = scored.key
    return [
        Row(key.system, key.supervision, key.split, output, metric, value, None, 1)
        for output, metrics in score_clips(fold.clips, fold.outputs, scored.period_ns, scored.unscored).items()
        for metric, value in metrics.items()
    ]


def _means(folds: Sequence[Sequence[Row]]) -> Iterator[Row]:
    values: dict[RowKey, list[float]] = {}
    for row in (row for rows in folds for row in rows):
        if row.mean is not None:
            values.setdefault(row.key, []).append(row.mean)
    for key, measured in values.items():
        yield dataclasses.replace(row_over_seeds(key, measured), seeds=1)
