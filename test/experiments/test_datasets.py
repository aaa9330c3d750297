"""The data sets that the tables know, as far as they are here."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from fakes import make_card  # noqa: E402
from feature_folder import VOCABULARY, write_folder, write_settings  # noqa: E402
from hal_ros.core.errors import ConfigError, DatasetError  # noqa: E402
from hal_ros.experiments import datasets, ingested, kinds  # noqa: E402
from hal_ros.experiments.declaration import own_tables  # noqa: E402
from hal_ros.experiments.graph import Graph, Task  # noqa: E402
from hal_ros.experiments.ingested import PreparedEpisodes  # noqa: E402
from hal_ros.experiments.plan import Experiment  # noqa: E402
from hal_ros.experiments.training_data import load_about, load_clips  # noqa: E402
from hal_ros.sim.benchmark import ACTIONS  # noqa: E402

ROOT = Path(__file__).parents[2]


def test_a_data_set_that_is_not_here_is_an_error_only_if_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(datasets, "_tabletop", lambda declared, quick: [(declared, quick)])
    monkeypatch.setattr(datasets, "stream_experiments", lambda declared, quick: [(declared, quick, "set")])
    monkeypatch.chdir(ROOT)
    declared = "{tabletop: {a: 1}, gesture_phase: {}, streams: {c: 3}, other_robots: {robots: {}}, quick: {b: 2}}"
    config = tmp_path / "tables.yaml"
    config.write_text(declared)
    for folder in ("", str(tmp_path)):
        monkeypatch.setenv(datasets.DATA_FOLDER, folder)
        found = datasets.load_experiments(config, None, quick=True)
        assert found == [({"a": 1}, {"b": 2}), ({"c": 3}, {"b": 2}, "set")]
        said = capsys.readouterr().out
        assert "gesture_phase: left out" in said and "other_robots: left out" in said
        with pytest.raises(ConfigError, match=f"HAL_ROS_DATA is '{folder}'; expected a folder with gesture_phase"):
            datasets.load_experiments(config, "gesture_phase", quick=False)


def test_the_tabletop_has_a_point_for_each_number_of_episodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    episodes = {"train": [f"/c/{n}-00" for n in range(11)], "validation": ["/c/11-00"], "test": [], "unseen": []}
    fold = {"episodes": dict.fromkeys(episodes, "hash"), "vocabulary": list(ACTIONS)}
    whole = PreparedEpisodes(make_card(vocabulary=tuple(ACTIONS)), fold, {"encoder": "", "episodes": episodes})
    monkeypatch.setattr(datasets, "write_benchmark", lambda *_: None)
    monkeypatch.setattr(datasets, "ingest", lambda *_: whole)
    few = dataclasses.replace(whole, fold={**fold, "few": True})
    monkeypatch.setattr(ingested, "first_episodes", lambda *_: few)
    found = datasets.load_experiments(ROOT / "config" / "tables.yaml", "tabletop", quick=True)
    assert [(one.name, one.episodes, one.aims) for one in found] == [
        ("tabletop", 12, "unseen"),
        ("tabletop: 5 episodes", 5, ""),
        ("tabletop: 10 episodes", 10, ""),
    ]
    assert "tabletop: 20 episodes: left out, there are 12" in capsys.readouterr().out
    lines = {(line.section, line.system, line.supervision) for line in found[1].plan.lines}
    both = [(system, block) for system in ("student", "GRU") for block in ("transcripts", "annotations")]
    assert {("main", *each) for each in both} == {line for line in lines if line[0] == "main"}
    assert not found[1].plan.cost


def test_a_changed_recording_makes_new_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "read_dataset", lambda *_, **__: SimpleNamespace(vocabulary=("rest", "hold")))
    monkeypatch.setenv(datasets.DATA_FOLDER, str(tmp_path))
    monkeypatch.chdir(ROOT)  # where the declaration's other file is
    recording = tmp_path / "gesture_phase" / "recording.txt"
    recording.parent.mkdir()
    keys = []
    for text in ("one", "other"):
        recording.write_text(text)
        (found,) = datasets.load_experiments(ROOT / "config" / "tables.yaml", "gesture_phase", quick=True)
        assert (found.name, found.places, found.aims) == ("gesture_phase", {"dataset": str(recording.parent)}, "")
        assert (found.vocabulary, found.period_ns) == (("rest", "hold"), 33_333_333)
        keys.append(set(Graph(found.plan.jobs).keys.values()))
    assert keys[0].isdisjoint(keys[1])


# --- one's own data ---------------------------------------------------------------------------------------------------


def own_experiments(tmp_path: Path, *episodes: int, **data: Any) -> list[Experiment]:
    own = own_tables(write_settings(tmp_path / "mine.yaml", tmp_path / "data", **data), [0, 1], episodes)
    assert own is not None
    return datasets.load_own(own)


def test_ones_own_features_are_read_as_hal_train_does_and_fewer_episodes_have_jobs_of_their_own(tmp_path: Path) -> None:
    write_folder(tmp_path / "data")
    few, whole = own_experiments(tmp_path, 4, 6, split="all", groups="groups.csv")
    assert (few.part, whole.part) == ("4", "6"), "six are all that there are"
    assert {line.system for line in whole.plan.lines} == {"student", "GRU", "logistic"}
    assert whole.vocabulary == VOCABULARY and whole.period_ns == 100_000_000
    graphs = [Graph(one.plan.jobs) for one in (few, whole)]
    assert not {*graphs[0].keys.values()} & {*graphs[1].keys.values()}
    scores = [job for job in graphs[1].jobs.values() if job.kind == "score"]
    assert {len(job.inputs) for job in scores} == {2}, "a fold each"
    assert {str(job.settings["unscored"]) for job in scores} == {"[(3,), (3,)]"}
    (read, *_) = (job for job in graphs[0].jobs.values() if job.kind == "features")
    folder = tmp_path / "job"
    folder.mkdir()
    kinds.do(few.places, Task(read, {}, folder))
    about = load_about(folder)
    assert about.splits == ("train", "validation", "test") and about.rate_hz == 10
    learned = [clip.name for split in about.splits[:2] for clip in load_clips(folder, split).clips]
    assert len(learned) == 4


def test_a_changed_group_makes_new_jobs(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    keys = []
    for text in ("", "other,eve\n"):
        with (folder / "groups.csv").open("a") as file:
            file.write(text)
        (found,) = own_experiments(tmp_path, groups="groups.csv")
        keys.append(set(Graph(found.plan.jobs).keys.values()))
    assert keys[0].isdisjoint(keys[1])


def test_data_without_anything_to_score_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    (folder / "splits" / "test.split1.bundle").unlink()
    with pytest.raises(DatasetError, match="split '1' has no annotated test clip; expected some to be scored"):
        own_experiments(tmp_path)
    own = own_tables(write_settings(tmp_path / "bags.yaml", folder, layout="episodes", joints=["a"]), [], [])
    assert own is not None
    with pytest.raises(ConfigError, match="has neither test nor unseen; expected annotated episodes"):
        datasets.load_own(own)


def test_ones_own_bags_are_ingested_once_and_cut_to_fewer_episodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abcdef":
        bag = tmp_path / "bags" / "train" / name
        bag.mkdir(parents=True)
        (bag / "transcript.txt").write_text("rest\nmove\n")
    for name in "tu":
        (tmp_path / "bags" / "test" / name).mkdir(parents=True)
    segment = {"action": "rest", "start_ns": 0, "end_ns": 5}
    (tmp_path / "bags" / "test" / "t" / "annotation.json").write_text(json.dumps({"segments": [segment]}))
    places = {
        split: [f"/c/{name}-{'0' * 16}" for name in names] for split, names in (("train", "abcde"), ("test", "tu"))
    }
    there = {**places, "validation": [f"/c/f-{'0' * 16}"]}
    fold = {"episodes": dict.fromkeys(there, "hash"), "vocabulary": ["rest", "move"]}
    card = make_card(vocabulary=("rest", "move"))
    calls: list[list[str]] = []

    def ingest(_: object, scored: list[str], __: object) -> PreparedEpisodes:
        calls.append(scored)
        return PreparedEpisodes(card, fold, {"encoder": "", "episodes": there})

    monkeypatch.setattr(datasets, "ingest", ingest)
    settings = write_settings(tmp_path / "mine.yaml", tmp_path / "bags", layout="episodes", joints=["a"])
    own = own_tables(settings, [], [3])
    assert own is not None
    few, whole = datasets.load_own(own)
    assert calls == [["test"]]
    assert (few.part, whole.part) == ("3", "6")
    assert {line.system for line in whole.plan.lines} == {"student", "GRU", "logistic", "gripper rule"}
    assert sum(len(few.places["episodes"][split]) for split in ("train", "validation")) == 3
    assert few.places["episodes"]["test"] == there["test"][:1]
    assert "test: 1 of 2 episodes have no annotation: not scored" in capsys.readouterr().out
    (tmp_path / "bags" / "test" / "t" / "annotation.json").unlink()
    with pytest.raises(ConfigError, match="no episode of test is annotated; expected one at least, to be scored"):
        datasets.load_own(own)


def test_ones_own_mixture_is_a_block_that_learns_from_all_there_is(tmp_path: Path) -> None:
    write_folder(tmp_path / "data")
    settings = write_settings(tmp_path / "mine.yaml", tmp_path / "data", {"supervision": "mixed", "decoder": "auto"})
    own = own_tables(settings, [], [])
    assert own is not None
    (found,) = datasets.load_own(own)
    jobs = Graph(found.plan.jobs).jobs.values()
    assert {line.supervision for line in found.plan.lines} == {"mixed"}
    assert {line.section for line in found.plan.lines} == {"main"}, "its targets hide no annotation to be scored by"
    (first,) = [job for job in jobs if job.kind == "first"]
    assert first.settings["told"] == {"mixed": True}
    (read,) = [job for job in jobs if job.kind == "features"]
    assert read.settings["supervision"] == "mixed"
    assert {job.settings["decoder"] for job in jobs if job.kind == "score"} == {"auto"}
