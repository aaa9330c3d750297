"""Bags made ready for the tables."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from hal_ros.core.card import ModelCard  # noqa: E402
from hal_ros.core.errors import ConfigError, DatasetError  # noqa: E402
from hal_ros.datasets.config import DataConfig  # noqa: E402
from hal_ros.experiments import ingested  # noqa: E402
from hal_ros.experiments.ingested import (  # noqa: E402
    PreparedEpisodes,
    extras_for,
    first_episodes,
    ingest,
    write_benchmark,
)
from hal_ros.sim import benchmark  # noqa: E402
from hal_ros.sim.extras import Extras  # noqa: E402
from hal_ros.train.config import config_from_mapping, load_config  # noqa: E402
from other_robots_bags import Plot, write_other_robots  # noqa: E402

ROOT = Path(__file__).parents[2]
ACTIONS = ("approach_green", "grasp", "lift")


def data(**streams: Any) -> DataConfig:
    return config_from_mapping({"data": {"streams": streams}}).data


def test_extra_topics_are_simulated_where_settings_ask_for_one_of_them() -> None:
    for config, wanted in (("train.yaml", None), ("train_all.yaml", Extras())):
        assert extras_for(load_config(ROOT / "config" / config).data) == wanted
    wrist = {"topic": "/wrist_camera/color/image_raw/compressed"}
    assert extras_for(data(cameras={"wrist": wrist})) == Extras()
    gripper = {"topic": ["/joint_states", "/gripper/joint_states"], "names": ["left_carriage_joint"]}
    assert extras_for(data(states={"gripper": gripper})) == Extras()
    assert extras_for(data(cameras={"front": {"topic": "/camera/color/image_raw"}})) is None
    assert extras_for(DataConfig(joints=("a",), camera_topic="/wrist_camera/color/image_raw")) == Extras()


def test_the_benchmark_is_written_with_what_the_settings_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(ingested, "write_missing", lambda *given: calls.append(given))
    for config in ("train.yaml", "train_all.yaml"):
        write_benchmark(load_config(ROOT / "config" / config).data, ("train",), {"train": 3})
    folder = Path("datasets/tabletop-v1")
    assert calls == [(folder, ("train",), 2, {"train": 3}, extras) for extras in (None, Extras())]


def settings(tmp_path: Path, robot: Path) -> dict[str, Any]:
    """Return those of a robot whose states alone are taken: without pictures it goes fast."""
    arm = {"topic": "/joint_states", "names": ["panda_joint1", "panda_joint2"]}
    return {
        "data": {
            "folder": str(robot),
            "cache": str(tmp_path / "cache"),
            "processes": 1,
            "streams": {"clock": "arm", "states": {"arm": arm}},
        }
    }


def robot(folder: Path, **counts: int) -> Path:
    """Write some short bags of a robot into each split."""
    for split, count in counts.items():
        plots = [Plot(ACTIONS, 0.4, seed) for seed in range(count)]
        for number, bag in enumerate(write_other_robots(folder / ".made", "panda", plots)):
            (folder / split).mkdir(parents=True, exist_ok=True)
            bag.rename(folder / split / f"{split}_{number}")
        shutil.rmtree(folder / ".made")
    return folder


def test_every_fifth_training_episode_is_held_out_where_there_is_no_validation(tmp_path: Path) -> None:
    folder = robot(tmp_path / "panda", train=6, test=1)
    found = ingest(settings(tmp_path, folder), ["test"], {})
    episodes = found.places["episodes"]
    names = {split: [Path(each).name.rpartition("-")[0] for each in folders] for split, folders in episodes.items()}
    assert names == {
        "train": ["train_0", "train_1", "train_2", "train_3", "train_5"],
        "validation": ["train_4"],
        "test": ["test_0"],
    }
    assert found.fold["vocabulary"] == list(ACTIONS) and found.places["encoder"] == ""
    assert len(set(found.fold["episodes"].values())) == 3
    json.dumps(found.fold)  # it is part of jobs' settings


def test_few_episodes_of_the_benchmark_have_all_its_actions(tmp_path: Path) -> None:
    folder = robot(tmp_path / "tabletop-v1", train=2, validation=1)
    for split in ("train", "validation"):
        for path in folder.glob(f"{split}/*/annotation.json"):
            path.unlink()  # of another robot's actions
        for path in folder.glob(f"{split}/*/transcript.txt"):
            path.write_text("pour\nidle\n")
    assert ingest(settings(tmp_path, folder), [], {}).fold["vocabulary"] == sorted(benchmark.ACTIONS)


def test_validation_is_what_is_there_and_limits_shorten_each_split(tmp_path: Path) -> None:
    folder = robot(tmp_path / "panda", train=3, validation=2, test=2)
    found = ingest(settings(tmp_path, folder), ["test"], {"train": 2, "validation": 1})
    assert {split: len(each) for split, each in found.places["episodes"].items()} == {
        "train": 2,
        "validation": 1,
        "test": 2,
    }


# --- fewer episodes ---------------------------------------------------------------------------------------------------


def prepared(tmp_path: Path, names: str, rare: str = "") -> tuple[PreparedEpisodes, DataConfig]:
    """Return episodes as `ingest` prepares them, the last one for validation; `rare` alone shows the third action."""
    for name in names:
        bag = tmp_path / "bags" / ("validation" if name == names[-1] else "train") / name
        bag.mkdir(parents=True)
        (bag / "transcript.txt").write_text("\n".join(ACTIONS if name == rare else ACTIONS[:2]))
    places = {"train": list(names[:-1]), "validation": [names[-1]], "test": ["t"]}
    there = {split: [f"/cache/{split}/{name}-0123456789abcdef" for name in each] for split, each in places.items()}
    fold = {"episodes": dict.fromkeys(places, "hash"), "vocabulary": list(ACTIONS)}
    card = cast("ModelCard", SimpleNamespace(vocabulary=ACTIONS))
    found = PreparedEpisodes(card, fold, {"encoder": "", "episodes": there})
    return found, DataConfig(folder=str(tmp_path / "bags"))


def names_of(found: PreparedEpisodes, *splits: str) -> set[str]:
    return {Path(folder).name[0] for split in splits for folder in found.places["episodes"][split]}


def test_the_first_episodes_are_nested_and_what_is_scored_stays(tmp_path: Path) -> None:
    whole, settings = prepared(tmp_path, "abcdefgh")
    parts = [first_episodes(whole, settings, count) for count in (2, 5, 8)]
    learned = [names_of(part, "train", "validation") for part in parts]
    assert [len(names) for names in learned] == [2, 5, 8] and learned[0] < learned[1] < learned[2]
    assert [len(names_of(part, "validation")) for part in parts] == [1, 1, 1]
    assert all(part.places["episodes"]["test"] == whole.places["episodes"]["test"] for part in parts)
    hashes = [part.fold["episodes"] for part in parts]
    assert len({one["train"] for one in hashes}) == 3 and {one["test"] for one in hashes} == {"hash"}
    with pytest.raises(ConfigError, match="9 episodes, but there are 8 to learn from"):
        first_episodes(whole, settings, 9)


def test_groups_of_episodes_are_on_one_side(tmp_path: Path) -> None:
    whole, settings = prepared(tmp_path, "abcdefgh", rare="a")
    groups = tmp_path / "bags" / "users.txt"
    groups.write_text("".join(f"{name} {'anna' if name in 'abcd' else 'bert'}\n" for name in "abcdefgh"))
    found = first_episodes(whole, dataclasses.replace(settings, groups="users.txt"), 6)
    held_out = names_of(found, "validation")
    assert held_out <= set("efgh") and not names_of(found, "train") & set("efgh"), "anna alone lifts"
    groups.write_text("a anna\n")
    with pytest.raises(DatasetError, match=r"users.txt: 7 of 8 have no group: b, c, d and 4 more"):
        first_episodes(whole, dataclasses.replace(settings, groups="users.txt"), 6)
