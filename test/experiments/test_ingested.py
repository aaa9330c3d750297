"""Bags made ready for the tables."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from hal_ros.datasets.config import DataConfig  # noqa: E402
from hal_ros.experiments import ingested  # noqa: E402
from hal_ros.experiments.ingested import extras_for, ingest, write_benchmark  # noqa: E402
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
