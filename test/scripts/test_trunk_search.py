"""The search learns nothing from what it holds out, does no trial twice, and chooses finalists as it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import search_folds as folds
import trunk_search as search
from hal_ros.datasets.encoded_clips import EncodedClip
from search_trials import Competitor

pytestmark = pytest.mark.torch


def clips(names: list[str]) -> list[EncodedClip]:
    nothing = np.zeros((1, 0), np.float32)
    return [EncodedClip(name, (), nothing, nothing, nothing, np.zeros(1, np.int64), (0,)) for name in names]


def test_each_recipe_is_held_out_once_and_as_a_whole() -> None:
    names = [f"recipe_{recipe}-{number}" for recipe in "abcdefghijkl" for number in range(5)]
    seen: list[str] = []
    for index in range(folds.FOLDS):
        parts = folds.split_episodes(clips(names), index, by_recipe=True)
        recipes = {part: {folds.recipe_of(clip.name) for clip in found} for part, found in parts.items()}
        assert len(recipes[folds.HELD_OUT]) == 3 and not recipes[folds.HELD_OUT] & recipes["train"]
        assert not recipes[folds.HELD_OUT] & recipes["validation"]
        assert sorted(clip.name for part in parts.values() for clip in part) == sorted(names)
        assert len(parts["validation"]) == 6
        seen += recipes[folds.HELD_OUT]
    assert sorted(seen) == sorted(f"recipe_{recipe}" for recipe in "abcdefghijkl")


def test_a_fold_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "about.json").write_text("{}")

    for _ in range(2):
        assert folds.Fold("one", make).ready(tmp_path) == tmp_path / "one"
    assert made == [tmp_path / "one"]


def row(fold: str, name: str, seed: int, score: float) -> dict[str, Any]:
    scores = dict.fromkeys(search.METRICS, score)
    about = {"decoder": "duration", "parameters": 9, "training s": 1.0, "settings": Competitor(name).digest}
    return {"fold": fold, "competitor": name, "seed": seed, **scores, **about}


STUDENTS = [Competitor(name) for name in "abcde"]
FILES = ("trunk", "settings", "hierarchy")
BASELINES = [Competitor("gru", baseline="gru"), Competitor("causal_tcn", baseline="causal_tcn")]


def test_finalists_are_the_best_three_students_and_the_best_baseline_of_those_that_are_done() -> None:
    scores = {"a": 1.0, "b": 5.0, "c": 3.0, "d": 4.0, "gru": 9.0, "causal_tcn": 2.0}
    rows = [row(fold, name, 0, score) for name, score in scores.items() for fold in ("x-0", "y-0")]
    rows.append(row("x-0", "e", 0, 99.0))  # has not done the other fold
    found = search.finalists(rows, [*STUDENTS, *BASELINES], ["x-0", "y-0"])
    assert [one.name for one in found] == ["b", "d", "c", "gru"]


def test_each_data_set_counts_alike_however_many_folds_it_has() -> None:
    rows = [row("x-0", "a", 0, 10.0), *(row(f"y-{fold}", "a", 0, 40.0) for fold in range(3))]
    assert search.mean_score(rows) == 25.0


def test_the_report_pairs_what_has_the_same_fold_and_seed() -> None:
    rows = [row(f"x-{fold}", "a", 0, 50.0 + fold) for fold in range(3)]
    rows += [row("x-0", "b", 0, 40.0), row("x-2", "b", 0, 44.0)]
    table = "\n".join(search.report(rows))
    assert "| a | 3 | 51.0 | 51.0 | 51.0 | 100% | – | 9 | 1 |" in table
    assert "| b | 2 | 42.0 | 42.0 | 42.0 | 100% | -9.0 ± 1.0 | 9 | 1 |" in table


def test_every_declared_competitor_has_settings_that_a_run_takes() -> None:
    trunks, settings, hierarchy = (
        search.load_competitors(search.COMPETITORS.with_name(f"{name}_search.yaml")) for name in FILES
    )
    assert {one.name for one in trunks} >= {"band", "minGRU", "gru", "causal_tcn"}
    for found in (trunks, settings, hierarchy):
        assert len({one.digest for one in found}) == len({one.name for one in found}) == len(found)
    assert {one.digest for one in trunks if one.name == "RG-LRU, differences 1 and 4"} < {
        one.digest for one in settings
    }


def test_rows_of_other_settings_are_left_out() -> None:
    rows = [row("x-0", "a", 0, 10.0), row("x-0", "b", 0, 10.0), row("x-1", "a", 0, 20.0) | {"settings": "newer"}]
    assert search.current(rows) == rows[1:]
