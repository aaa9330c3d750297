"""Keys of jobs, and graphs that can not be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fake_jobs
from hal_ros.core.errors import ConfigError
from hal_ros.experiments import graph as graph_module
from hal_ros.experiments import kinds
from hal_ros.experiments.graph import Graph, Job, Store


def test_a_changed_setting_gives_new_keys_to_the_job_and_to_what_hangs_on_it() -> None:
    def keys(number: Any) -> Any:
        jobs = [Job("a", "add", {"number": number}), Job("b", "add", {}, {"of": "a"}), Job("c", "add", {"number": 7})]
        return Graph(jobs).keys

    before, after = keys(1), keys(2)
    assert before["a"] != after["a"] and before["b"] != after["b"]
    assert before["c"] == after["c"]


def test_jobs_that_say_the_same_share_a_result_whatever_they_are_called() -> None:
    keys = Graph([Job("a", "add", {"x": 1, "y": 2}), Job("b", "add", {"y": 2, "x": 1}), Job("c", "sub", {"x": 1})]).keys
    assert keys["a"] == keys["b"] != keys["c"]


def test_only_what_is_needed_is_kept() -> None:
    assert list(fake_jobs.chain("add").needed_for(["middle"]).jobs) == ["first", "middle"]


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ([Job("a", "add", {}, {"of": "b"})], "'b', which is no job"),
        ([Job("a", "add", {}, {"of": "b"}), Job("b", "add", {}, {"of": "a"})], "a -> b -> a"),
        ([Job("a", "add"), Job("a", "sub")], "two different jobs are named 'a'"),
    ],
)
def test_a_graph_that_can_not_be_is_refused(jobs: list[Job], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Graph(jobs)


# --- stores of older versions -----------------------------------------------------------------------------------------

CONFIG = {"data": {"joints": ["arm", "gripper"], "rate_hz": 10.0}, "seed": 0, "threads": 1}
ONE_OF_EACH = [
    Job("columns", "columns", {"validation": 0.2, "rate_hz": 30, "bytes": "abc", "split": "1"}),
    Job("first labels", "first", {"config": {"data": CONFIG["data"]}, "vocabulary": ["pick", "place"]}),
    Job("eye", "eye", {"config": CONFIG, "vocabulary": ["pick", "place"]}, {"labels": "first labels"}),
    Job("teacher", "teacher", {"config": CONFIG}, {"clips": "eye", "first": "first labels"}),
    Job("align", "realign", {"robot": True, "bonus": 0.2, "joints": ["arm"]}, {"clips": "eye", "teacher": "teacher"}),
    Job("student", "student", {"config": CONFIG}, {"clips": "eye", "labels": "teacher"}),
    Job("GRU", "baseline", {"system": "gru", "seed": 0, "lag_ticks": 4, "preset": {"epochs": 1}}, {"clips": "eye"}),
    Job("score", "score", {"splits": ["test"], "kinds": ("duration", "argmax")}, {"answers0": "student"}),
    Job("features", "features", {"data": {"split": "1"}, "supervision": "mixed", "episodes": None, "bytes": "abc"}),
    Job("cost", "cost", {"systems": {"GRU": {"system": "gru"}}}, {"clips": "eye"}),
]

KEYS = [
    "columns-7b76a9e6a639",
    "first-ac1e41991248",
    "eye-8186ebd5b4ed",
    "teacher-bea6823f0e1b",
    "realign-fad6ad431e1f",
    "student-8b54943c9df2",
    "baseline-0c2a33f720ec",
    "score-0ba3233a274e",
    "features-5625ee3201e6",
    "cost-277d0a3b36c5",
]


def test_a_store_is_found_as_long_as_the_version_of_the_code_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These keys are in people's stores: a change of any of them throws hours of training away."""
    store = Store(tmp_path)
    assert {job.kind for job in ONE_OF_EACH} == set(kinds.KINDS)

    def names() -> list[str]:
        graph = Graph(ONE_OF_EACH)
        return [store.path(graph, job.name).name for job in ONE_OF_EACH]

    found = names()
    assert found == KEYS
    monkeypatch.setattr(graph_module, "ALGORITHM", graph_module.ALGORITHM + 1)
    assert not {*names()} & {*found}, "results of before are no longer taken"
