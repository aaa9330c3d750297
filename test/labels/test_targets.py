"""Targets in their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hal_ros.labels.targets import Targets, load_targets, save_targets


def test_labels_come_back_from_their_file(tmp_path: Path) -> None:
    labels = Targets(
        {"a": np.array([0, 1])}, {"b": np.array([2])}, {"a": np.array([[0.5, 0.5], [0.1, 0.9]], np.float32)}
    )
    save_targets(tmp_path, labels)
    after = load_targets(tmp_path)
    assert np.array_equal(after.training["a"], [0, 1]) and np.array_equal(after.validation["b"], [2])
    assert after.soft["a"].shape == (2, 2)
