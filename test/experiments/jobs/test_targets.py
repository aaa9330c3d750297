"""First labels, the teacher, and another alignment of its answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from hal_ros.experiments.files import ALIGNED_TARGETS  # noqa: E402
from hal_ros.experiments.training_data import load_training_data, save_clips  # noqa: E402
from hal_ros.labels.targets import load_targets  # noqa: E402
from hal_ros.metrics import answer_files  # noqa: E402
from table_jobs import clip, do  # noqa: E402


def test_first_labels_and_teacher_give_targets_in_the_transcripts_order(folders: dict[str, Path]) -> None:
    for stage, validation in (("first", 2), ("labels", 2)):
        labels = load_targets(folders[stage])
        assert (len(labels.training), len(labels.validation), len(labels.soft)) == (6, validation, 6)
        truth = clip("train-0", 0)
        said = labels.training["train-0"]
        assert tuple(said[np.flatnonzero(np.diff(said, prepend=-1))].tolist()) == truth.transcript
        assert (said == truth.actions).mean() > 0.8
        assert np.allclose(labels.soft["train-0"].sum(1), 1, atol=1e-4)


def test_a_teacher_answers_offline_and_shows_its_alignment(folders: dict[str, Path]) -> None:
    (one, *_) = answer_files.load(folders["labels"] / "unseen.npz")
    assert one.offline and np.array_equal(one.truth, clip("unseen-0", 30).actions)
    aligned = answer_files.load(folders["labels"] / ALIGNED_TARGETS)
    assert len(aligned) == 6 and all(len(one.targets) == len(one.truth) for one in aligned)


def test_a_changed_annotation_changes_no_target(folders: dict[str, Path], tmp_path: Path) -> None:
    weak = load_training_data(folders["clips"], folders["labels"])
    for split, attended in weak.clips.items():
        wrong = [replace(one, actions=np.zeros_like(one.actions)) for one in attended.clips]
        weak.clips[split].clips[:] = wrong
    (tmp_path / "clips").mkdir()
    save_clips(tmp_path / "clips", weak.about, weak.clips)
    first = do(tmp_path, "first", {}, {"clips": tmp_path / "clips"})
    for before, after in zip(*(load_targets(f).training.items() for f in (folders["first"], first)), strict=True):
        assert before[0] == after[0] and np.array_equal(before[1], after[1])


def test_realigning_keeps_answers_and_makes_targets_anew(folders: dict[str, Path], tmp_path: Path) -> None:
    settings = {"robot": True, "bonus": 0.2, "joints": ["arm", "gripper"]}
    folder = do(tmp_path, "realign", settings, {"clips": folders["clips"], "teacher": folders["labels"]})
    pairs = zip(*(answer_files.load(f / ALIGNED_TARGETS) for f in (folders["labels"], folder)), strict=True)
    for before, after in pairs:
        assert np.array_equal(before.log_probs, after.log_probs)
        assert len(after.targets) == len(after.truth)
