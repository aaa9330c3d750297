"""Scoring from stored answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hal_ros.core.answers import NO_ACTION
from hal_ros.experiments.files import ALIGNED_TARGETS, SCORES
from hal_ros.experiments.graph import Job, Task
from hal_ros.experiments.jobs import scoring
from hal_ros.experiments.jobs.scoring import load_fitted
from hal_ros.metrics import answer_files
from stored_answers import SETTINGS, score, write_answers


def test_scoring_chooses_decoders_on_validation_and_scores_every_output(tmp_path: Path) -> None:
    write_answers(tmp_path / "a", 2.0, 0)
    score({"answers0": tmp_path / "a"}, tmp_path)
    found = json.loads((tmp_path / SCORES).read_text())
    outputs = {"provisional", "confirmed", "confirmed, hysteresis", "confirmed, argmax", "confirmed, commit 0.5"}
    assert set(found["unseen"]) == outputs
    assert found["unseen"]["confirmed"]["Edit"] > found["unseen"]["confirmed, argmax"]["Edit"]
    assert found["all"]["model"]["parameters"] == 10
    (fitted,) = load_fitted(tmp_path)
    assert fitted.specs["confirmed"].kind == "duration" and fitted.specs["confirmed"].priors is not None


def test_folds_are_scored_as_one_split(tmp_path: Path) -> None:
    for name, sure in (("a", 9.0), ("b", 0.0)):
        write_answers(tmp_path / name, sure, 1)
        (tmp_path / f"score-{name}").mkdir()
        score({"answers0": tmp_path / name}, tmp_path / f"score-{name}")
    score({"answers0": tmp_path / "a", "answers1": tmp_path / "b"}, tmp_path)
    good, bad, both = (
        json.loads((tmp_path / place / SCORES).read_text())["test"]["provisional"]["MoF"]
        for place in ("score-a", "score-b", "")
    )
    assert bad < both < good


def test_actions_are_scored_by_themselves_over_several_splits_where_that_is_asked_for(tmp_path: Path) -> None:
    write_answers(tmp_path / "a", 9.0, 0)
    recall = {"actions": {"pick": 1, "dance": 7}, "splits": ["test", "unseen"]}
    job = Job("score", "score", {**SETTINGS, "recall": recall})
    scoring.score(Task(job, {"answers0": tmp_path / "a"}, tmp_path), {})
    found = json.loads((tmp_path / SCORES).read_text())
    clips = [clip for split in ("test", "unseen") for clip in answer_files.load(tmp_path / "a" / f"{split}.npz")]
    ticks = sum(int((clip.truth == 1).sum()) for clip in clips)
    hits = sum(int(((clip.truth == 1) & (clip.log_probs.argmax(1) == 1)).sum()) for clip in clips)
    pooled = found["test + unseen"]
    assert set(pooled) == set(found["test"])  # each output
    assert pooled["provisional"] == {
        "recall pick": pytest.approx(100 * hits / ticks),
        "segments pick": 2 * len(clips),  # each clip does everything twice
        "ticks pick": ticks,
        "recall dance": None,
        "segments dance": 0,
        "ticks dance": 0,
    }
    assert pooled["confirmed"]["recall pick"] > 90


def test_the_kind_of_decoder_is_chosen_by_validation_where_that_is_asked_for(tmp_path: Path) -> None:
    write_answers(tmp_path / "a", 1.0, 0)
    job = Job("score", "score", {**SETTINGS, "decoder": "auto", "thresholds": []})
    scoring.score(Task(job, {"answers0": tmp_path / "a"}, tmp_path), {})
    (fitted,) = load_fitted(tmp_path)
    chosen = fitted.specs["confirmed"]
    assert chosen.kind in ("duration", "hysteresis") and chosen == fitted.specs[f"confirmed, {chosen.kind}"]
    found = json.loads((tmp_path / SCORES).read_text())["test"]
    assert {"confirmed, duration", "confirmed, hysteresis", "confirmed, argmax"} < set(found)
    assert found["confirmed"] == found[f"confirmed, {chosen.kind}"]


def test_targets_are_scored_by_ticks_and_by_boundaries_in_seconds(tmp_path: Path) -> None:
    write_answers(tmp_path / "a", 2.0, 0)
    clips = answer_files.load(tmp_path / "a" / "test.npz")
    late = [replace(clip, targets=np.concatenate([clip.truth[:1].repeat(2), clip.truth[:-2]])) for clip in clips]
    nobody = replace(clips[0], truth=np.full_like(clips[0].truth, NO_ACTION))
    answer_files.save(tmp_path / "a" / ALIGNED_TARGETS, [*late, nobody])
    score({"answers0": tmp_path / "a"}, tmp_path)
    aligned = json.loads((tmp_path / SCORES).read_text())["train"]["aligned"]
    assert aligned["boundary error median s"] == aligned["boundary error p90 s"] == pytest.approx(0.2)
    assert aligned["MoF"] < 100
