"""Folds of a feature folder: nobody is seen on two sides, and what can't be learned is said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hal_ros.core.errors import DatasetError
from hal_ros.datasets.config import DataConfig
from hal_ros.datasets.formats.folds import Fold, fold_names, fold_title, read_fold
from hal_ros.datasets.formats.layout_files import write_clip_files, write_dataset_files

VOCABULARY = ("background", "reach", "pour", "wipe")
USERS = {f"{user}{take}": user for user in ("anna", "bert", "carl", "dora") for take in range(2)}


def write(folder: Path, names: Sequence[str] = tuple(USERS), **actions: Sequence[str]) -> None:
    """Write clips of different lengths with three actions each, or with those given for a clip."""
    for index, name in enumerate(names):
        labels = [action for action in actions.get(name, VOCABULARY[:3]) for _ in range(4 + index % 3)]
        write_clip_files(folder, name, np.full((len(labels), 5), index, np.float32).T, labels)
    (folder / "groups.csv").write_text("clip,user\n" + "".join(f"{name},{USERS[name]}\n" for name in names))


def data(folder: Path, **settings: Any) -> DataConfig:
    return DataConfig(folder=str(folder), **{"layout": "mstcn", "groups": "groups.csv", "split": "groups"} | settings)


def users(clips: Sequence[Any]) -> set[str]:
    return {USERS[clip.name] for clip in clips}


def split(folder: Path, name: str, **subsets: Sequence[str]) -> None:
    write_dataset_files(folder, VOCABULARY, subsets, name)


def read(folder: Path, **settings: Any) -> Fold:
    return read_fold(data(folder, **settings), "annotations")


def test_each_group_is_left_out_once_and_is_never_on_two_sides(tmp_path: Path) -> None:
    write(tmp_path)
    split(tmp_path, "1", train=list(USERS))
    names = fold_names(data(tmp_path))
    assert [fold_title(name) for name in names] == [f"without {user}" for user in ("anna", "bert", "carl", "dora")]
    for name, user in zip(names, ("anna", "bert", "carl", "dora"), strict=True):
        fold = read(tmp_path, split=name)
        assert users(fold.test) == {user} and len(fold.test) == 2
        assert len(users(fold.training)) == 2 and len(users(fold.validation)) == 1
        assert not users(fold.training) & users(fold.validation)


def test_all_splits_are_those_that_are_listed(tmp_path: Path) -> None:
    write(tmp_path)
    for name in ("10", "2", "x"):
        split(tmp_path, name, train=["anna0", "bert0"], test=["carl0"])
    (tmp_path / "split3.train").write_text("anna0\n")
    assert fold_names(data(tmp_path, split="all", groups="")) == ["2", "3", "10", "x"]
    assert fold_names(data(tmp_path, split="2")) == ["2"]
    with pytest.raises(DatasetError, match="lists no split"):
        fold_names(data(tmp_path / "features", split="all"))


def test_a_split_that_mixes_users_is_told(tmp_path: Path) -> None:
    write(tmp_path)
    split(tmp_path, "1", train=["anna0", "bert0", "bert1"], val=["carl0"], test=["anna1"])
    fold = read(tmp_path, split="1")
    assert [clip.name for clip in fold.validation] == ["carl0"]
    assert any("test: the split has 1 groups in train as well (anna)" in note for note in fold.notes)


def test_users_with_one_clip_are_defined_and_too_few_groups_are_refused(tmp_path: Path) -> None:
    write(tmp_path, ["anna0", "bert0", "carl0"])
    split(tmp_path, "1", train=["anna0", "bert0"], test=["carl0"])
    fold = read(tmp_path, split="leave-out:anna")
    assert [len(part) for part in (fold.training, fold.validation, fold.test)] == [1, 1, 1]
    with pytest.raises(DatasetError, match="'leave-out:eve'; expected one of several groups: anna, bert, carl"):
        read(tmp_path, split="leave-out:eve")
    (tmp_path / "groups.csv").write_text("anna0 a\nbert0 b\ncarl0 b\n")
    with pytest.raises(DatasetError, match=r"2 groups \(a, b\); expected 3 or more: one left out, one held out"):
        fold_names(data(tmp_path))
    with pytest.raises(DatasetError, match="all 2 training clips are of b; expected two groups or more"):
        read(tmp_path, split="leave-out:a")
    (tmp_path / "groups.csv").write_text("anna0 a\n")
    with pytest.raises(DatasetError, match="2 of 3 have no group: bert0, carl0"):
        fold_names(data(tmp_path))


def test_actions_that_training_never_shows_are_counted(tmp_path: Path) -> None:
    write(tmp_path, anna0=("wipe", "reach", "wipe"), anna1=("wipe",))
    split(tmp_path, "1", train=list(USERS))
    notes = read(tmp_path, split="leave-out:anna").notes
    assert "test: 1 actions never occur in training (wipe): 3 segments, 13 frames are scored as errors" in notes
    assert not any("scored as errors" in note for note in read(tmp_path, split="leave-out:bert").notes)


def test_the_first_episodes_are_nested_and_the_test_clips_stay(tmp_path: Path) -> None:
    write(tmp_path)
    split(tmp_path, "1", train=[name for name in USERS if "anna" not in name], test=["anna0", "anna1"])
    folds = [read_fold(data(tmp_path, split="1"), "annotations", count) for count in (3, 4, 6)]
    learned = [{clip.name for clip in [*fold.training, *fold.validation]} for fold in folds]
    assert [len(names) for names in learned] == [3, 4, 6]
    assert learned[0] < learned[1] < learned[2]
    assert {USERS[name] for name in learned[0]} == {"bert", "carl", "dora"}, "groups take turns"
    assert {tuple(clip.name for clip in fold.test) for fold in folds} == {("anna0", "anna1")}
    with pytest.raises(DatasetError, match="7 episodes, but there are 6 to learn from"):
        read_fold(data(tmp_path, split="1"), "annotations", 7)
    with pytest.raises(DatasetError, match="1 training clips can be used"):
        read_fold(data(tmp_path, split="1"), "annotations", 1)


def test_ones_own_background_takes_the_place_of_the_published(tmp_path: Path) -> None:
    write(tmp_path)
    split(tmp_path, "1", train=list(USERS)[:4], test=list(USERS)[4:])
    usual = read(tmp_path, split="1").dataset
    assert (usual.background, usual.unscored) == ((0,), (0,))
    own = read(tmp_path, split="1", background=("wipe", "reach")).dataset
    assert (own.background, own.unscored) == ((1, 3), (1, 3))
    with pytest.raises(DatasetError, match=r"data.background: 'pore' is no action; did you mean pour\?"):
        read(tmp_path, split="1", background=("pore",))
