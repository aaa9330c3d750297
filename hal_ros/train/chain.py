"""From episodes or feature vectors to a student, stage by stage: labels, eyes, clips, teacher, student (docs/adr/0004).

Every stage keeps its checkpoint in a folder of its own below the run's and is taken up again there; the labels that
the student learns lie in the run's folder. In transcript supervision no annotation is read, of validation clips
neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.core.streams.columns import groups_of
from hal_ros.core.work import Report
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.config import streams_of
from hal_ros.datasets.encoded_clips import EncodedClip, measure
from hal_ros.fit import checkpoint
from hal_ros.fit.loop import RunSession
from hal_ros.labels import targets as targets_file
from hal_ros.labels.targets import Targets
from hal_ros.labels.teacher.fit import Transcribed, align_clips, train_teacher
from hal_ros.labels.transcripts import first_labels as first
from hal_ros.labels.transcripts.first_inputs import first_input_clips
from hal_ros.nn.joint_guided_attention import Eye
from hal_ros.outside.reading import Expected, read_text
from hal_ros.train.clips import DIGEST_TICKS, Data, attended_clips, columns_of
from hal_ros.train.config import TRANSCRIPTS, TrainConfig
from hal_ros.train.encoders import grid_of
from hal_ros.train.eye import fit_eye, gather, new_eye
from hal_ros.train.stages import eye_folders, settings_sha256
from hal_ros.train.student import Trained, fit, new_model

TEACHER = "teacher"  # folder of the teacher's checkpoint in a run's
ORIGIN = "origin.txt"
ORIGIN_OF_RUN = Expected(DatasetError, "what a run was made from")


@dataclass(frozen=True)
class RunSettings:
    """What every stage of a run shares."""

    config: TrainConfig
    folder: Path
    report: Report = print

    def session(self, part: str = "") -> RunSession:
        """Return where a stage keeps its checkpoint: in the run's folder, or in `part` of it."""
        return RunSession(self.folder / part, self.report)


class LabelSource(Protocol):
    """Where the student's targets come from."""

    def fit(self, data: Data) -> Targets:
        """Return the labels of all clips that are to be learned or chosen by."""


@dataclass(frozen=True)
class Annotations:
    """What a person wrote."""

    def fit(self, data: Data) -> Targets:
        """Return the clips' own actions."""
        return targets_file.of_annotations(data.training.clips, data.validation.clips)


@dataclass(frozen=True)
class AlignedTranscripts:
    """What a teacher, trained from the first labels, says of the clips, with the transcripts laid over it."""

    run: RunSettings
    start: first.FirstLabels

    def fit(self, data: Data) -> Targets:
        """Train the teacher and align all clips."""
        config, training, validation = self.run.config, data.training.clips, data.validation.clips
        transcribed = Transcribed(data.actions, training, validation, self.start)
        teacher = train_teacher(config.teacher, transcribed, config.seed, self.run.session(TEACHER))
        return split_targets(align_clips(teacher, [*training, *validation]), training, validation)


@dataclass(frozen=True)
class Student:
    """The causal model that is to run on the robot."""

    run: RunSettings

    def fit(self, data: Data, labels: Targets) -> Trained:
        """Train it on given labels, and leave them beside it."""
        self.run.folder.mkdir(parents=True, exist_ok=True)
        targets_file.save_targets(self.run.folder, labels)
        model = new_model(self.run.config, data.actions, data.columns, data.training.clips)
        supervised = data.training.supervised(training_targets(labels), data.columns.groups)
        held_out = data.validation.supervised(labels.validation, data.columns.groups)
        return fit(self.run.config, model, supervised, held_out, self.run.session())


def train_on_encoded_clips(
    run: RunSettings, actions: int, training: Sequence[EncodedClip], validation: Sequence[EncodedClip]
) -> Trained:
    """Train each camera's eye, teacher (in transcript supervision) and student over K actions.

    Raises DatasetError when no training clip has a transcript, or in the other supervision an annotation.
    """
    config = run.config
    if config.supervision == TRANSCRIPTS:
        training, validation = (_with_transcripts(part, run.report) for part in (training, validation))
    _claim(run, actions, [*training, *validation])
    source: LabelSource = Annotations()
    labels = targets_file.of_annotations(training, validation)
    if config.supervision == TRANSCRIPTS:
        looks = [first_input_clips(part, grid_of(config.data), training=training) for part in (training, validation)]
        start = first.first_labels([*looks[0], *looks[1]], actions)
        source, labels = AlignedTranscripts(run, start), split_targets(start, *looks)
        run.report(f"first labels: {len(training)} training and {len(validation)} validation clips laid out")
    groups = groups_of(streams_of(config.data))
    eyes = fit_eyes(run, actions, training, training_targets(labels))
    attended = [attended_clips(eyes, part, groups, Path(config.data.cache)) for part in (training, validation)]
    data = Data(actions, columns_of(eyes, groups), *attended)
    return Student(run).fit(data, source.fit(data))


def fit_eyes(
    run: RunSettings, actions: int, training: Sequence[EncodedClip], targets: Mapping[str, np.ndarray]
) -> list[Eye]:
    """Train an eye for each camera, in the cameras' order; none for a robot without cameras."""
    config, grid, eyes = run.config, grid_of(run.config.data), []
    standard = measure(training, grid[2])
    for camera, folder in enumerate(eye_folders(run.folder, config.data)):
        eye = new_eye(config, actions, grid, standard, camera)
        eyes.append(fit_eye(config, eye, gather(training, targets, actions, camera), folder, run.report))
    return eyes


def train_on_clips(run: RunSettings, data: Data) -> Trained:
    """Train teacher (in transcript supervision) and student on clips that need no eye."""
    clips = [*data.training.clips, *data.validation.clips]
    _claim(run, data.actions, clips)
    source: LabelSource = Annotations()
    if run.config.supervision == TRANSCRIPTS:
        source = AlignedTranscripts(run, first.first_labels(clips, data.actions))
    return Student(run).fit(data, source.fit(data))


def _claim(run: RunSettings, actions: int, transcribed: Sequence[EncodedClip] | Sequence[Clip]) -> None:
    """Write into a run's folder what it is made from; DatasetError where another run's checkpoints lie."""
    digest = hashlib.sha256(f"{settings_sha256(run.config)} {actions}".encode())
    for part in transcribed:
        digest.update(f"{part.name} {part.transcript}".encode() + part.actions.tobytes())
        rows = part.inputs if isinstance(part, Clip) else part.joints
        if not rows.shape[1] and isinstance(part, EncodedClip):  # cameras alone
            rows = part.features[0]
        digest.update(np.ascontiguousarray(rows[::DIGEST_TICKS]).tobytes())
    path = run.folder / ORIGIN
    if not path.exists() and run.folder.is_dir() and (others := _others(run.folder)):
        raise DatasetError(f"{run.folder}: holds {others[0]}, but no run; expected another --checkpoint folder")
    if path.exists() and read_text(path, ORIGIN_OF_RUN) != digest.hexdigest():
        raise DatasetError(
            f"{run.folder}: holds a run with other settings or data; expected another --checkpoint folder"
        )
    run.folder.mkdir(parents=True, exist_ok=True)
    path.write_text(digest.hexdigest())


def _others(folder: Path) -> list[str]:
    """Return what a folder holds that no run can have left there before it said whose it is."""
    if any(folder.rglob(checkpoint.FILE)):  # of a version that did not say; reading it tells more
        return []
    return sorted(path.name for path in folder.iterdir())


# --- labels -----------------------------------------------------------------------------------------------------------


def training_targets(labels: Targets) -> dict[str, np.ndarray]:
    """Return the targets of the training clips: probabilities where there are some, or else ids."""
    return {**labels.training, **labels.soft}


def split_targets(
    found: first.FirstLabels,
    training: Sequence[Clip] | Sequence[EncodedClip],
    validation: Sequence[Clip] | Sequence[EncodedClip],
) -> Targets:
    """Return labels of all clips as those of either split. Raises DatasetError for a name that is in both."""
    hard = [{clip.name: found.hard[clip.name] for clip in part} for part in (training, validation)]
    if both := sorted(hard[0].keys() & hard[1].keys()):
        raise DatasetError(f"{both[0]} is the name of a training and of a validation clip; expected names of their own")
    return Targets(hard[0], hard[1], {clip.name: found.soft[clip.name] for clip in training})


def _with_transcripts(encoded_clips: Sequence[EncodedClip], report: Report) -> list[EncodedClip]:
    """Return the clips that can be aligned, without their annotations; DatasetError when there is none."""
    kept = [
        replace(encoded, actions=np.full(encoded.ticks, NO_ACTION)) for encoded in encoded_clips if encoded.transcript
    ]
    if not kept:
        raise DatasetError(f"none of {len(encoded_clips)} episodes has a transcript; expected one beside each bag")
    if len(kept) < len(encoded_clips):
        report(f"{len(encoded_clips) - len(kept)} stretches without a transcript of their own are left out")
    return kept
