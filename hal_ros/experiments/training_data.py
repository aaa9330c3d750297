"""What systems are trained on: clips with what their columns mean, kept in files, and the targets beside them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hal_ros.core.answers import NO_ACTION
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.config import TRAINING, VALIDATION
from hal_ros.experiments.files import ABOUT, split_file
from hal_ros.labels.targets import Targets, load_targets, of_annotations
from hal_ros.train.clips import AttendedClips, Columns, Supervised

MASKED = "numb"
"""The eye's output with masked joints, by the name under which stores of 0.1.0 hold it; `seen` is its width there."""


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
        _write(folder / split_file(split), columns)
    columns_json = {"seen": about.columns.attended, "values": about.columns.values, "joints": about.columns.joints}
    (folder / ABOUT).write_text(json.dumps(dataclasses.asdict(about) | {"columns": columns_json}, indent=1))


def load_about(folder: Path) -> AboutClips:
    """Read what save_clips wrote of all clips."""
    found = json.loads((folder / ABOUT).read_text())
    columns = Columns(found["columns"]["seen"], found["columns"]["values"], found["columns"]["joints"])
    return AboutClips(tuple(found["vocabulary"]), columns, found["rate_hz"], tuple(found["splits"]))


def load_clips(folder: Path, split: str) -> AttendedClips:
    """Read one split."""
    clips, joints_masked = [], {}
    with np.load(folder / split_file(split)) as file:
        present = set(file.files)
        for index, name in enumerate(file["names"].tolist()):
            transcript = tuple(file[f"{index}/transcript"].tolist())
            clips.append(Clip(name, file[f"{index}/inputs"], file[f"{index}/actions"], transcript))
            if f"{index}/{MASKED}" in present:
                joints_masked[name] = file[f"{index}/{MASKED}"]
    return AttendedClips(clips, joints_masked)


# --- with targets -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainingData:
    """What every system of a block is trained on: the same clips and the same targets."""

    about: AboutClips
    clips: Mapping[str, AttendedClips]
    labels: Targets

    @property
    def training(self) -> Supervised:
        """Soft targets where there are some."""
        attended = self.clips[TRAINING]
        return Supervised(
            attended.clips, {**self.labels.training, **self.labels.soft}, joints_masked=attended.joints_masked
        )

    @property
    def validation(self) -> Supervised:
        """Labels that epochs and decoders are chosen by."""
        attended = self.clips[VALIDATION]
        return Supervised(attended.clips, self.labels.validation, joints_masked=attended.joints_masked)


def load_training_data(clips: Path, labels: Path | None, modalities: str = "both") -> TrainingData:
    """Read a block's clips and targets; without `labels` the annotations are the targets.

    With `labels` nobody sees an annotation of a training or validation clip.
    """
    about = load_about(clips)
    splits = {split: restrict(load_clips(clips, split), about.columns, modalities) for split in about.splits}
    if labels is None:
        return TrainingData(about, splits, of_annotations(splits[TRAINING].clips, splits[VALIDATION].clips))
    hidden = {split: without_annotations(splits[split]) for split in (TRAINING, VALIDATION)}
    return TrainingData(about, {**splits, **hidden}, load_targets(labels))


def without_annotations(attended: AttendedClips) -> AttendedClips:
    """Return the clips as one has them under transcripts: no tick is annotated."""
    clips = [dataclasses.replace(clip, actions=np.full(clip.ticks, NO_ACTION)) for clip in attended.clips]
    return dataclasses.replace(attended, clips=clips)


def restrict(attended: AttendedClips, columns: Columns, modalities: str) -> AttendedClips:
    """Return the clips as one without camera ("joints") or without joints ("camera") would have them."""
    if modalities == "both" or not columns.attended:
        return attended
    clips = []
    for clip in attended.clips:
        inputs = np.array(clip.inputs)
        if modalities == "joints":
            inputs[:, : columns.attended + 1] = 0
        else:
            inputs[:, : columns.attended] = attended.joints_masked[clip.name]
            inputs[:, columns.attended + 1 :] = 0
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
