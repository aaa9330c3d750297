"""Where an episode may be written: where nothing lies, or an episode of the benchmark and nothing of a user's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hal_ros.core.errors import ConfigError
from hal_ros.sim.benchmark import episodes
from hal_ros.sim.write import check_place

SPEC = episodes("test")[0]


@pytest.fixture
def episode(tmp_path: Path) -> Path:
    """An episode as earlier versions left it."""
    place = tmp_path / "test" / SPEC.name
    place.mkdir(parents=True)
    annotation = {"segments": [], "recipe": SPEC.recipe, "seed": SPEC.seed, "level": SPEC.level}
    (place / "annotation.json").write_text(json.dumps(annotation))
    for name in ("metadata.yaml", "transcript.txt", f"{SPEC.name}_0.mcap"):
        (place / name).touch()
    return place


def test_an_episode_of_an_earlier_version_may_be_replaced(episode: Path) -> None:
    check_place(SPEC, episode.parent)
    check_place(SPEC, episode.parent.parent / "other")


@pytest.mark.parametrize("name", ["notes.txt", "other_0.mcap", "labels/mine.txt"])
def test_a_users_file_in_it_is_named(episode: Path, name: str) -> None:
    (episode / name).parent.mkdir(exist_ok=True)
    (episode / name).write_text("mine")
    with pytest.raises(ConfigError, match=f"{name}: hal did not write it so"):
        check_place(SPEC, episode.parent)


@pytest.mark.parametrize("text", ["{}", "[]", "{", json.dumps({"recipe": "", "seed": -1, "level": ""})])
def test_a_users_folder_of_that_name_is_not_taken_for_one(episode: Path, text: str) -> None:
    (episode / "annotation.json").write_text(text)
    with pytest.raises(ConfigError, match=r"annotation\.json"):
        check_place(SPEC, episode.parent)
