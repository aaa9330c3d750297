"""Clips that are read, and clips that an eye has seen."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from hal_ros.core.errors import DatasetError  # noqa: E402
from hal_ros.experiments.graph import Job, Task  # noqa: E402
from hal_ros.experiments.jobs import clips  # noqa: E402
from hal_ros.experiments.jobs.mixtures import save_mixture  # noqa: E402
from hal_ros.experiments.stream_sets import Selection  # noqa: E402
from hal_ros.labels.targets import Targets, save_targets  # noqa: E402
from hal_ros.train import chain  # noqa: E402
from hal_ros.train.mixture import TRANSCRIBED, Learnt, Mixture  # noqa: E402
from synthetic_episodes import GRID, SETTINGS, make_encoded_clips  # noqa: E402


def test_an_empty_file_of_labels_teaches_nobody_the_annotations(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    splits = {"train": make_encoded_clips(1, 0), "validation": make_encoded_clips(1, 1)}
    monkeypatch.setattr(clips, "load_splits", lambda *_: splits)
    monkeypatch.setattr(chain, "grid_of", lambda _: GRID)
    save_targets(tmp_path, Targets({}, {}, {}))
    kinds = {clip.name: TRANSCRIBED for part in splits.values() for clip in part}
    save_mixture(tmp_path, Mixture(splits["train"], splits["validation"], kinds, True), Learnt(4))
    job = Job("eye", "eye", {"vocabulary": "abcd", "config": SETTINGS})
    with pytest.raises(DatasetError, match="no tick has both a picture and a target"):
        clips.eye(Task(job, {"labels": tmp_path}, tmp_path), {})


def test_of_what_was_ingested_together_a_part_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = make_encoded_clips(1, 0)
    monkeypatch.setattr(clips, "load_encoded_clips", lambda *_: [whole])
    places = {"encoder": "", "episodes": {"train": ["a"], "test": ["b", "c"]}}
    assert clips.load_splits(places, "abcd") == {"train": [whole], "test": [whole, whole]}
    found = clips.load_splits({**places, "selection": Selection((), (4, 5))}, "abcd", ["test"])
    assert list(found) == ["test"]
    assert all(clip.features == () and clip.joints.tolist() == whole.joints[:, 4:].tolist() for clip in found["test"])
