"""One plan for each set of the simulated robot's streams."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from hal_ros.datasets.config import DataConfig, draft_card, streams_of  # noqa: E402
from hal_ros.experiments import stream_sets  # noqa: E402
from hal_ros.experiments.declaration import load_declaration, make_plan, run_settings  # noqa: E402
from hal_ros.experiments.graph import Graph  # noqa: E402
from hal_ros.experiments.ingested import PreparedEpisodes, extras_for  # noqa: E402
from hal_ros.experiments.kinds import kind_of  # noqa: E402
from hal_ros.experiments.plan import Experiment  # noqa: E402
from hal_ros.sim.benchmark import ACTIONS  # noqa: E402
from hal_ros.train.config import config_from_mapping, load_config  # noqa: E402

ROOT = Path(__file__).parents[2]
SETS = ["joints", "front", "front + joints", "front + wrist + joints", "all"]


class Made:
    """What was simulated and ingested, in place of doing so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[bool] = []  # with extra topics?
        self.ingested: list[list[str]] = []  # their streams
        monkeypatch.setattr(stream_sets, "write_benchmark", self.write)
        monkeypatch.setattr(stream_sets, "ingest", self.ingest)
        monkeypatch.chdir(ROOT)

    def write(self, data: DataConfig, *_: object) -> None:
        self.written.append(extras_for(data) is not None)

    def ingest(self, settings: Mapping[str, Any], *_: object) -> PreparedEpisodes:
        config = config_from_mapping(dict(settings))
        self.ingested.append(list(streams_of(config.data).names))
        fold = {"episodes": {"test": "-".join(self.ingested[-1])}, "vocabulary": list(ACTIONS)}
        return PreparedEpisodes(draft_card(config.data, ACTIONS), fold, {"encoder": "", "episodes": {}})


def experiments(quick: bool = False) -> dict[str, Experiment]:
    declared = load_declaration(ROOT / "config" / "tables.yaml")
    found = stream_sets.stream_experiments(declared["streams"], declared["quick"] if quick else None)
    return {one.part: one for one in found}


def student(found: Experiment, seed: int = 0) -> Mapping[str, Any]:
    (job,) = [
        job for job in found.plan.jobs if job.name == f"streams: {found.part}: train student, transcripts, seed {seed}"
    ]
    config: Mapping[str, Any] = job.settings["config"]
    return config


def test_every_set_has_its_own_chain_of_jobs_under_both_supervisions(monkeypatch: pytest.MonkeyPatch) -> None:
    Made(monkeypatch)
    found = experiments()
    assert list(found) == SETS
    graph = Graph(job for one in found.values() for job in one.plan.jobs)
    for name, one in found.items():
        lines = {(line.section, line.system, line.supervision): line for line in one.plan.lines}
        assert {("main", "student", "transcripts"), ("main", "student", "annotations")} <= set(lines)
        assert all(len(line.scores) == 3 for line in lines.values())
        kinds = [job.kind for job in graph.jobs.values() if job.name.startswith(f"streams: {name}: ")]
        counts = {kind: kinds.count(kind) for kind in set(kinds)}
        assert counts == {"first": 1, "eye": 6, "teacher": 3, "student": 6, "score": 9, "cost": 1}
    for job in graph.jobs.values():
        kind_of(job, job.inputs)  # raises for inputs that it does not take
    trainings = [graph.keys[job.name] for job in graph.jobs.values() if job.kind in ("eye", "teacher", "student")]
    assert len(set(trainings)) == len(trainings)  # no set takes another one's for its own


def test_sets_take_their_streams_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch)
    found = experiments()
    streams = {name: streams_of(config_from_mapping(dict(student(one))).data) for name, one in found.items()}
    assert {name: (spec.clock, spec.names) for name, spec in streams.items()} == {
        "joints": ("joints", ("joints",)),
        "front": ("front", ("front",)),
        "front + joints": ("camera", ("camera", "joints")),  # today's model, whose streams have no names of their own
        "front + wrist + joints": ("front", ("front", "wrist", "joints")),
        "all": ("front", ("front", "wrist", "joints", "wrench", "tool")),
    }
    assert [spec.value_count for spec in streams.values()] == [21, 0, 21, 21, 34]
    everything = ["front", "wrist", "joints", "wrench", "tool"]
    assert made.ingested == [
        ["joints"],
        everything,
        ["camera", "joints"],
    ]  # pictures lie on disk as few times as can be
    selected = {name: one.places.get("selection") for name, one in found.items()}
    assert selected["front + wrist + joints"].cameras == (0, 1)
    assert selected["front + wrist + joints"].values == tuple(range(21))
    assert [name for name, each in selected.items() if each] == ["front", "front + wrist + joints"]


def test_bags_have_their_extra_topics_before_any_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch)
    experiments()
    assert made.written[0] and made.written == sorted(made.written, reverse=True)


def test_rare_actions_are_scored_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    Made(monkeypatch)
    scores = [job.settings for one in experiments().values() for job in one.plan.jobs if job.kind == "score"]
    actions = {"pour": ACTIONS.index("pour"), "missed_grasp": ACTIONS.index("missed_grasp")}
    assert all(each["recall"] == {"actions": actions, "splits": ["test", "unseen"]} for each in scores)


def test_what_the_tabletop_table_has_trained_is_not_trained_again(monkeypatch: pytest.MonkeyPatch) -> None:
    Made(monkeypatch)
    today = experiments()["front + joints"]
    fold = next(job.settings for job in today.plan.jobs if job.kind == "first")
    declared = load_declaration(ROOT / "config" / "tables.yaml")["tabletop"]
    folds = {"": {key: fold[key] for key in ("episodes", "vocabulary")}}
    tabletop = Graph(make_plan("tabletop", declared, run_settings(declared["run"], None), folds, None).jobs)
    keys = {tabletop.keys[job.name] for job in tabletop.jobs.values()}
    own = Graph(today.plan.jobs)
    assert {own.keys[job.name] for job in own.jobs.values() if job.kind not in ("score", "cost")} <= keys


def test_the_short_form_is_one_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    Made(monkeypatch)
    found = experiments(quick=True)
    assert list(found) == SETS
    assert {len(line.scores) for one in found.values() for line in one.plan.lines} == {1}
    assert {student(one)["optimiser"]["epochs"] for one in found.values()} == {1}


def test_the_second_bundle_takes_all_streams() -> None:
    config = load_config(ROOT / "config" / "train_all.yaml")
    assert config.name == "tabletop_all"
    assert streams_of(config.data).names == ("front", "wrist", "joints", "wrench", "tool")
