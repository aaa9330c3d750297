"""From episodes or feature vectors to a student, stage by stage: labels, eye, clips, teacher, student (docs/adr/0004).

Every stage keeps its checkpoint in a folder of its own below the run's and is taken up again there; the labels that
the student was taught lie in the run's folder. In transcript supervision no annotation is read, of validation clips
neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.tracks import Track, measure
from hal_ros.fit.loop import Session
from hal_ros.labels import files as label_files
from hal_ros.labels.files import Labels
from hal_ros.labels.teacher.fit import Transcribed, align_clips, train_teacher
from hal_ros.labels.transcripts import first_labels as first
from hal_ros.labels.transcripts.first_inputs import first_look_clips
from hal_ros.train.clips import Columns, SeenClips, Supervised, columns_of, seen_clips
from hal_ros.train.config import TRANSCRIPTS, TrainConfig
from hal_ros.train.eye import fit_eye, gather, new_eye
from hal_ros.train.loop import Trained, fit, new_model
from hal_ros.train.stages import EYE, grid_of, settings_sha256

TEACHER = "teacher"  # folder of the teacher's checkpoint in a run's
ORIGIN = "origin.txt"
DIGEST_TICKS = 50
Report = Callable[[str], None]


def train_on_tracks(
    config: TrainConfig,
    actions: int,
    training: Sequence[Track],
    validation: Sequence[Track],
    folder: Path,
    report: Report = print,
) -> Trained:
    """Train eye, teacher (in transcript supervision) and student over K actions.

    Raises DatasetError when no training track has a transcript, or in the other supervision an annotation.
    """
    start = None
    if config.supervision == TRANSCRIPTS:
        training, validation = _with_transcripts(training, report), _with_transcripts(validation, report)
    _claim(folder, config, actions, [*training, *validation])
    if config.supervision == TRANSCRIPTS:
        looks = [first_look_clips(part, grid_of(config.data), training=training) for part in (training, validation)]
        start = first.first_labels([*looks[0], *looks[1]], actions)
        labels = split_labels(start, *looks)
        report(f"first labels: {len(training)} training and {len(validation)} validation clips laid out")
    else:
        known = [{track.name: track.actions for track in part} for part in (training, validation)]
        labels = Labels(known[0], known[1], {})
    eye = new_eye(config, actions, grid_of(config.data), measure(training, grid_of(config.data)[2]))
    eye = fit_eye(config, eye, gather(training, taught(labels), actions), folder / EYE, report)
    cache = Path(config.data.cache)
    seen = [seen_clips(eye, part, cache) for part in (training, validation)]
    return train_on_clips(config, actions, columns_of(eye), seen[0], seen[1], folder, labels, start, report)


def train_on_clips(
    config: TrainConfig,
    actions: int,
    columns: Columns,
    training: SeenClips,
    validation: SeenClips,
    folder: Path,
    labels: Labels | None = None,
    start: first.Labels | None = None,
    report: Report = print,
) -> Trained:
    """Train teacher (in transcript supervision) and student on clips with these columns.

    `labels` are those known so far, or else the annotations; `start` the first labels, or else found here.
    """
    if start is None and labels is None:  # the run begins here
        _claim(folder, config, actions, [*training.clips, *validation.clips])
    if config.supervision == TRANSCRIPTS:
        if start is None:
            start = first.first_labels([*training.clips, *validation.clips], actions)
        labels = teacher_labels(config, actions, training.clips, validation.clips, start, folder, report)
    elif labels is None:
        labels = label_files.of_annotations(training.clips, validation.clips)
    return student(config, actions, columns, training, validation, labels, folder, report)


def teacher_labels(
    config: TrainConfig,
    actions: int,
    training: Sequence[Clip],
    validation: Sequence[Clip],
    start: first.Labels,
    folder: Path,
    report: Report = print,
) -> Labels:
    """Train the teacher from the first labels and lay all transcripts over what it says."""
    material = Transcribed(actions, training, validation, start)
    teacher = train_teacher(config.teacher, material, config.seed, Session(folder / TEACHER, report))
    return split_labels(align_clips(teacher, [*training, *validation]), training, validation)


def student(
    config: TrainConfig,
    actions: int,
    columns: Columns,
    training: SeenClips,
    validation: SeenClips,
    labels: Labels,
    folder: Path,
    report: Report = print,
) -> Trained:
    """Train the causal student on given labels, and leave them beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    label_files.save_labels(folder, labels)
    model = new_model(config, actions, columns, training.clips)
    lesson = Supervised(training.clips, taught(labels), numb=training.numb)
    held_out = Supervised(validation.clips, labels.validation, numb=validation.numb)
    return fit(config, model, lesson, held_out, Session(folder, report))


def _claim(folder: Path, config: TrainConfig, actions: int, material: Sequence[Track] | Sequence[Clip]) -> None:
    """Write into a run's folder what it is made from; DatasetError where another run's checkpoints lie."""
    digest = hashlib.sha256(f"{settings_sha256(config)} {actions}".encode())
    for part in material:
        digest.update(f"{part.name} {part.transcript}".encode() + part.actions.tobytes())
        rows = part.inputs if isinstance(part, Clip) else part.joints
        digest.update(np.ascontiguousarray(rows[::DIGEST_TICKS]).tobytes())
    path = folder / ORIGIN
    if path.exists() and path.read_text() != digest.hexdigest():
        raise DatasetError(f"{folder}: holds a run with other settings or data; expected another --checkpoint folder")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(digest.hexdigest())


# --- labels -----------------------------------------------------------------------------------------------------------


def taught(labels: Labels) -> dict[str, np.ndarray]:
    """Return what a model is taught of the training clips: probabilities where there are some, or else ids."""
    return {**labels.training, **labels.soft}


def split_labels(
    found: first.Labels, training: Sequence[Clip] | Sequence[Track], validation: Sequence[Clip] | Sequence[Track]
) -> Labels:
    """Return labels of all clips as those of either split. Raises DatasetError for a name that is in both."""
    hard = [{clip.name: found.hard[clip.name] for clip in part} for part in (training, validation)]
    if both := sorted(hard[0].keys() & hard[1].keys()):
        raise DatasetError(f"{both[0]} is the name of a training and of a validation clip; expected names of their own")
    return Labels(hard[0], hard[1], {clip.name: found.soft[clip.name] for clip in training})


def _with_transcripts(tracks: Sequence[Track], report: Report) -> list[Track]:
    """Return the tracks that can be aligned, without their annotations; DatasetError when there is none."""
    kept = [track._replace(actions=np.full(track.ticks, NO_ACTION)) for track in tracks if track.transcript]
    if not kept:
        raise DatasetError(f"none of {len(tracks)} episodes has a transcript; expected one beside each bag")
    if len(kept) < len(tracks):
        report(f"{len(tracks) - len(kept)} stretches without a transcript of their own are left out")
    return kept
