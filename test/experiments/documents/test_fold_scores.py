"""What is written of one system's folds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from clip_answers import LAG, PERIOD_NS, TRUTH, clip
from hal_ros.core.card import DecoderSpec
from hal_ros.experiments.documents.fold_scores import scores_file, write
from hal_ros.metrics.decoded import streams
from hal_ros.metrics.folds import FoldAnswers, ScoredFolds
from hal_ros.metrics.predictions import CONFIRMED
from hal_ros.metrics.scores import RowKey

WRONG = clip(about=np.where(TRUTH == 1, 2, TRUTH))


def scored(*folds: str) -> ScoredFolds:
    outputs = [streams(WRONG, {CONFIRMED: DecoderSpec("argmax")}, LAG, PERIOD_NS)]
    said = [FoldAnswers(fold, 3, [WRONG], outputs) for fold in folds]
    return ScoredFolds(RowKey("mine", "annotations", "test", "", ""), said, ("reach", "pour", "wipe"), PERIOD_NS)


def test_rows_a_table_a_picture_and_the_worst_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = scores_file(tmp_path)
    write(path, scored("1")).show()
    rows = json.loads(path.read_text())
    assert {(row["fold"], row["folds"], row["seed"], row["split"], row["seeds"]) for row in rows} == {
        ("1", 1, 3, "test", 1)
    }
    assert (tmp_path / "confusion.svg").exists()
    printed = capsys.readouterr().out
    assert "test, fold 1" in printed and "pour taken for wipe" in printed and f"rows: {path}" in printed


def test_several_folds_have_a_mean_a_pooled_table_and_a_line_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "other-test.json", scored("without anna", "without bert")).show()
    printed = capsys.readouterr().out
    for part in ("mean of folds ± std (2)", "2 folds pooled", "fold without anna: MoF ", "fold without bert: MoF "):
        assert part in printed, part
    assert (tmp_path / "other-test-confusion.svg").exists()
