"""Targets in their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hal_ros.labels.files import Labels, load_labels, save_labels


def test_labels_come_back_from_their_file(tmp_path: Path) -> None:
    labels = Labels(
        {"a": np.array([0, 1])}, {"b": np.array([2])}, {"a": np.array([[0.5, 0.5], [0.1, 0.9]], np.float32)}
    )
    save_labels(tmp_path, labels)
    after = load_labels(tmp_path)
    assert np.array_equal(after.training["a"], [0, 1]) and np.array_equal(after.validation["b"], [2])
    assert after.soft["a"].shape == (2, 2)
