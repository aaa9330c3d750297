"""Clips and targets as systems are given them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from hal_ros.core.answers import NO_ACTION  # noqa: E402
from hal_ros.core.streams.columns import ValueGroups  # noqa: E402
from hal_ros.experiments.files import ABOUT  # noqa: E402
from hal_ros.experiments.training_data import (  # noqa: E402
    AboutClips,
    load_about,
    load_clips,
    load_training_data,
    restrict,
    save_clips,
)
from hal_ros.train.clips import AttendedClips, Columns  # noqa: E402
from table_jobs import ATTENDED, COLUMNS, clip  # noqa: E402


def test_annotations_are_hidden_under_transcripts_and_shown_to_scores_alone(folders: dict[str, Path]) -> None:
    weak = load_training_data(folders["clips"], folders["labels"])
    assert all((one.actions == NO_ACTION).all() for split in ("train", "validation") for one in weak.clips[split].clips)
    assert (weak.clips["test"].clips[0].actions != NO_ACTION).all()
    annotated = load_training_data(folders["clips"], None)
    assert np.array_equal(annotated.training.targets["train-0"], clip("train-0", 0).actions)


ROBOTS = {
    "0.1.0": (COLUMNS, {"seen": 4, "values": 6, "joints": 2}),
    "vectors": (Columns(0, 14), {"seen": 0, "values": 14, "joints": 0}),
    "several": (
        Columns(4, 3, ValueGroups((0, 0, 1), (0, 0, 1)), 2),
        {"seen": 4, "values": 3, "joints": 0, "names": [0, 0, 1], "states": [0, 0, 1], "cameras": 2},
    ),
    "states": (
        Columns(0, 2, ValueGroups((0, 1), (0, 0)), 0),
        {"seen": 0, "values": 2, "joints": 0, "names": [0, 1], "states": [0, 0], "cameras": 0},
    ),
}


@pytest.mark.parametrize(("columns", "stored"), ROBOTS.values(), ids=ROBOTS)
def test_columns_are_stored_as_before_and_more_where_there_is_more(
    columns: Columns, stored: Any, tmp_path: Path
) -> None:
    save_clips(tmp_path, AboutClips(("a", "b"), columns, 10.0, ("train",)), {})
    assert json.loads((tmp_path / ABOUT).read_text())["columns"] == stored
    assert load_about(tmp_path).columns == columns


def test_what_eyes_see_without_a_state_is_kept(tmp_path: Path) -> None:
    one = clip("a", 1)
    masked: dict[str, Any] = {"a": np.ones((2, one.ticks, 8), np.float16)}
    save_clips(tmp_path, AboutClips(("a",), COLUMNS, 10.0, ("train",)), {"train": AttendedClips([one], {}, masked)})
    found = load_clips(tmp_path, "train")
    np.testing.assert_array_equal(found.states_masked["a"], masked["a"])
    assert not found.joints_masked


def test_a_modality_taken_away_leaves_no_trace() -> None:
    one = clip("a", 1)
    attended = AttendedClips([one], {"a": one.inputs[:, :ATTENDED] * np.float32(0.5)})
    (joints,) = restrict(attended, COLUMNS, "joints").clips
    assert not joints.inputs[:, : ATTENDED + 1].any() and joints.inputs[:, ATTENDED + 1 :].any()
    (camera,) = restrict(attended, COLUMNS, "camera").clips
    assert not camera.inputs[:, ATTENDED + 1 :].any() and np.array_equal(
        camera.inputs[:, :ATTENDED], attended.joints_masked["a"]
    )
