"""Targets in their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hal_ros.core.answers import NO_ACTION
from hal_ros.labels.targets import LABELS, Targets, load_targets, save_targets


def test_labels_come_back_from_their_file(tmp_path: Path) -> None:
    labels = Targets(
        {"a": np.array([0, 1])}, {"b": np.array([2])}, {"a": np.array([[0.5, 0.5], [0.1, 0.9]], np.float32)}
    )
    save_targets(tmp_path, labels)
    after = load_targets(tmp_path)
    assert np.array_equal(after.training["a"], [0, 1]) and np.array_equal(after.validation["b"], [2])
    assert after.soft["a"].shape == (2, 2)


def test_weights_come_back_and_older_files_have_none(tmp_path: Path) -> None:
    soft = np.array([[0.5, 0.5], [0.1, 0.9]], np.float32)
    known = np.array([0, NO_ACTION])
    less = {"c": np.array([1, 0.3], np.float32)}
    labels = Targets({"a": np.array([0, 1]), "b": known, "c": np.array([1, 0])}, {}, {"a": soft}, less)
    save_targets(tmp_path, labels)
    after = load_targets(tmp_path)
    assert [after.weight(name).tolist() for name in "abc"] == [[1, 1], [1, 0], less["c"].tolist()]
    with (tmp_path / LABELS).open("wb") as file:  # as 0.1.0 wrote it
        np.savez(file, allow_pickle=False, **{"training/b": known, "soft/a": soft})
    assert load_targets(tmp_path).weights == {} and load_targets(tmp_path).weight("b").tolist() == [1, 0]
