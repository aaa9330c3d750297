"""Stored answers come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clip_answers import clip
from hal_ros.core.errors import DatasetError
from hal_ros.metrics import answer_files


def test_stored_answers_come_back_as_they_were(tmp_path: Path) -> None:
    clips = [clip(), clip(name="two", offline=True)]
    answer_files.save(tmp_path / "test.npz", clips)
    for before, after in zip(clips, answer_files.load(tmp_path / "test.npz"), strict=True):
        for one, other in zip(vars(before).values(), vars(after).values(), strict=True):
            assert np.array_equal(np.asarray(one), np.asarray(other))
    assert [one.offline for one in answer_files.load(tmp_path / "test.npz")] == [False, True]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "test.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(DatasetError, match=r"test\.npz: can't be read as stored answers"):
        answer_files.load(path)
