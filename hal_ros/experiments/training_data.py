"""What systems are trained on: clips with what their columns mean, kept in files, and the targets beside them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.streams.columns import ValueGroups
from hal_ros.core.streams.spec import JOINT_FIELDS
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.config import TRAINING, VALIDATION
from hal_ros.experiments.files import ABOUT, MINUTES, split_file
from hal_ros.labels.reveal import person_minutes
from hal_ros.labels.targets import Targets, load_targets, of_annotations
from hal_ros.train.clips import AttendedClips, Columns, Supervised

MASKED = "numb"
"""The eyes' output with masked states, by the name under which stores of 0.1.0 hold it; `seen` is its width there."""
STATES_MASKED = "states_masked"
"""Likewise with each of several states masked."""
VALUES_PER_JOINT = len(JOINT_FIELDS)


@dataclass(frozen=True)
class AboutClips:
    """What is true of all clips of a folder."""

    vocabulary: tuple[str, ...]
    columns: Columns
    rate_hz: float
    splits: tuple[str, ...]  # training, validation, then those to be scored

    @property
    def actions(self) -> int:
        """K."""
        return len(self.vocabulary)


def save_clips(folder: Path, about: AboutClips, clips: Mapping[str, AttendedClips]) -> None:
    """Write <split>.npz for each split, and about.json."""
    for split, attended in clips.items():
        columns: dict[str, Any] = {"names": np.array([clip.name for clip in attended.clips], dtype=str)}
        for index, clip in enumerate(attended.clips):
            columns[f"{index}/inputs"] = np.asarray(clip.inputs, np.float32)
            columns[f"{index}/actions"] = np.asarray(clip.actions, np.int64)
            columns[f"{index}/transcript"] = np.asarray(clip.transcript, np.int64)
            if clip.name in attended.joints_masked:
                columns[f"{index}/{MASKED}"] = attended.joints_masked[clip.name]
            if clip.name in attended.states_masked:
                columns[f"{index}/{STATES_MASKED}"] = attended.states_masked[clip.name]
        _write(folder / split_file(split), columns)
    columns_json = _columns_to_json(about.columns)
    (folder / ABOUT).write_text(json.dumps(dataclasses.asdict(about) | {"columns": columns_json}, indent=1))


def load_about(folder: Path) -> AboutClips:
    """Read what save_clips wrote of all clips."""
    found = json.loads((folder / ABOUT).read_text())
    return AboutClips(
        tuple(found["vocabulary"]), _columns_from_json(found["columns"]), found["rate_hz"], tuple(found["splits"])
    )


def _columns_to_json(columns: Columns) -> dict[str, Any]:
    """Return what stores of 0.1.0 hold of the columns, and more only for robots that there were not then."""
    joints = columns.values // VALUES_PER_JOINT
    plain = columns.groups == _joint_groups(joints)
    found: dict[str, Any] = {"seen": columns.attended, "values": columns.values, "joints": joints if plain else 0}
    if columns.groups.names and not plain:
        found |= {"names": columns.groups.names, "states": columns.groups.states}
    return found | ({} if columns.cameras == 1 else {"cameras": columns.cameras})


def _columns_from_json(found: Mapping[str, Any]) -> Columns:
    groups = _joint_groups(found["joints"])
    if "names" in found:
        groups = ValueGroups(tuple(found["names"]), tuple(found["states"]))
    return Columns(found["seen"], found["values"], groups, found.get("cameras", 1))


def _joint_groups(joints: int) -> ValueGroups:
    """Return the groups of a robot with one topic of J joints."""
    return ValueGroups(VALUES_PER_JOINT * tuple(range(joints)), (0,) * VALUES_PER_JOINT * joints)


def load_clips(folder: Path, split: str) -> AttendedClips:
    """Read one split."""
    clips, joints_masked, states_masked = [], {}, {}
    with np.load(folder / split_file(split)) as file:
        present = set(file.files)
        for index, name in enumerate(file["names"].tolist()):
            transcript = tuple(file[f"{index}/transcript"].tolist())
            clips.append(Clip(name, file[f"{index}/inputs"], file[f"{index}/actions"], transcript))
            if f"{index}/{MASKED}" in present:
                joints_masked[name] = file[f"{index}/{MASKED}"]
            if f"{index}/{STATES_MASKED}" in present:
                states_masked[name] = file[f"{index}/{STATES_MASKED}"]
    return AttendedClips(clips, joints_masked, states_masked)


# --- with targets -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainingData:
    """What every system of a block is trained on: the same clips and the same targets."""

    about: AboutClips
    clips: Mapping[str, AttendedClips]
    labels: Targets
    minutes: float = 0.0  # of a person, for what is told beside transcripts

    @property
    def training(self) -> Supervised:
        """Soft targets where there are some."""
        targets = {**self.labels.training, **self.labels.soft}
        return self.clips[TRAINING].supervised(targets, self.about.columns.groups, self.labels.weights)

    @property
    def validation(self) -> Supervised:
        """Labels that epochs and decoders are chosen by."""
        return self.clips[VALIDATION].supervised(self.labels.validation, self.about.columns.groups)


def load_training_data(clips: Path, labels: Path | None, modalities: str = "both") -> TrainingData:
    """Read a block's clips and targets; without `labels` the annotations are the targets.

    With `labels` nobody sees an annotation of a training or validation clip, and those without a target are left out.
    """
    about = load_about(clips)
    splits = {split: restrict(load_clips(clips, split), about.columns, modalities) for split in about.splits}
    if labels is None:
        told = [*splits[TRAINING].clips, *splits[VALIDATION].clips]
        targets = of_annotations(splits[TRAINING].clips, splits[VALIDATION].clips)
        return TrainingData(about, splits, targets, person_minutes(told, 1 / about.rate_hz))
    targets = load_targets(labels)
    named = {TRAINING: targets.training, VALIDATION: targets.validation}
    hidden = {split: without_annotations(splits[split], names) for split, names in named.items()}
    said = json.loads((labels / ABOUT).read_text()) if (labels / ABOUT).exists() else {}
    return TrainingData(about, {**splits, **hidden}, targets, said.get(MINUTES, 0.0))


def without_annotations(attended: AttendedClips, names: Collection[str]) -> AttendedClips:
    """Return the clips of these names as one has them under transcripts: no tick is annotated."""
    kept = [clip for clip in attended.clips if clip.name in names]
    clips = [dataclasses.replace(clip, actions=np.full(clip.ticks, NO_ACTION)) for clip in kept]
    return dataclasses.replace(attended, clips=clips)


def restrict(attended: AttendedClips, columns: Columns, modalities: str) -> AttendedClips:
    """Return the clips as one without cameras ("joints") or without states ("camera") would have them."""
    if modalities == "both" or not (columns.eyes and columns.values):
        return attended
    clips, at = [], columns.places
    for clip in attended.clips:
        inputs = np.array(clip.inputs)
        if modalities == "joints":
            inputs[:, at.attended] = inputs[:, at.image_valid] = 0
        else:
            inputs[:, at.attended] = attended.joints_masked[clip.name]
            inputs[:, at.joints] = inputs[:, at.joints_valid] = 0
        clips.append(dataclasses.replace(clip, inputs=inputs))
    joints_masked = (
        {name: np.zeros_like(part) for name, part in attended.joints_masked.items()}
        if modalities == "joints"
        else attended.joints_masked
    )
    return AttendedClips(clips, joints_masked)


def _write(path: Path, columns: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez(file, **columns)
