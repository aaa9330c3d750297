"""What is told, written and read, and the targets that come of it: the very ones of `hal train`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from hal_ros.core.answers import NO_ACTION  # noqa: E402
from hal_ros.datasets.clips import Clip  # noqa: E402
from hal_ros.datasets.config import TRAINING, VALIDATION  # noqa: E402
from hal_ros.experiments.jobs.mixtures import load_mixture, save_mixture, told_clips  # noqa: E402
from hal_ros.experiments.plan import merged  # noqa: E402
from hal_ros.experiments.training_data import load_about, load_clips, load_training_data, save_clips  # noqa: E402
from hal_ros.labels.targets import Targets, load_targets  # noqa: E402
from hal_ros.train import chain  # noqa: E402
from hal_ros.train.clips import AttendedClips, Data  # noqa: E402
from hal_ros.train.config import config_from_mapping  # noqa: E402
from hal_ros.train.mixture import Learnt, compare_sources, mixture_of  # noqa: E402
from synthetic_episodes import make_encoded_clips  # noqa: E402
from table_jobs import TEACHER, clip, do  # noqa: E402

MIXED = {"told": {"mixed": True}, "weights": {"doubt_discount": 1.0}}
DISCOUNT: dict[str, Any] = merged(TEACHER, {"teacher": {"doubt_discount": 1.0}})


def some_told(folders: dict[str, Path], folder: Path) -> Path:
    """Write the clips with a mixture of what is told: annotations, marks, transcripts, nothing."""
    folder.mkdir()
    about = load_about(folders["clips"])
    splits = {split: load_clips(folders["clips"], split) for split in about.splits}
    for split in (TRAINING, VALIDATION):
        clips = splits[split].clips
        for index, one in enumerate(clips[1:], 1):
            nothing = np.full(one.ticks, NO_ACTION)
            if index == 2:
                change = int(np.flatnonzero(np.diff(one.actions))[0]) + 1
                nothing[change - 1 : change + 1] = one.actions[change - 1 : change + 1]
            clips[index] = replace(one, actions=nothing, transcript=() if index == 3 else one.transcript)
    save_clips(folder, about, splits)
    return folder


def same(ours: Targets, theirs: Targets) -> None:
    for part in ("training", "validation", "soft", "weights"):
        one, other = getattr(ours, part), getattr(theirs, part)
        assert one.keys() == other.keys(), part
        for name in one:
            np.testing.assert_allclose(one[name], other[name], atol=1e-6)


def test_a_mixed_block_learns_the_very_targets_of_hal_train(folders: dict[str, Path], tmp_path: Path) -> None:
    clips = some_told(folders, tmp_path / "clips")
    first = do(tmp_path, "first", MIXED, {"clips": clips})
    found = load_targets(do(tmp_path, "teacher", {"config": DISCOUNT}, {"clips": clips, "first": first}))
    assert set(found.training) == {f"train-{number}" for number in (0, 1, 2, 4, 5)}, "of one nothing is told"
    assert set(found.weights) == set(found.soft) == set(found.training) - {"train-0"}

    config = config_from_mapping({"supervision": "mixed", **DISCOUNT})
    run = chain.RunSettings(config, tmp_path / "run", lambda _: None)
    parts = [load_clips(clips, split).clips for split in (TRAINING, VALIDATION)]
    mixture = mixture_of(config, parts[0], parts[1], lambda _: None)
    about = load_about(clips)
    told = [AttendedClips(part, {}) for part in (mixture.training, mixture.validation)]
    (tmp_path / "run").mkdir()
    source = chain._source(run, mixture, about.actions, [part.clips for part in told])
    same(found, source.fit(Data(about.actions, about.columns, told[0], told[1])))


def test_systems_see_the_targets_and_what_it_cost_a_person_but_no_annotation(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    told = {"told": {"annotated": 2, "marks": 0, "seed": 0}}
    first = do(tmp_path, "first", told, {"clips": folders["clips"]})
    labels = do(tmp_path, "teacher", {"config": TEACHER}, {"clips": folders["clips"], "first": first})
    data = load_training_data(folders["clips"], labels)
    sure = [name for name in data.labels.training if name not in data.labels.soft]
    assert len(sure) == 2 and len(data.labels.training) == 6
    number = sure[0].rpartition("-")[2]
    assert np.array_equal(data.labels.training[sure[0]], clip(sure[0], int(number)).actions)
    assert all((one.actions == NO_ACTION).all() for one in data.clips[VALIDATION].clips)
    ticks = sum(len(data.labels.training[name]) for name in sure)
    assert data.minutes == pytest.approx((2 * 30 + 3 * ticks / 10) / 60)
    assert load_training_data(folders["clips"], folders["labels"]).minutes == 0, "transcripts alone"
    assert load_training_data(folders["clips"], None).minutes > data.minutes, "all are annotated"


def test_where_all_is_annotated_there_is_no_teacher(folders: dict[str, Path], tmp_path: Path) -> None:
    first = do(tmp_path, "first", {"told": {"mixed": True}}, {"clips": folders["clips"]})
    labels = do(tmp_path, "teacher", {"config": TEACHER}, {"clips": folders["clips"], "first": first})
    assert not (labels / "aligned.npz").exists()
    found = load_targets(labels)
    assert not found.soft
    assert np.array_equal(found.training["train-0"], clip("train-0", 0).actions)


def test_what_is_told_is_read_as_it_was_written(tmp_path: Path) -> None:
    said: dict[str, Any] = {"vlm": np.array([0, 1, NO_ACTION] * 20)}
    encoded = [
        replace(one, name=name, transcript=(0, 1, 2, 3), claims=said, actions=np.full(60, NO_ACTION))
        for name, one in zip("ab", make_encoded_clips(2, 0), strict=True)
    ]
    mixture = mixture_of(config_from_mapping({"supervision": "mixed"}), encoded[:1], encoded[1:], lambda _: None)
    learnt = compare_sources(mixture, Learnt(4), lambda _: None)
    save_mixture(tmp_path, mixture, learnt)
    found, known = load_mixture(tmp_path)
    assert (found.kinds, found.align, known.actions, known.labels) == (mixture.kinds, True, 4, None)
    assert known.sources == learnt.sources
    assert found.claims["a"]["vlm"].tolist() == said["vlm"].tolist()
    assert [one.transcript for one in (*found.training, *found.validation)] == [(0, 1, 2, 3)] * 2
    seen = Clip("a", np.zeros((60, 2), np.float32), encoded[0].actions, ())
    (shown,) = told_clips([seen, clip("stranger", 0)], found.training)
    assert shown.transcript == (0, 1, 2, 3) and (shown.actions == NO_ACTION).all()
