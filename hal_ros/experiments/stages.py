"""The stages before the systems of the tables: first labels, eye, and the teacher that aligns the transcripts."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hal_ros.baselines import gripper_rule
from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import transcript
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.formats.layouts import read_dataset
from hal_ros.datasets.tracks import Track, load_tracks, measure
from hal_ros.experiments.files import TRAINING, VALIDATION, About, load_about, load_clips, load_lesson, save_clips
from hal_ros.experiments.trainings import ABOUT, RUN, Folders, Settings, System, finish, say
from hal_ros.fit.loop import Session
from hal_ros.labels.files import LABELS, load_labels, save_labels
from hal_ros.labels.teacher.fit import Transcribed, align_clips, train_teacher
from hal_ros.labels.transcripts.align import AlignConfig, align
from hal_ros.labels.transcripts.durations import Durations
from hal_ros.labels.transcripts.first_inputs import first_look_clips
from hal_ros.labels.transcripts.first_labels import Labels as Start
from hal_ros.labels.transcripts.first_labels import first_labels
from hal_ros.labels.transcripts.robot_candidates import robot_candidates
from hal_ros.metrics import answer_files
from hal_ros.metrics.answer_files import ALIGNED, ClipAnswers
from hal_ros.train import chain
from hal_ros.train.answers import Answers
from hal_ros.train.clips import Columns, SeenClips, columns_of, seen_clips
from hal_ros.train.config import config_from_mapping
from hal_ros.train.eye import fit_eye, gather, new_eye
from hal_ros.train.stages import grid_of

DURATIONS = "durations.json"

Places = Mapping[str, Any]
"""Where the data lie: `encoder`, and each split's episode folders under `episodes`; or `dataset`."""


# --- feature vectors --------------------------------------------------------------------------------------------------


def columns(settings: Settings, places: Places, folder: Path) -> None:
    """Read one split of a published layout; the end of every training recording becomes a validation clip."""
    dataset = read_dataset(Path(places["dataset"]), settings["split"], derive_transcripts=True)
    parts = [hold_out(clip, settings["validation"]) for clip in dataset.subsets["train"]]
    splits = {
        TRAINING: [before for before, _ in parts],
        VALIDATION: [after for _, after in parts],
        "test": list(dataset.subsets["test"]),
    }
    width = dataset.subsets["train"][0].inputs.shape[1]
    about = About(dataset.vocabulary, Columns(0, width), settings["rate_hz"], tuple(splits))
    save_clips(folder, about, {split: SeenClips(clips, {}) for split, clips in splits.items()})


def hold_out(clip: Clip, share: float) -> tuple[Clip, Clip]:
    """Cut a clip in two, the last `share` of its ticks by itself; each part's transcript is that of its annotation."""
    if not 0 < share < 1:
        raise DatasetError(f"validation is {share}; expected a share of each training recording, within (0, 1)")
    cut = clip.ticks - max(1, round(share * clip.ticks))
    return _part(clip, slice(0, cut), clip.name), _part(clip, slice(cut, None), f"{clip.name}-end")


def _part(clip: Clip, ticks: slice, name: str) -> Clip:
    actions = clip.actions[ticks]
    return Clip(name, np.asarray(clip.inputs[ticks]), actions, tuple(transcript(actions)))


# --- camera and joints ------------------------------------------------------------------------------------------------


def first(settings: Settings, inputs: Folders, places: Places, folder: Path) -> None:
    """Lay the transcripts over their clips before there is any model: by the joints, or by `inputs`' clips."""
    if "clips" in inputs:
        actions = load_about(inputs["clips"]).actions
        training, validation = (load_clips(inputs["clips"], split).clips for split in (TRAINING, VALIDATION))
    else:
        actions, grid = len(settings["vocabulary"]), grid_of(config_from_mapping(dict(settings["config"])).data)
        tracks = _tracks(places, settings["vocabulary"], (TRAINING, VALIDATION))
        looks = [first_look_clips(tracks[split], grid, training=tracks[TRAINING]) for split in (TRAINING, VALIDATION)]
        training, validation = looks
    found = first_labels([*training, *validation], actions)
    save_labels(folder, chain.split_labels(found, training, validation))
    (folder / DURATIONS).write_text(json.dumps([column.tolist() for column in found.durations]))


def _start(folder: Path) -> Start:
    """Read what first wrote."""
    labels = load_labels(folder)
    mean, spread = json.loads((folder / DURATIONS).read_text())
    return Start(dict(labels.training), dict(labels.soft), Durations(np.array(mean), np.array(spread)))


def eye(settings: Settings, inputs: Folders, places: Places, folder: Path) -> None:
    """Train the eye on single ticks, freeze it, and let it look at every tick of every split."""
    config = config_from_mapping(dict(settings["config"]))
    vocabulary = tuple(settings["vocabulary"])
    tracks = _tracks(places, vocabulary)
    if "labels" in inputs:
        targets = chain.taught(load_labels(inputs["labels"]))
    else:
        targets = {track.name: track.actions for track in tracks[TRAINING]}
    grid = grid_of(config.data)
    made = new_eye(config, len(vocabulary), grid, measure(tracks[TRAINING], grid[2]))
    made = fit_eye(config, made, gather(tracks[TRAINING], targets, len(vocabulary)), folder / RUN, say)
    about = About(vocabulary, columns_of(made), config.data.rate_hz, tuple(tracks))
    save_clips(folder, about, {split: seen_clips(made, part) for split, part in tracks.items()})


def _tracks(places: Places, vocabulary: Sequence[str], splits: Sequence[str] = ()) -> dict[str, list[Track]]:
    encoder = Path(places["encoder"])
    return {
        split: [track for folder in folders for track in load_tracks(Path(folder), encoder, vocabulary)]
        for split, folders in places["episodes"].items()
        if not splits or split in splits
    }


# --- the teacher ------------------------------------------------------------------------------------------------------


def teacher(settings: Settings, inputs: Folders, folder: Path) -> None:
    """Train a teacher on transcripts; write the targets that it aligns, and its answers without transcripts."""
    started = time.monotonic()
    config = config_from_mapping(dict(settings["config"]))
    lesson = load_lesson(inputs["clips"], inputs["first"])  # no annotation is in it
    training, validation = (lesson.clips[split].clips for split in (TRAINING, VALIDATION))
    start = _start(inputs["first"]) if config.teacher.start == "durations" else None
    actions = lesson.about.actions
    material = Transcribed(actions, training, validation, start)
    made = train_teacher(config.teacher, material, config.seed, Session(folder / RUN, say))
    labels = chain.split_labels(align_clips(made, [*training, *validation]), training, validation)

    def answer(clip: Clip) -> Answers:
        log_probs = made.log_probs(clip)
        return Answers(log_probs, log_probs, np.full(clip.ticks, np.nan, np.float32))

    _keep_aligned(answer, load_clips(inputs["clips"], TRAINING).clips, labels.training, folder)
    count = sum(parameter.numel() for parameter in made.model.parameters())
    spent = time.process_time()
    answer(validation[0])
    ms = 1e3 * (time.process_time() - spent) / validation[0].ticks
    system = System(answer, count, ms, 0, offline=True)
    finish(system, dataclasses.replace(lesson, labels=labels), folder, started)


def realign(settings: Settings, inputs: Folders, folder: Path) -> None:
    """Align a teacher's answers anew by boundary scores, as published; with the robot's candidates if asked for."""
    source, columns = inputs["teacher"], load_about(inputs["clips"]).columns
    clips = {clip.name: clip for clip in load_clips(inputs["clips"], TRAINING).clips}
    config, kept = AlignConfig(candidate_bonus=settings["bonus"]), []
    for said in answer_files.load(source / ALIGNED):
        rows = columns.split(clips[said.name].inputs)
        gripper = gripper_rule.gripper_index(settings["joints"])
        extra = robot_candidates(rows.joints, rows.joints_valid, gripper) if settings["robot"] else ()
        kept.append(said._replace(targets=align(said.log_probs, said.transcript, config, extra).labels))
    answer_files.save(folder / ALIGNED, kept)
    for name in (ABOUT, LABELS, f"{VALIDATION}.npz"):
        shutil.copy(source / name, folder)


def _keep_aligned(
    answer: Callable[[Clip], Answers], clips: Sequence[Clip], targets: Mapping[str, Any], folder: Path
) -> None:
    """Write the targets beside the annotations that nobody has seen, for the score of the alignment alone."""
    kept = []
    for clip in clips:
        said = answer(clip)
        none = said.log_probs[:0]
        kept.append(
            ClipAnswers(
                clip.name, clip.actions, targets[clip.name], clip.transcript, said.log_probs, none, said.boundary
            )
        )
    answer_files.save(folder / ALIGNED, kept)
