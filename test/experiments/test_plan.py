"""The tables' declaration as a graph of jobs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hal_ros.core.errors import ConfigError
from hal_ros.experiments.blocks import WEAK
from hal_ros.experiments.graph import Graph
from hal_ros.experiments.kinds import kind_of
from hal_ros.experiments.plan import (
    CURVE,
    MAIN,
    REFERENCES,
    SECTIONS,
    Builder,
    TablePlan,
    merged,
    quickened,
    stage_config,
)
from hal_ros.train.config import config_from_mapping

DECLARED = yaml.safe_load((Path(__file__).parents[2] / "config" / "tables.yaml").read_text())
RUN = dataclasses.asdict(config_from_mapping({"optimiser": {"epochs": 12}}))  # as config/train.yaml says
VOCABULARY = ("move", "pick", "place")
PRESETS = {"gru": {"epochs": 10, "width": 128}}


def tabletop(
    declared: Any = DECLARED["tabletop"], run: Any = RUN, presets: dict[str, dict[str, int]] = PRESETS
) -> TablePlan:
    return Builder(
        "tabletop", declared, run, {"": {"episodes": "abc", "vocabulary": list(VOCABULARY)}}, presets
    ).build()


def gesture_phase() -> TablePlan:
    declared = DECLARED["gesture_phase"]
    folds = {f"split {name}": {"split": name} for name in declared["split_names"]}
    return Builder("gesture_phase", declared, RUN, folds, PRESETS).build()


def test_the_declaration_makes_a_graph_in_which_every_line_has_its_seeds() -> None:
    for plan in (tabletop(), gesture_phase()):
        graph = Graph(plan.jobs)
        assert {line.section for line in plan.lines} <= set(SECTIONS)
        for line in plan.lines:
            assert len(line.scores) == 3
            assert all(graph.jobs[job].kind == "score" for job in line.scores)


def test_the_main_table_has_all_systems_under_all_supervisions() -> None:
    lines = {(line.system, line.supervision) for line in tabletop().lines if line.section == MAIN}
    systems = ["student", "gripper rule", "logistic", "GRU", "causal TCN", "causal ASFormer"]
    systems += ["MiniROAD, small", "OnlineTAS", "ProTAS"]
    supervisions = ("transcripts", "transcripts (HAL teacher)", "annotations")
    expected = {(system, supervision) for system in systems for supervision in supervisions}
    shares = ("transcripts + 3 annotated", "transcripts + 5 % marks")
    assert lines == expected | {(system, supervision) for system in ("student", "GRU") for supervision in shares}


def test_all_systems_of_a_block_learn_from_the_same_targets() -> None:
    plan = tabletop()
    graph = Graph(plan.jobs)

    def targets(supervision: Any) -> set[Any]:
        lines = [line for line in plan.lines if (line.section, line.supervision) == (MAIN, supervision)]
        answers = [graph.jobs[line.scores[0]].inputs["answers0"] for line in lines]
        return {
            tuple(sorted((role, graph.keys[name]) for role, name in graph.jobs[job].inputs.items())) for job in answers
        }

    weak, annotated = targets("transcripts"), targets("annotations")
    assert len(weak) == len(targets("transcripts (HAL teacher)")) == len(annotated) == 1
    assert [role for role, _ in next(iter(weak))] == ["clips", "labels"]
    assert [role for role, _ in next(iter(annotated))] == ["clips"]  # never labels of an alignment
    assert weak != annotated


def test_a_student_without_changes_is_trained_once() -> None:
    plan = tabletop()
    graph = Graph(plan.jobs)
    weak = [line for line in plan.lines if line.supervision == WEAK and line.system.startswith("student")]
    keys = {line.system: graph.keys[graph.jobs[line.scores[0]].inputs["answers0"]] for line in weak}
    same = ("student, lag 4", "student, commit", "student, RG-LRU, differences 1 and 4")  # the last: RUN's own trunk
    assert all(keys["student"] == keys.pop(name) for name in same)
    others = {name: key for name, key in keys.items() if name != "student"}
    assert len(others) >= 10
    assert keys["student"] not in others.values()


def test_a_setting_moves_only_what_depends_on_it() -> None:
    def keys(**changes: Any) -> dict[str, Any]:
        graph = Graph(tabletop(run=merged(RUN, changes)).jobs)
        return {
            "student": graph.keys["tabletop: train student, transcripts, seed 0"],
            "GRU": graph.keys["tabletop: train GRU, transcripts, seed 0"],
            "eye": graph.keys["tabletop: train eye, transcripts, seed 0"],
        }

    def moved(**changes: Any) -> set[Any]:
        before, after = keys(), keys(**changes)
        return {name for name in before if before[name] != after[name]}

    assert moved(losses={"slowness": 0.5}) == {"student"}
    assert moved(eye={"epochs": 3}) == {"student", "GRU", "eye"}
    longer = {"gru": {"epochs": 11, "width": 128}}
    assert Graph(tabletop(presets=longer).jobs).keys["tabletop: train GRU, transcripts, seed 0"] != keys()["GRU"]
    assert moved(data={"processes": 7, "cache": "elsewhere"}, name="other") == set()


SINCE = (
    "transcripts + ",
    "MiniROAD",
    "OnlineTAS",
    "ProTAS",
    "train ASFormer",
    "score ASFormer",
    "DiffAct",
    "measure costs",
)
SINCE_OF_GESTURES = ("gesture_phase: train MS-TCN", "gesture_phase: score MS-TCN")
"""Jobs that 0.1.0 did not have, by what stands in their names."""


def test_a_store_of_before_is_not_computed_anew() -> None:
    """Whoever changes what the jobs do changes these; whoever only adds tables does not."""
    found = [
        sorted(
            (name, key)
            for name, key in Graph(plan.jobs).keys.items()
            if not any(new in name for new in (*SINCE, *SINCE_OF_GESTURES))
        )
        for plan in (tabletop(), gesture_phase())
    ]
    digests = [hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:12] for keys in found]
    assert digests == ["2751c894ba9a", "e4b16d395a3f"]


def test_actions_that_are_scored_by_themselves_are_known_by_their_ids() -> None:
    declared = {**DECLARED["tabletop"], "recall": {"actions": ["place", "move"], "splits": ["test", "unseen"]}}
    scores = [job.settings for job in tabletop(declared).jobs if job.kind == "score"]
    assert all(each["recall"] == {"actions": {"place": 2, "move": 0}, "splits": ["test", "unseen"]} for each in scores)
    declared = {**declared, "recall": {"actions": ["pour"], "splits": ["test"]}}
    with pytest.raises(ConfigError, match="recall of 'pour': is no action; expected some of move, pick, place"):
        tabletop(declared)


def test_folds_are_scored_together_and_share_no_clips() -> None:
    plan = gesture_phase()
    graph = Graph(plan.jobs)
    (line,) = [line for line in plan.lines if (line.system, line.supervision) == ("student", "annotations")]
    answers = list(graph.jobs[line.scores[0]].inputs.values())
    assert len(answers) == 3
    assert len({graph.jobs[job].inputs["clips"] for job in answers}) == 3


def test_only_teachers_and_offline_models_are_references() -> None:
    lines = {line.system for line in tabletop().lines if line.section == REFERENCES}
    assert lines == {"teacher without HAL", "HAL teacher", "ATBA teacher", "MS-TCN", "ASFormer", "DiffAct"}


def test_the_cost_of_a_tick_is_measured_of_all_systems_in_one_job() -> None:
    plan = tabletop()
    (cost,) = [job for job in plan.jobs if job.kind == "cost"]
    assert plan.cost == cost.name
    lines = {line.system for line in plan.lines if line.section != CURVE}
    realigned = {name for name in lines if "realigned" in name}
    assert set(cost.settings["systems"]) == lines - realigned
    kinds = {name: system["kind"] for name, system in cost.settings["systems"].items()}
    assert (kinds["student"], kinds["HAL teacher"], kinds["DiffAct"]) == ("student", "teacher", "baseline")
    (trained,) = [job for job in plan.jobs if job.name == "tabletop: train GRU, transcripts, seed 0"]
    assert cost.settings["systems"]["GRU"] == {"kind": "baseline", **trained.settings}
    assert gesture_phase().cost


def test_quick_is_one_seed_of_the_same_lines() -> None:
    quick = tabletop(quickened(DECLARED["tabletop"], DECLARED["quick"]))
    assert {(line.section, line.system) for line in quick.lines} == {
        (line.section, line.system) for line in tabletop().lines
    }
    assert all(len(line.scores) == 1 for line in quick.lines)
    (gru, *_) = [job for job in quick.jobs if job.settings.get("system") == "gru"]
    assert gru.settings["preset"] == {"epochs": 1, "least_batches": 1, "width": 128}


def test_every_declared_setting_is_one_that_its_stage_knows() -> None:
    for plan in (tabletop(), gesture_phase()):
        configs = [job.settings["config"] for job in plan.jobs if "config" in job.settings]
        assert configs
        for config in configs:
            config_from_mapping(config)  # raises for an unknown or mistyped key
    student = [job.settings["config"] for job in tabletop().jobs if job.kind == "student"]
    reaches = {sum(ticks - 1 for ticks in config["model"]["lookback"]) for config in student}
    assert len(reaches) == 1  # a flat band sees as far back as the pyramid


def test_a_stage_gets_its_own_settings_and_no_more() -> None:
    config = stage_config(RUN, "student", 2)
    assert config["seed"] == 2
    assert "eye" not in config and "folder" not in config["data"]
    assert "encoder" not in config["data"]
    own = {**RUN, "data": {**RUN["data"], "encoder": "onnx:mine.onnx"}}
    assert stage_config(own, "eye", 0)["data"]["encoder"] == "onnx:mine.onnx"
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}) == {"a": {"b": 3, "c": 2}}


def test_every_job_is_of_a_known_kind_and_reads_what_its_kind_reads() -> None:
    for plan in (tabletop(), gesture_phase()):
        for job in plan.jobs:
            kind_of(job, job.inputs)  # raises for an unknown kind, and for inputs that it does not take


@pytest.mark.torch
def test_named_streams_are_part_of_what_a_job_depends_on() -> None:
    pytest.importorskip("torch")
    from hal_ros.experiments.jobs.systems import joints_in

    plain = [job for job in tabletop().jobs if "config" in job.settings or "joints" in job.settings]
    assert not [job for job in plain if "streams" in job.settings.get("config", job.settings).get("data", job.settings)]
    streams = {"clock": "", "cameras": {"front": {"topic": ["/front"]}}, "states": {"arm": {"names": ["a", "finger"]}}}
    run = {**RUN, "data": {**RUN["data"], "streams": streams}}
    named = {job.name: job for job in tabletop(run=run).jobs}
    for job in plain:
        given = named[job.name].settings
        assert given["config"]["data"]["streams"] == streams if "config" in given else given["streams"] == streams
    rule = next(job.settings for job in named.values() if job.settings.get("system") == "rule")
    assert joints_in(rule).names == ("a", "finger")


def told(**blocks: Any) -> TablePlan:
    declared = {key: DECLARED["tabletop"][key] for key in ("teachers", "decoder", "score")}
    return tabletop({**declared, "seeds": [0, 1], "systems": ["student", "gru"], "blocks": blocks})


def test_all_of_a_block_learn_what_it_tells_and_another_seed_draws_anew() -> None:
    plan = told(three={"teacher": "plain", "annotated": 3}, five={"teacher": "plain", "marks": 5, "systems": ["gru"]})
    graph = Graph(plan.jobs)
    lines = [(line.section, line.system, line.supervision) for line in plan.lines]
    teacher = "teacher without HAL"
    assert lines == [
        (MAIN, "student", "three"),
        (MAIN, "GRU", "three"),
        (REFERENCES, teacher, "three"),
        (MAIN, "GRU", "five"),
        (REFERENCES, teacher, "five"),
    ]
    shown = {}
    for line in plan.lines:
        for seed, job in enumerate(line.scores):
            made = graph.needed_for([job]).jobs.values()
            (first,) = {str(one.settings["told"]) for one in made if one.kind == "first"}
            assert sum(one.kind == "eye" for one in made) == sum(one.kind == "teacher" for one in made) == 1
            shown[line.supervision, seed] = first
    assert shown["three", 1] == str({"annotated": 3, "marks": 0, "seed": 1})
    assert shown["five", 0] == str({"annotated": 0, "marks": 5, "seed": 0})
    assert len(set(shown.values())) == 4


def test_weights_of_targets_are_part_of_what_makes_them() -> None:
    plan = tabletop(run=merged(RUN, {"teacher": {"doubt_discount": 1.0}}))
    first, *_ = [job for job in Graph(plan.jobs).jobs.values() if job.kind == "first"]
    assert first.settings["weights"] == {"doubt_discount": 1.0}


def test_the_decoder_is_the_runs_where_the_data_set_says_none() -> None:
    declared = {key: value for key, value in DECLARED["gesture_phase"].items() if key not in ("decoder", "split_names")}
    scores = [job for job in tabletop(declared, merged(RUN, {"decoder": "auto"})).jobs if job.kind == "score"]
    assert {job.settings["decoder"] for job in scores} == {"auto"}
