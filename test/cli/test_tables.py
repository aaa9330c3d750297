"""The tables' declaration as a graph of jobs, and scoring from stored answers to documents."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from hal_ros.experiments import report as table_report
from hal_ros.experiments.graph import Graph, Job, Store
from hal_ros.experiments.plan import (
    ABLATIONS,
    CURVE,
    MAIN,
    REFERENCES,
    SECTIONS,
    WEAK,
    Builder,
    Line,
    Plan,
    merged,
    quickened,
    stage_config,
)
from hal_ros.experiments.report import Results
from hal_ros.experiments.runner import SCORES, load_fitted, score
from hal_ros.labels.files import Labels, load_labels, save_labels
from hal_ros.metrics import answer_files
from hal_ros.metrics.answer_files import ClipAnswers, Latents
from hal_ros.train.config import TrainConfig, config_from_mapping

DECLARED = yaml.safe_load((Path(__file__).parents[2] / "config" / "tables.yaml").read_text())
RUN = dataclasses.asdict(TrainConfig())
VOCABULARY = ("move", "pick", "place")
LAG = 4
PRESETS = {"gru": {"epochs": 10, "width": 128}}


def tabletop(declared=DECLARED["tabletop"], run=RUN, presets=PRESETS) -> Plan:
    return Builder(
        "tabletop", declared, run, {"": {"episodes": "abc", "vocabulary": list(VOCABULARY)}}, presets
    ).build()


def gesture_phase() -> Plan:
    declared = DECLARED["gesture_phase"]
    folds = {f"split {name}": {"split": name} for name in declared["split_names"]}
    return Builder("gesture_phase", declared, RUN, folds, PRESETS).build()


# --- the declaration --------------------------------------------------------------------------------------------------


def test_the_declaration_makes_a_graph_in_which_every_line_has_its_seeds():
    for plan in (tabletop(), gesture_phase()):
        graph = Graph(plan.jobs)
        assert {line.section for line in plan.lines} <= set(SECTIONS)
        for line in plan.lines:
            assert len(line.scores) == 3
            assert all(graph.jobs[job].kind == "score" for job in line.scores)


def test_the_main_table_has_all_systems_under_all_supervisions():
    lines = {(line.system, line.supervision) for line in tabletop().lines if line.section == MAIN}
    systems = ("student", "gripper rule", "logistic", "GRU", "causal TCN", "causal ASFormer")
    supervisions = ("transcripts", "transcripts (HAL teacher)", "annotations")
    assert lines == {(system, supervision) for system in systems for supervision in supervisions}


def test_all_systems_of_a_block_learn_from_the_same_targets():
    plan = tabletop()
    graph = Graph(plan.jobs)

    def targets(supervision):
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


def test_a_student_without_changes_is_trained_once():
    plan = tabletop()
    graph = Graph(plan.jobs)
    weak = [line for line in plan.lines if line.supervision == WEAK and line.system.startswith("student")]
    keys = {line.system: graph.keys[graph.jobs[line.scores[0]].inputs["answers0"]] for line in weak}
    assert keys["student"] == keys.pop("student, lag 4") == keys.pop("student, commit")
    others = {name: key for name, key in keys.items() if name != "student"}
    assert len(others) >= 10
    assert keys["student"] not in others.values()


def test_a_setting_moves_only_what_depends_on_it():
    def keys(**changes):
        graph = Graph(tabletop(run=merged(RUN, changes)).jobs)
        return {
            "student": graph.keys["tabletop: train student, transcripts, seed 0"],
            "GRU": graph.keys["tabletop: train GRU, transcripts, seed 0"],
            "eye": graph.keys["tabletop: train eye, transcripts, seed 0"],
        }

    def moved(**changes):
        before, after = keys(), keys(**changes)
        return {name for name in before if before[name] != after[name]}

    assert moved(losses={"slowness": 0.5}) == {"student"}
    assert moved(eye={"epochs": 3}) == {"student", "GRU", "eye"}
    longer = {"gru": {"epochs": 11, "width": 128}}
    assert Graph(tabletop(presets=longer).jobs).keys["tabletop: train GRU, transcripts, seed 0"] != keys()["GRU"]
    assert moved(data={"processes": 7, "cache": "elsewhere"}, name="other") == set()


def test_folds_are_scored_together_and_share_no_clips():
    plan = gesture_phase()
    graph = Graph(plan.jobs)
    (line,) = [line for line in plan.lines if (line.system, line.supervision) == ("student", "annotations")]
    answers = list(graph.jobs[line.scores[0]].inputs.values())
    assert len(answers) == 3
    assert len({graph.jobs[job].inputs["clips"] for job in answers}) == 3


def test_only_teachers_and_offline_models_are_references():
    lines = {line.system for line in tabletop().lines if line.section == REFERENCES}
    assert lines == {"teacher without HAL", "HAL teacher", "ATBA teacher", "MS-TCN"}


def test_quick_is_one_seed_of_the_same_lines():
    quick = tabletop(quickened(DECLARED["tabletop"], DECLARED["quick"]))
    assert {(line.section, line.system) for line in quick.lines} == {
        (line.section, line.system) for line in tabletop().lines
    }
    assert all(len(line.scores) == 1 for line in quick.lines)
    (gru, *_) = [job for job in quick.jobs if job.settings.get("system") == "gru"]
    assert gru.settings["preset"] == {"epochs": 1, "least_batches": 1, "width": 128}


def test_every_declared_setting_is_one_that_its_stage_knows():
    for plan in (tabletop(), gesture_phase()):
        configs = [job.settings["config"] for job in plan.jobs if "config" in job.settings]
        assert configs
        for config in configs:
            config_from_mapping(config)  # raises for an unknown or mistyped key
    student = [job.settings["config"] for job in tabletop().jobs if job.kind == "student"]
    reaches = {sum(ticks - 1 for ticks in config["model"]["lookback"]) for config in student}
    assert len(reaches) == 1  # a flat band sees as far back as the pyramid


def test_a_stage_gets_its_own_settings_and_no_more():
    config = stage_config(RUN, "student", 2)
    assert config["seed"] == 2
    assert "eye" not in config and "folder" not in config["data"]
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}) == {"a": {"b": 3, "c": 2}}


# --- from stored answers to documents ---------------------------------------------------------------------------------


def stored(folder: Path, sure: float, seed: int) -> None:
    """Write what a training would: right answers with noise on them, three clips a split."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    training = {}
    for split in ("train", "validation", "test", "unseen"):
        clips = []
        for number in range(3):
            truth = np.repeat(random.permutation(3).tolist() * 2, random.integers(8, 14, 6))
            order = tuple(truth[np.flatnonzero(np.diff(truth, prepend=-1))].tolist())
            training |= {f"{split}-{number}": (truth, order)} if split == "train" else {}
            logits = sure * np.eye(3)[truth] + random.normal(size=(len(truth), 3))
            log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
            lagged = np.concatenate([log_probs[:LAG], log_probs[:-LAG]])
            boundary = np.full(len(truth), 0.5)
            clips.append(ClipAnswers(f"{split}-{number}", truth, truth, order, log_probs, lagged, boundary))
        if split != "train":
            answer_files.save(folder / f"{split}.npz", clips)
            pairs = [(random.normal(size=(len(clip.truth), 4)), np.eye(3, 4)[clip.truth]) for clip in clips]
            latents = [Latents(clip.name, clip.truth, *pair) for clip, pair in zip(clips, pairs, strict=True)]
            answer_files.save_latents(folder / f"latents-{split}.npz", latents)
    save_labels(folder, Labels({name: truth for name, (truth, _) in training.items()}, {}, {}))
    about = {"parameters": 10, "ms per tick": 0.1, "training s": 1.0, "rate_hz": 10, "actions": 3, "lag_ticks": LAG}
    order = {"transcripts": {name: order for name, (_, order) in training.items()}}
    (folder / "about.json").write_text(json.dumps({**about, **order}))


SETTINGS = {
    "splits": ["test", "unseen"],
    "decoder": "duration",
    "kinds": ["duration", "hysteresis", "argmax"],
    "lag_ticks": LAG,
    "thresholds": [0.5],
}


def test_labels_come_back_from_their_file(tmp_path):
    labels = Labels(
        {"a": np.array([0, 1])}, {"b": np.array([2])}, {"a": np.array([[0.5, 0.5], [0.1, 0.9]], np.float32)}
    )
    save_labels(tmp_path, labels)
    after = load_labels(tmp_path)
    assert np.array_equal(after.training["a"], [0, 1]) and np.array_equal(after.validation["b"], [2])
    assert after.soft["a"].shape == (2, 2)


def test_scoring_chooses_decoders_on_validation_and_scores_every_output(tmp_path):
    stored(tmp_path / "a", 2.0, 0)
    score(SETTINGS, {"answers0": tmp_path / "a"}, tmp_path)
    found = json.loads((tmp_path / SCORES).read_text())
    outputs = {"provisional", "confirmed", "confirmed, hysteresis", "confirmed, argmax", "confirmed, commit 0.5"}
    assert set(found["unseen"]) == outputs
    assert found["unseen"]["confirmed"]["Edit"] > found["unseen"]["confirmed, argmax"]["Edit"]
    assert found["all"]["model"]["parameters"] == 10
    (fitted,) = load_fitted(tmp_path)
    assert fitted.specs["confirmed"].kind == "duration" and fitted.specs["confirmed"].priors is not None


def test_folds_are_scored_as_one_split(tmp_path):
    for name, sure in (("a", 9.0), ("b", 0.0)):
        stored(tmp_path / name, sure, 1)
        (tmp_path / f"score-{name}").mkdir()
        score(SETTINGS, {"answers0": tmp_path / name}, tmp_path / f"score-{name}")
    score(SETTINGS, {"answers0": tmp_path / "a", "answers1": tmp_path / "b"}, tmp_path)
    good, bad, both = (
        json.loads((tmp_path / place / SCORES).read_text())["test"]["provisional"]["MoF"]
        for place in ("score-a", "score-b", "")
    )
    assert bad < both < good


@pytest.fixture
def results(tmp_path) -> Results:
    """Return a small plan of which all is done but one baseline."""
    jobs, lines, sure = [], [], {"student": 3.0, "logistic": 1.5, "GRU": 1.0}
    for system in sure:
        scores = []
        for seed in range(2):
            jobs.append(Job(f"train {system} {seed}", "student", {"system": system, "seed": seed}))
            jobs.append(Job(f"score {system} {seed}", "score", SETTINGS, {"answers0": f"train {system} {seed}"}))
            scores.append(f"score {system} {seed}")
        lines.append(Line(MAIN, system, WEAK, tuple(scores)))
    lines.append(Line(CURVE, "student, lag 4", WEAK, lines[0].scores))
    lines.append(Line(ABLATIONS, "student, no gate", WEAK, lines[1].scores))
    graph, store = Graph(jobs), Store(tmp_path / "store")
    for seed in range(2):
        for system in ("student", "logistic"):
            train, folder = f"train {system} {seed}", store.path(graph, f"score {system} {seed}")
            stored(store.path(graph, train), sure[system], seed)
            folder.mkdir()
            score(SETTINGS, {"answers0": store.path(graph, train)}, folder)
            for done in (folder, store.path(graph, train)):
                (done / "job.json").write_text("{}")
    return Results("tabletop", Plan("tabletop", jobs, lines), graph, store, VOCABULARY, 100_000_000, "unseen")


def test_documents_hold_rows_tables_verdicts_and_pictures(results, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    table_report.write(tmp_path / "docs", results)
    said = capsys.readouterr().out
    assert "(100 - Edit): **holds**" in said
    assert "Edit: ahead of GRU by more than the larger std: **not measured**" in said
    rows = json.loads((tmp_path / "docs" / "tabletop.json").read_text())
    assert set(rows[0]) == {"system", "supervision", "split", "output", "metric", "mean", "std", "seeds"}
    text = (tmp_path / "docs" / "tabletop.md").read_text()
    for part in ("hal tables --dataset tabletop", "| GRU | transcripts | not finished |", "(b) Ablations", "no gate"):
        assert part in text
    assert "- GRU, transcripts: 2 of 2 seeds missing" in text
    for name in ("latency", "timelines", "latents", "changes"):
        assert f"(tabletop-{name}.svg)" in text
        assert (tmp_path / "docs" / f"tabletop-{name}.svg").exists()
