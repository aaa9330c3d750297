"""Clips and targets as systems are given them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from hal_ros.core.answers import NO_ACTION  # noqa: E402
from hal_ros.experiments.training_data import load_training_data, restrict  # noqa: E402
from hal_ros.train.clips import AttendedClips  # noqa: E402
from table_jobs import ATTENDED, COLUMNS, clip  # noqa: E402


def test_annotations_are_hidden_under_transcripts_and_shown_to_scores_alone(folders: dict[str, Path]) -> None:
    weak = load_training_data(folders["clips"], folders["labels"])
    assert all((one.actions == NO_ACTION).all() for split in ("train", "validation") for one in weak.clips[split].clips)
    assert (weak.clips["test"].clips[0].actions != NO_ACTION).all()
    annotated = load_training_data(folders["clips"], None)
    assert np.array_equal(annotated.training.targets["train-0"], clip("train-0", 0).actions)


def test_a_modality_taken_away_leaves_no_trace() -> None:
    one = clip("a", 1)
    attended = AttendedClips([one], {"a": one.inputs[:, :ATTENDED] * np.float32(0.5)})
    (joints,) = restrict(attended, COLUMNS, "joints").clips
    assert not joints.inputs[:, : ATTENDED + 1].any() and joints.inputs[:, ATTENDED + 1 :].any()
    (camera,) = restrict(attended, COLUMNS, "camera").clips
    assert not camera.inputs[:, ATTENDED + 1 :].any() and np.array_equal(
        camera.inputs[:, :ATTENDED], attended.joints_masked["a"]
    )
