"""Rows over folds: each fold, their mean, all clips pooled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clip_answers import LAG, PERIOD_NS, TRUTH, clip
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.card import DecoderSpec
from hal_ros.core.errors import DatasetError
from hal_ros.metrics.decoded import streams
from hal_ros.metrics.folds import MEAN, POOLED, FoldAnswers, FoldRow, ScoredFolds, fold_rows
from hal_ros.metrics.predictions import CONFIRMED
from hal_ros.metrics.scores import RowKey

KEY = RowKey("ours", "annotations", "test", "", "")
RIGHT, HALF = clip(), clip(about=np.where(np.arange(len(TRUTH)) % 2, TRUTH, (TRUTH + 1) % 3))


def fold(name: str, *clips: object, seed: int = 0) -> FoldAnswers:
    outputs = [streams(one, {CONFIRMED: DecoderSpec("argmax")}, LAG, PERIOD_NS) for one in clips]  # type: ignore[arg-type]
    return FoldAnswers(name, seed, clips, outputs)  # type: ignore[arg-type]


def mof(rows: list[FoldRow]) -> dict[str, float | None]:
    return {one.fold: one.row.mean for one in rows if (one.row.output, one.row.metric) == (CONFIRMED, "MoF")}


def test_one_fold_is_its_own_table() -> None:
    rows = fold_rows(ScoredFolds(KEY, [fold("1", RIGHT)], "abc", PERIOD_NS))
    assert mof(rows) == {"1": 100}
    assert {(one.folds, one.seed, one.row.seeds, one.row.std) for one in rows} == {(1, 0, 1, None)}


def test_the_mean_is_over_folds_and_pooling_is_over_their_clips() -> None:
    rows = fold_rows(ScoredFolds(KEY, [fold("1", RIGHT, RIGHT), fold("2", HALF, seed=0)], "abc", PERIOD_NS))
    found = mof(rows)
    low = found["2"]
    assert low is not None and low < 60
    assert found[MEAN] == pytest.approx((100 + low) / 2)
    assert found[POOLED] == pytest.approx((2 * 100 + low) / 3)
    records = [one.record() for one in rows if (one.fold, one.row.metric) == (MEAN, "MoF")]
    record = next(record for record in records if record["output"] == CONFIRMED)
    assert list(record)[:4] == ["fold", "folds", "seed", "system"]
    assert record["folds"] == 2 and record["std"] == pytest.approx(np.std([100, low], ddof=1))


def test_what_one_fold_can_not_measure_is_left_out_of_the_mean() -> None:
    quiet = replace(RIGHT, truth=np.full(len(TRUTH), NO_ACTION))
    found = mof(fold_rows(ScoredFolds(KEY, [fold("1", RIGHT), fold("2", quiet)], "abc", PERIOD_NS)))
    assert (found["2"], found[MEAN]) == (None, 100)


def test_folds_of_two_seeds_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"folds of seeds \[0, 1\]"):
        fold_rows(ScoredFolds(KEY, [fold("1", RIGHT), fold("2", RIGHT, seed=1)], "abc", PERIOD_NS))
