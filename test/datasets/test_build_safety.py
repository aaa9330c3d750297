"""Building a dataset never takes away what is not its own, whatever was asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from hal_ros.core.errors import ConfigError
from hal_ros.datasets import episodes
from hal_ros.datasets import folder as dataset_folder
from hal_ros.datasets.build import build
from hal_ros.datasets.plan import Plan, plan
from hal_ros.outside.outputs import LOCK
from user_folder import Workplace, snapshot, write, write_config

# --- what lies in the dataset already ---------------------------------------------------------------------------------


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("source", ["", "train", "train/demo"])
def test_bags_that_lie_where_the_episodes_go_are_refused(work: Workplace, source: str, replace: bool) -> None:
    bag = write(work.out / "train" / "demo")
    work.write_transcript("demo", "reach")
    (problem,) = work.refused(work.out / source, split="train", replace=replace)
    assert problem == f"{bag}: lies in {work.out}, the dataset itself; expected bags from elsewhere"


def test_episodes_are_not_ingested_from_themselves(work: Workplace) -> None:
    work.add("demo")
    work.ingest(split="train", copy=True)
    (problem,) = work.refused(work.out / "train")
    assert "lies in" in problem
    (problem,) = work.refused(work.out / "train", replace=True)
    assert "lies in" in problem


@pytest.mark.parametrize("with_transcript", [False, True])
def test_a_split_that_leads_to_the_bags_is_seen(work: Workplace, with_transcript: bool) -> None:
    bag = work.add("demo", "reach")
    work.out.mkdir()
    (work.out / "train").symlink_to(work.bags)
    if with_transcript:
        (bag / episodes.TRANSCRIPT).write_text("reach\n")
    before = snapshot(bag)
    (problem,) = work.refused(split="train", replace=True)
    assert "lies in" in problem
    assert snapshot(bag) == before


def test_what_is_no_episode_stays_even_when_replacing_is_asked_for(work: Workplace) -> None:
    work.add("demo", "reach")
    precious = work.out / "train" / "demo" / "notes.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("by hand")
    (problem,) = work.refused(split="train")
    assert problem == f"{precious.parent}: is there and no episode; expected nothing of that name"
    (problem,) = work.refused(split="train", replace=True)
    assert problem.startswith(f"{precious.parent}: notes.txt: hal did not write it so")
    assert precious.read_text() == "by hand"


def test_the_old_episode_comes_back_when_the_new_one_can_not_take_its_place(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.add("demo", "reach")
    work.ingest(split="train")
    before = snapshot(work.out)
    work.write_transcript("demo", "reach", "grasp")
    usual = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if dataset_folder.UNFINISHED in str(path) and path.name == "demo":
            raise KeyboardInterrupt
        return usual(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        with pytest.raises(KeyboardInterrupt):
            work.ingest(split="train")
    assert snapshot(work.out) == before
    work.ingest(split="train")
    assert episodes.read_transcript(work.out / "train" / "demo") == ("reach", "grasp")
    assert sorted(path.name for path in work.out.iterdir()) == [".made-by-hal", "cache", "train", "train.yaml"]


def test_a_link_in_an_episodes_place_is_replaced_and_not_what_it_leads_to(work: Workplace) -> None:
    bag = work.add("demo", "reach")
    before = snapshot(bag)
    (work.out / "train").mkdir(parents=True)
    (work.out / "train" / "demo").symlink_to(bag)
    work.ingest(split="train", replace=True)
    assert snapshot(bag) == before
    assert not (work.out / "train" / "demo").is_symlink()


# --- splits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["..", ".", "", "../bags", "a/b", "-x", ".hidden", "cache", "store"])
def test_a_split_is_one_folder_of_the_dataset(work: Workplace, split: str) -> None:
    bag = work.add("demo", "reach")
    before = snapshot(work.bags)
    config = write_config(work, cache=str(work.out / "store"))
    with pytest.raises(ConfigError, match="--split"):
        work.ingest(config=config, split=split, replace=True)
    assert snapshot(work.bags) == before
    assert bag.exists() and not work.out.exists()


# --- two calls at a time, and calls that were cut off -----------------------------------------------------------------


def test_two_calls_at_a_time_do_not_meet(tmp_path: Path) -> None:
    with dataset_folder.staging(tmp_path / "mine") as first:
        (first / "work").touch()
        with dataset_folder.staging(tmp_path / "mine") as second:
            assert [path.name for path in second.iterdir()] == [LOCK]
        assert (first / "work").exists()
    assert not (tmp_path / "mine").exists()


def test_the_settings_are_there_whole_before_the_episodes(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    work.add("demo", "reach")
    seen = []
    monkeypatch.setattr(
        dataset_folder, "put_in_place", lambda *_: seen.append(yaml.safe_load((work.out / "train.yaml").read_text()))
    )
    planned = plan(work.request())
    assert isinstance(planned, Plan)
    build(planned)
    assert [settings["name"] for settings in seen] == ["mine"]


def test_copies_of_what_was_copied_need_another_place(work: Workplace) -> None:
    work.add("demo", "reach")
    work.ingest(split="train", copy=True)
    shutil.rmtree(work.bags)
    other = work.out.with_name("other")
    work.ingest(work.out / "train", out=other, copy=True)
    assert (other / "train" / "demo" / episodes.TRANSCRIPT).exists()
