"""From episodes or feature vectors to a student, stage by stage: labels, eyes, clips, teacher, student (docs/adr/0004).

Every stage keeps its checkpoint in a folder of its own below the run's and is taken up again there; the labels that
the student learns lie in the run's folder. What a supervision reads of the clips, `train.mixture` sorts
out: under transcripts no annotation, of validation clips neither.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

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
from hal_ros.labels.doubt_files import PROOF
from hal_ros.labels.restart_files import RESTARTS, Checks, save_checks
from hal_ros.labels.targets import Targets
from hal_ros.labels.teacher.fit import Transcribed, align_clips, train_teacher
from hal_ros.labels.transcripts import first_labels as first
from hal_ros.labels.transcripts.first_inputs import first_input_clips
from hal_ros.labels.transcripts.restarts import restarts
from hal_ros.labels.transcripts.separability import REMEDY, unplaced_junctions
from hal_ros.nn.joint_guided_attention import Eye
from hal_ros.outside import outputs
from hal_ros.outside.progress import progress
from hal_ros.outside.reading import Expected, read_text
from hal_ros.train.clips import DIGEST_TICKS, NO_WEIGHTS, Data, attended_clips, columns_of
from hal_ros.train.config import TrainConfig
from hal_ros.train.encoders import grid_of
from hal_ros.train.eye import fit_eye, gather, new_eye
from hal_ros.train.mixture import (
    ANNOTATED,
    Learnt,
    Mixture,
    compare_sources,
    known_of,
    mixture_of,
    targets_of,
    unseen_actions,
)
from hal_ros.train.stages import EYE, eye_folders, settings_sha256
from hal_ros.train.student import Trained, fit, new_model
from hal_ros.train.warm_start.start import Start

FIRST_LABELS = "first labels"
TEACHER = "teacher"  # folder of the teacher's checkpoint in a run's
ORIGIN = "origin.txt"
ORIGIN_OF_RUN = Expected(DatasetError, "what a run was made from")


@dataclass(frozen=True)
class RunSettings:
    """What every stage of a run shares."""

    config: TrainConfig
    folder: Path
    report: Report = print
    vocabulary: Sequence[str] = ()  # what the actions are called, where that is known
    start: Start | None = None  # whose networks the training begins with, over more actions

    def session(self, part: str = "") -> RunSession:
        """Return where a stage keeps its checkpoint: in the run's folder, or in `part` of it."""
        return RunSession(self.folder / part, self.report)


@dataclass(frozen=True)
class Aligned:
    """What a teacher, trained from the first labels, says of the clips, laid under transcripts through what is known.

    Without clips to be laid out there is no teacher.
    """

    run: RunSettings
    mixture: Mixture
    first: Learnt  # first labels, and how reliable tools are

    def fit(self, data: Data) -> Targets:
        """Train the teacher and align all clips."""
        return targets_of(self.mixture, self.learnt(data) if self.mixture.align else self.first, self.run.config)

    def learnt(self, data: Data) -> Learnt:
        """Return what the teacher's alignments show."""
        config, clips = self.run.config, (data.training.clips, data.validation.clips)
        training, validation = map(self.mixture.laid, clips)
        known = known_of(self.mixture, self.first)
        transcribed = Transcribed(data.actions, training, validation, self.first.labels, known)
        teacher = train_teacher(config.teacher, transcribed, config.seed, self.run.session(TEACHER))
        labels = align_clips(teacher, [*training, *validation], known)
        others = [clip for clip in clips[0] if clip.name not in labels.hard] if config.teacher.pseudo_labels else []
        return replace(self.first, labels=labels, log_probs={clip.name: teacher.log_probs(clip) for clip in others})


@dataclass(frozen=True)
class Student:
    """The causal model that is to run on the robot."""

    run: RunSettings

    def fit(self, data: Data, labels: Targets) -> Trained:
        """Train it on given labels, and leave them beside it."""
        self.run.folder.mkdir(parents=True, exist_ok=True)
        targets_file.save_targets(self.run.folder, labels)
        supervised = data.training.supervised(training_targets(labels), data.columns.groups, labels.weights)
        if self.run.start is None:
            model = new_model(self.run.config, data.actions, data.columns, data.training.clips)
        else:
            model, supervised = self.run.start.begin(supervised, data.actions, self.run.report)
        held_out = data.validation.supervised(labels.validation, data.columns.groups)
        return fit(self.run.config, model, supervised, held_out, self.run.session())


def train_on_encoded_clips(
    run: RunSettings, actions: int, training: Sequence[EncodedClip], validation: Sequence[EncodedClip]
) -> Trained:
    """Train each camera's eye, teacher (where transcripts are laid out) and student over K actions.

    Raises DatasetError when there is nothing of a split that the supervision reads: see `train.mixture`.
    """
    config, grid = run.config, grid_of(run.config.data)
    mixture = mixture_of(config, training, validation, run.report)
    training, validation = mixture.training, mixture.validation
    _say_unseen(run, training, actions)
    _claim(run, actions, [*training, *validation])
    looks = [first_input_clips(p, grid, training=training) for p in (training, validation)] if mixture.align else []
    source = _source(run, mixture, actions, looks)
    labels = targets_of(mixture, source.first, config)
    groups = groups_of(streams_of(config.data))
    eyes = fit_eyes(run, actions, training, training_targets(labels), labels.weights)
    attended = [attended_clips(eyes, part, groups, Path(config.data.cache)) for part in (training, validation)]
    data = Data(actions, columns_of(eyes, groups), *attended)
    return Student(run).fit(data, source.fit(data))


def _source(run: RunSettings, mixture: Mixture, actions: int, looks: Sequence[Sequence[Clip]]) -> Aligned:
    """Return where targets come from: first labels are found on `looks`, the clips of either split, if any is laid out.

    What tools claim is compared with them.
    """
    learnt = Learnt(actions)
    if mixture.align:
        laid = [mixture.laid(part) for part in looks]
        both = [*laid[0], *laid[1]]
        unplaced = _unplaced(run, mixture, both)
        with progress(FIRST_LABELS, 3, run.report) as shown:
            shown.begin("from transcripts and what is known")
            found = first.first_labels(both, actions, mixture.pins)
            learnt = Learnt(actions, found)
            run.report(f"{FIRST_LABELS}: {len(laid[0])} training and {len(laid[1])} validation clips laid out")
            shown.begin("again from halves of the clips")
            if not (run.folder / RESTARTS).exists():
                save_checks(run.folder, Checks(restarts(both, actions, mixture.pins, found), unplaced))
            shown.begin("again without what is known")
            _prove(run, mixture, actions, both)
    return Aligned(run, mixture, compare_sources(mixture, learnt, run.report))


def _say_unseen(run: RunSettings, training: Sequence[EncodedClip] | Sequence[Clip], actions: int) -> None:
    unseen, known = unseen_actions(training, actions), run.start.actions if run.start else 0
    for text, group in (
        ("not in these episodes, known from before", [action for action in unseen if action < known]),
        ("never in training, so never learned", [action for action in unseen if action >= known]),
    ):
        if group:
            names = ", ".join(run.vocabulary[action] if run.vocabulary else str(action) for action in group)
            run.report(f"{text}: {names}")


def _unplaced(run: RunSettings, mixture: Mixture, laid: Sequence[Clip]) -> frozenset[tuple[int, int]]:
    """Return and say which boundaries no transcript places, as far as none of their kind is known."""
    found = unplaced_junctions([clip.transcript for clip in laid], mixture.known_pairs)
    if found:
        kinds = ", ".join(junction.named(run.vocabulary) for junction in found)
        run.report(f"transcripts alone do not tell when these change: {kinds}; {REMEDY}")
    return frozenset(pair for junction in found for pair in itertools.product(junction.before, junction.after))


def _prove(run: RunSettings, mixture: Mixture, actions: int, laid: Sequence[Clip]) -> None:
    """Lay annotated clips out as if they were not, and leave in the run's folder how much of them is right then."""
    annotated = [clip for clip in laid if mixture.kinds[clip.name] == ANNOTATED]
    path = run.folder / PROOF
    if not annotated or path.exists():
        return
    others = {name: pins for name, pins in mixture.pins.items() if mixture.kinds[name] != ANNOTATED}
    found = first.first_labels(laid, actions, others).hard
    known = np.concatenate([clip.actions for clip in annotated])
    right = (np.concatenate([found[clip.name] for clip in annotated]) == known)[known != NO_ACTION]
    share = float(right.mean())
    run.report(f"first labels: from transcripts alone {100 * share:.0f}% of {len(right)} annotated ticks are right")
    outputs.write_whole_text(path, json.dumps({"ticks": len(right), "right_share": round(share, 4)}))


def fit_eyes(
    run: RunSettings,
    actions: int,
    training: Sequence[EncodedClip],
    targets: Mapping[str, np.ndarray],
    weights: Mapping[str, np.ndarray] = NO_WEIGHTS,
) -> list[Eye]:
    """Train an eye for each camera, in the cameras' order; none for a robot without cameras."""
    config, grid, eyes = run.config, grid_of(run.config.data), []
    if run.start is not None:
        return run.start.keep_eyes(config, eye_folders(run.folder, config.data))
    standard = measure(training, grid[2])
    for camera, folder in enumerate(eye_folders(run.folder, config.data)):
        eye = new_eye(config, actions, grid, standard, camera)
        eyes.append(fit_eye(config, eye, gather(training, targets, actions, camera, weights), folder, run.report))
    return eyes


def train_on_clips(run: RunSettings, data: Data) -> Trained:
    """Train teacher (where transcripts are laid out) and student on clips that need no eye."""
    _claim(run, data.actions, [*data.training.clips, *data.validation.clips])
    mixture = mixture_of(run.config, data.training.clips, data.validation.clips, run.report)
    _say_unseen(run, mixture.training, data.actions)
    parts = (mixture.training, mixture.validation)
    told = [replace(side, clips=clips) for side, clips in zip((data.training, data.validation), parts, strict=True)]
    data = replace(data, training=told[0], validation=told[1])
    return Student(run).fit(data, _source(run, mixture, data.actions, parts).fit(data))


def _claim(run: RunSettings, actions: int, transcribed: Sequence[EncodedClip] | Sequence[Clip]) -> None:
    """Write into a run's folder what it is made from; DatasetError where another run's checkpoints lie."""
    digest = hashlib.sha256(f"{settings_sha256(run.config)} {actions}".encode())
    digest.update(run.start.sha256.encode() if run.start else b"")
    for part in transcribed:
        digest.update(f"{part.name} {part.transcript}".encode() + part.actions.tobytes())
        if isinstance(part, EncodedClip):
            for source, claimed in part.claims.items():
                digest.update(source.encode() + claimed.tobytes())
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
    for left in outputs.left_files(run.folder):
        left.unlink()
    outputs.write_whole_text(path, digest.hexdigest())


def _others(folder: Path) -> list[str]:
    """Return what a folder holds that no run can have left there before it said whose it is."""
    stages = ("", TEACHER, f"{EYE}*")
    if any(any(folder.glob(f"{stage}/{checkpoint.FILE}".lstrip("/"))) for stage in stages):  # of a version that did
        # not say; reading it tells more
        return []
    left = {path for path in outputs.left_files(folder) if path.name.startswith(ORIGIN)}
    return sorted(path.name for path in folder.iterdir() if path not in left)


# --- labels -----------------------------------------------------------------------------------------------------------


def training_targets(labels: Targets) -> dict[str, np.ndarray]:
    """Return the targets of the training clips: probabilities where there are some, or else ids."""
    return {**labels.training, **labels.soft}
