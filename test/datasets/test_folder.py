"""A dataset's folder spares what a user put into its episodes, and takes up again what a killed call left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hal_ros.core.errors import ConfigError
from hal_ros.datasets import folder as dataset_folder
from hal_ros.datasets.user_bags import UserBag
from hal_ros.outside import outputs


@pytest.fixture
def episode(tmp_path: Path) -> Path:
    """An episode of an earlier version, which kept no listing."""
    place = tmp_path / "mine" / "train" / "one"
    place.mkdir(parents=True)
    (place / "transcript.txt").write_text("reach\n")
    (place / "one_0.mcap").symlink_to(tmp_path / "bag" / "one_0.mcap")
    return place


def bag_of(folder: Path) -> UserBag:
    bag = folder / "bag"
    bag.mkdir(exist_ok=True)
    (bag / "one_0.mcap").write_bytes(b"a bag")
    return UserBag("one", bag, (bag / "one_0.mcap",))


def test_an_episode_of_an_earlier_version_is_replaced_where_nothing_of_the_users_lies(
    episode: Path, tmp_path: Path
) -> None:
    bag, root = bag_of(tmp_path), tmp_path / "mine"
    dataset_folder.check_place(bag, episode, root)
    (episode / "annotation.json").write_text(json.dumps({"segments": []}))
    with pytest.raises(ConfigError, match=r"annotation\.json: hal did not write it so"):
        dataset_folder.check_place(bag, episode, root)
    (bag.path / "annotation.json").write_text(json.dumps({"segments": []}))  # a copy of it
    dataset_folder.check_place(bag, episode, root)


def test_what_was_moved_aside_by_a_killed_call_comes_back(episode: Path) -> None:
    root = episode.parent.parent
    aside = root / f"{dataset_folder.REPLACED}killed" / "train"
    aside.mkdir(parents=True)
    (aside.parent / outputs.LOCK).touch()  # nobody holds it
    episode.rename(aside / "one")
    with dataset_folder.staging(root) as place:
        assert place.is_dir()
        assert (episode / "transcript.txt").read_text() == "reach\n"
    assert not list(root.glob(f"{dataset_folder.UNFINISHED}*"))
