"""From config/tables.yaml to jobs: what is trained, from what, and which lines of the tables it makes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hal_ros.core.errors import ConfigError
from hal_ros.experiments.blocks import ANNOTATED, TRANSCRIPTS_ALONE, WEAK, TableBlock, measured_under, read_blocks
from hal_ros.experiments.graph import Job
from hal_ros.experiments.kinds import Places
from hal_ros.train.config import in_saved_names

TABLETOP, GESTURE_PHASE, STREAMS, OTHER_ROBOTS = "tabletop", "gesture_phase", "streams", "other_robots"
OWN = "own"
"""The table of one's own data, which is no declared data set."""
DATASETS = (TABLETOP, GESTURE_PHASE, STREAMS, OTHER_ROBOTS)
NAMES = {
    "student": "student",
    "rule": "gripper rule",
    "logistic": "logistic",
    "gru": "GRU",
    "causal_tcn": "causal TCN",
    "causal_asformer": "causal ASFormer",
    "mini_road": "MiniROAD",
    "mini_road_small": "MiniROAD, small",
    "online_tas": "OnlineTAS",
    "pro_tas": "ProTAS",
    "ms_tcn": "MS-TCN",
    "asformer": "ASFormer",
    "diffact": "DiffAct",
    "plain": "teacher without HAL",
    "hal": "HAL teacher",
    "atba": "ATBA teacher",
}
"""What the tables call systems and teachers."""
MAIN, REFERENCES, ABLATIONS, CURVE = "main", "references", "ablations", "curve"
NOTHING_ELSE: Mapping[str, Any] = {}
SECTIONS = (MAIN, REFERENCES, ABLATIONS, CURVE)
DECODERS = ("duration", "hysteresis", "argmax")

# What each stage depends on, of a training configuration: a change elsewhere leaves its results as they are.
DATA = ("joints", "joints_max_age_s", "image_size_px", "encoder_stage", "rate_hz", "max_held_ticks")
STREAM = ("joints", "rate_hz", "lag_ticks", "max_held_ticks")
STAGES: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "eye": (("eye",), DATA),
    "teacher": (("teacher",), ("joints", "rate_hz")),
    "student": (("model", "batches", "optimiser", "losses"), STREAM),
}

WHOLE_RUN = ("name", "seed", "threads", "supervision", "decoder")
"""Settings of a run that are of no single stage; the tables set them in their own ways."""


@dataclass(frozen=True)
class Line:
    """One row of the tables: the scoring jobs of its seeds."""

    section: str
    system: str
    supervision: str
    scores: tuple[str, ...]


@dataclass
class TablePlan:
    """All jobs of one data set, in the order of their importance, and the lines that they make."""

    dataset: str
    jobs: list[Job] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    cost: str = ""  # the job that measures what a tick of each system costs; "" in a plan without one
    blocks: Mapping[str, TableBlock] = field(default_factory=dict)

    def add(self, kind: str, name: str, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
        """Add a job; returns its name, in which the data set's comes first."""
        job = Job(f"{self.dataset}: {name}", kind, settings, inputs)
        self.jobs.append(job)
        return job.name


@dataclass(frozen=True)
class Experiment:
    """One data set's plan, where its data lie, and what its documents need to know."""

    plan: TablePlan
    places: Places
    vocabulary: tuple[str, ...]
    period_ns: int
    aims: str = ""  # the split on which the aims are judged; "" where nothing was aimed at
    table: str = ""  # the document that it shares with others; "" where it has one of its own
    part: str = ""  # what it is called there
    episodes: int = 0  # to learn from, where experiments on several numbers of them make a learning curve

    @property
    def name(self) -> str:
        """The data set's."""
        return self.plan.dataset


@dataclass(frozen=True)
class SystemVariant:
    """A system under one supervision, and in what it differs from the declared run."""

    name: str
    supervision: str
    system: str
    run: Mapping[str, Any] = field(default_factory=dict)  # over the run's settings
    training: Mapping[str, Any] = field(default_factory=dict)  # beside those of the training jobs
    score: Mapping[str, Any] = field(default_factory=dict)  # over those of the scoring jobs


def merged(base: Mapping[str, Any], *overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings with others put over them."""
    found: dict[str, Any] = copy.deepcopy(dict(base))
    for override in overrides:
        for key, value in override.items():
            nested = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
            found[key] = merged(found[key], value) if nested else copy.deepcopy(value)
    return found


def stage_config(run: Mapping[str, Any], stage: str, seed: int) -> dict[str, Any]:
    """Return the part of a run's settings that a stage depends on, with its seed.

    Raises ConfigError for a section that no run has: it would be left out unnoticed.
    """
    sections, data = STAGES[stage]
    known = {*WHOLE_RUN, "data", *(name for part, _ in STAGES.values() for name in part)}
    if unknown := sorted(run.keys() - known):
        raise ConfigError(f"{unknown[0]} is no part of a run's settings; expected one of {', '.join(sorted(known))}")
    found = in_saved_names({name: run[name] for name in sections if name in run})
    return {**found, "data": data_settings(run, data), "seed": seed, "threads": run["threads"]}


def data_settings(run: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the part of a run's data settings that goes by these names, and the streams where some are named."""
    data = run["data"]
    found = {name: data[name] for name in names} | {name: data[name] for name in ("encoder", "streams") if name in data}
    return dict(in_saved_names({"data": found})["data"])


class Builder:
    """Makes the plan of one data set from its part of the declaration and a run's settings."""

    def __init__(
        self,
        dataset: str,
        declared: Mapping[str, Any],
        run: Mapping[str, Any],
        folds: Mapping[str, Mapping[str, Any]],
        presets: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """`folds` holds, by name, what tells the data of each: one for a fixed split, several for cross-validation.

        `presets` are the settings of the learned baselines.
        """
        self.declared, self.run, self.folds, self.presets = declared, run, folds, presets
        self.blocks = read_blocks(declared)
        self.plan = TablePlan(dataset, blocks=self.blocks)
        self.measured: dict[str, Mapping[str, Any]] = {}  # what is to be measured of each system, by its line's name
        self.lag_ticks: int = run["data"]["lag_ticks"]

    def build(self) -> TablePlan:
        """Return all jobs and lines, the main table first."""
        for block in self.blocks.values():
            for system in block.systems:
                self._line(MAIN, SystemVariant(NAMES[system], block.name, system))
            if block.name == WEAK:
                self._references()
            elif block.is_told and not block.mixed:  # for the score of its targets, which hide no tick from a mixed one
                self._teacher_line(REFERENCES, NAMES[block.teacher or ""], block)
        self._ablations()
        if self.declared.get("costs", True):
            self._measure()
        self._curve()
        return self.plan

    def _references(self) -> None:
        for teacher in self.declared["teachers"]:
            self._teacher_line(REFERENCES, NAMES[teacher], replace(TRANSCRIPTS_ALONE, teacher=teacher))
        for system in self.declared.get("offline", ()):
            for supervision in (WEAK, ANNOTATED):
                self._line(REFERENCES, SystemVariant(NAMES[system], supervision, system))

    def _ablations(self) -> None:
        ablations = self.declared.get("ablations", {})
        for name, override in ablations.get("student", {}).items():
            self._line(ABLATIONS, SystemVariant(f"student, {name}", WEAK, "student", run=override))
        for modalities in ablations.get("modalities", ()):
            training = {"modalities": modalities}
            self._line(ABLATIONS, SystemVariant(f"student, {modalities} only", WEAK, "student", training=training))
        for name, override in ablations.get("teacher", {}).items():
            block = replace(TRANSCRIPTS_ALONE, teacher="hal")
            self._teacher_line(ABLATIONS, f"HAL teacher, {name}", block, override)
        for name, alignment in ablations.get("alignment", {}).items():
            self._realigned(f"HAL teacher, {name}", alignment)

    def _curve(self) -> None:
        for lag in self.declared.get("lags", ()):
            override = {"data": {"lag_ticks": lag}}
            self._line(CURVE, SystemVariant(f"student, lag {lag}", WEAK, "student", run=override))
        if thresholds := self.declared.get("commit_thresholds"):
            score = {"thresholds": thresholds, "decoder": "duration"}
            self._line(CURVE, SystemVariant("student, commit", WEAK, "student", score=score))

    def _measure(self) -> None:
        """Add the job that measures the lines so far, whose shapes no seed and no supervision changes."""
        block = measured_under([*self.blocks.values()])
        clips = self._clips(block, next(iter(self.folds)), self.declared["seeds"][0])
        self.plan.cost = self.plan.add("cost", "measure costs", {"systems": self.measured}, {"clips": clips})
        self.measured = {}

    # --- one line: its seeds, and each seed's folds -------------------------------------------------------------------

    def _line(self, section: str, variant: SystemVariant) -> None:
        scores = []
        lag_ticks = merged(self.run, variant.run)["data"]["lag_ticks"]
        if variant.name not in self.measured:  # under whichever supervision, it has the same shape
            kind, settings = self._training(variant, self.declared["seeds"][0])
            self.measured[variant.name] = {"kind": kind, **settings}
        for seed in self.declared["seeds"]:
            answers = []
            for fold in self.folds:
                what = f"{variant.name}, {variant.supervision}, {_place(fold, seed)}"
                inputs = self._material(self.blocks[variant.supervision], fold, seed)
                kind, settings = self._training(variant, seed)
                answers.append(self.plan.add(kind, f"train {what}", settings, inputs))
            name = f"score {variant.name}, {variant.supervision}, seed {seed}"
            scores.append(self._score(name, answers, lag_ticks, variant.score))
        self.plan.lines.append(Line(section, variant.name, variant.supervision, tuple(scores)))

    def _teacher_line(
        self, section: str, name: str, block: TableBlock, override: Mapping[str, Any] = NOTHING_ELSE
    ) -> None:
        scores, told = [], f", {block.name}" if block.is_told else ""
        run = merged(self.run, self.declared["teachers"][block.teacher], override)
        self.measured[name] = {"kind": "teacher", "config": stage_config(run, "teacher", self.declared["seeds"][0])}
        for seed in self.declared["seeds"]:
            answers = [self._teacher(block, fold, seed, override, name) for fold in self.folds]
            scores.append(self._score(f"score {name}{told}, seed {seed}", answers, self.lag_ticks, {}))
        self.plan.lines.append(Line(section, name, block.name, tuple(scores)))

    def _realigned(self, name: str, alignment: Mapping[str, Any]) -> None:
        """Add a line for the HAL teacher's targets by another alignment; its answers are the same."""
        scores, block = [], replace(TRANSCRIPTS_ALONE, teacher="hal")
        settings = {**alignment, **data_settings(self.run, ["joints"])}
        for seed in self.declared["seeds"]:
            aligned = []
            for fold in self.folds:
                inputs = {
                    "clips": self._clips(block, fold, seed),
                    "teacher": self._teacher(block, fold, seed, {}, NAMES["hal"]),
                }
                aligned.append(self.plan.add("realign", f"align {name}, {_place(fold, seed)}", settings, inputs))
            scores.append(self._score(f"score {name}, seed {seed}", aligned, self.lag_ticks, {"splits": []}))
        self.plan.lines.append(Line(ABLATIONS, name, WEAK, tuple(scores)))

    def _score(self, name: str, answers: Sequence[str], lag_ticks: int, more: Mapping[str, Any]) -> str:
        settings = {
            "splits": self.declared["score"],
            "decoder": self.declared.get("decoder", self.run["decoder"]),
            "kinds": DECODERS,
            "lag_ticks": lag_ticks,
            **{name: self.declared[name] for name in ("unscored",) if name in self.declared},
            **self._recall(),
            **more,
        }
        return self.plan.add("score", name, settings, {f"answers{n}": answer for n, answer in enumerate(answers)})

    def _recall(self) -> dict[str, Any]:
        """Return which actions are scored by themselves, by their ids, and on which splits; mostly none."""
        if "recall" not in self.declared:
            return {}
        recall, (fold, *_) = self.declared["recall"], self.folds.values()
        vocabulary = fold["vocabulary"]
        if unknown := sorted(set(recall["actions"]) - set(vocabulary)):
            raise ConfigError(f"recall of {unknown[0]!r}: is no action; expected some of {', '.join(vocabulary)}")
        actions = {action: vocabulary.index(action) for action in recall["actions"]}
        return {"recall": {"actions": actions, "splits": recall["splits"]}}

    def _training(self, variant: SystemVariant, seed: int) -> tuple[str, dict[str, Any]]:
        """Return the kind and the settings of the job that trains it."""
        system = variant.system
        if system == "student":
            config = stage_config(merged(self.run, variant.run), "student", seed)
            return "student", {"config": config, **variant.training}
        settings = {"system": system, "seed": seed, "lag_ticks": self.lag_ticks}
        if system == "rule":
            settings |= data_settings(self.run, ["joints"])
        elif system in self.presets:
            settings["preset"] = merged(self.presets[system], self.declared.get("preset", {}))
        return "baseline", {**settings, **variant.training}

    # --- what systems are trained on ----------------------------------------------------------------------------------

    def _material(self, block: TableBlock, fold: str, seed: int) -> dict[str, str]:
        clips = self._clips(block, fold, seed)
        if block.teacher is None:
            return {"clips": clips}
        return {"clips": clips, "labels": self._teacher(block, fold, seed, {}, NAMES[block.teacher])}

    def _teacher(self, block: TableBlock, fold: str, seed: int, override: Mapping[str, Any], name: str) -> str:
        run = merged(self.run, self.declared["teachers"][block.teacher], override)
        inputs = {"clips": self._clips(block, fold, seed), "first": self._first(block, fold, seed)}
        config, told = stage_config(run, "teacher", seed), f", {block.name}" if block.is_told else ""
        return self.plan.add("teacher", f"train {name}{told}, {_place(fold, seed)}", {"config": config}, inputs)

    def _clips(self, block: TableBlock, fold: str, seed: int) -> str:
        """Return the job whose clips have the columns that sequence models read."""
        data = self.folds[fold]
        if self.has_columns:
            return self.plan.add(self.declared.get("reader", "columns"), f"read {fold}", data, {})
        config = {"config": stage_config(self.run, "eye", seed), **data}
        inputs = {} if block.teacher is None else {"labels": self._first(block, fold, seed)}
        return self.plan.add("eye", f"train eye, {block.source}, {_place(fold, seed)}", config, inputs)

    def _first(self, block: TableBlock, fold: str, seed: int) -> str:
        """Return the job of the first labels; nothing is random in it but what is told beside the transcripts."""
        parts = ["first labels", *((block.name, _place(fold, seed)) if block.is_told else (fold,) if fold else ())]
        name, told = ", ".join(parts), {**block.told(seed), **self._weighed()}
        if self.has_columns:
            return self.plan.add("first", name, told, {"clips": self._clips(block, fold, 0)})
        config = {"data": data_settings(self.run, DATA)}
        return self.plan.add("first", name, {"config": config, **told, **self.folds[fold]}, {})

    def _weighed(self) -> dict[str, Any]:
        """Return the settings of how much targets weigh where not all is told, as far as they differ from before."""
        teacher = in_saved_names({"teacher": self.run["teacher"]})["teacher"]
        weights = {name: teacher[name] for name in ("doubt_discount", "pseudo_labels") if name in teacher}
        return {"weights": weights} if weights else {}

    @property
    def has_columns(self) -> bool:
        """Tell whether the data are feature vectors already, with nothing to look at."""
        return "split_names" in self.declared


def _place(fold: str, seed: int) -> str:
    return f"{fold}, seed {seed}" if fold else f"seed {seed}"


def quickened(declared: Mapping[str, Any], quick: Mapping[str, Any]) -> dict[str, Any]:
    """Return a data set's declaration with one seed and short baselines; the run's settings are shortened apart."""
    return {**declared, "seeds": quick["seeds"], "preset": quick["preset"]}
