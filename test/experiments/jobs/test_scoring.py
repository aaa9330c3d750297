"""Scoring from stored answers."""

from __future__ import annotations

import json
from pathlib import Path

from hal_ros.experiments.files import SCORES
from hal_ros.experiments.jobs.scoring import load_fitted
from stored_answers import score, write_answers


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
