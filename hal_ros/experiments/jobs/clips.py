"""Jobs that make clips, the inputs of all systems tick by tick: read from a layout, or seen by a trained eye."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.streams.columns import groups_of
from hal_ros.datasets.config import TRAINING, VALIDATION, streams_of
from hal_ros.datasets.encoded_clips import EncodedClip, load_encoded_clips
from hal_ros.datasets.formats.folds import TEST, read_fold
from hal_ros.datasets.formats.layouts import read_dataset
from hal_ros.datasets.hold_out import hold_out_end
from hal_ros.experiments.files import CHECKPOINTS
from hal_ros.experiments.graph import Task
from hal_ros.experiments.jobs.mixtures import load_mixture
from hal_ros.experiments.kinds import Places, say
from hal_ros.experiments.training_data import AboutClips, save_clips
from hal_ros.labels.targets import load_targets, of_annotations
from hal_ros.train import chain
from hal_ros.train.clips import AttendedClips, Columns, attended_clips, columns_of
from hal_ros.train.config import config_from_mapping, config_from_saved


def columns(task: Task, places: Places) -> None:
    """Read one split of a published layout; the end of every training recording becomes a validation clip."""
    settings = task.job.settings
    dataset = read_dataset(Path(places["dataset"]), settings["split"], derive_transcripts=True)
    parts = [hold_out_end(clip, settings["validation"]) for clip in dataset.subsets["train"]]
    splits = {
        TRAINING: [before for before, _ in parts],
        VALIDATION: [after for _, after in parts],
        "test": list(dataset.subsets["test"]),
    }
    width = dataset.subsets["train"][0].inputs.shape[1]
    about = AboutClips(dataset.vocabulary, Columns(0, width), settings["rate_hz"], tuple(splits))
    save_clips(task.folder, about, {split: AttendedClips(clips, {}) for split, clips in splits.items()})


def features(task: Task, places: Places) -> None:
    """Read one fold of one's own folder of features, as `hal train` does."""
    settings = task.job.settings
    data = {**settings["data"], "folder": places["dataset"], "groups": places["groups"]}
    fold = read_fold(config_from_mapping({"data": data}).data, settings["supervision"], settings["episodes"])
    scored = [clip for clip in fold.test if (clip.actions != NO_ACTION).any()]
    splits = {TRAINING: fold.training, VALIDATION: fold.validation, TEST: scored}
    columns = Columns(0, fold.training[0].inputs.shape[1])
    about = AboutClips(fold.dataset.vocabulary, columns, settings["data"]["rate_hz"], tuple(splits))
    save_clips(task.folder, about, {split: AttendedClips(clips, {}) for split, clips in splits.items()})


def eye(task: Task, places: Places) -> None:
    """Train each camera's eye on single ticks, freeze it, and let it look at every tick of every split."""
    config = config_from_saved(dict(task.job.settings["config"]))
    vocabulary = tuple(task.job.settings["vocabulary"])
    encoded_clips = load_splits(places, vocabulary)
    training = encoded_clips[TRAINING]
    labels = of_annotations(training, [])
    if "labels" in task.inputs:
        labels, (mixture, _) = load_targets(task.inputs["labels"]), load_mixture(task.inputs["labels"])
        training = [encoded for encoded in training if encoded.name in mixture.kinds]
    run, groups = chain.RunSettings(config, task.folder / CHECKPOINTS, say), groups_of(streams_of(config.data))
    eyes = chain.fit_eyes(run, len(vocabulary), training, chain.training_targets(labels), labels.weights)
    about = AboutClips(vocabulary, columns_of(eyes, groups), config.data.rate_hz, tuple(encoded_clips))
    attended = {split: attended_clips(eyes, part, groups) for split, part in encoded_clips.items()}
    save_clips(task.folder, about, attended)


def load_splits(places: Places, vocabulary: Sequence[str], splits: Sequence[str] = ()) -> dict[str, list[EncodedClip]]:
    """Read the episodes of some splits, or of all, with their features; of their streams those that are selected.

    What marks beside the `bags` tell is read too, of splits that have their bags named.
    """
    encoder = Path(places["encoder"]) if places["encoder"] else None
    selected: Callable[[EncodedClip], EncodedClip] = places["selection"].of if "selection" in places else lambda x: x
    found: dict[str, list[EncodedClip]] = {}
    for split, folders in places["episodes"].items():
        if splits and split not in splits:
            continue
        bags = places.get("bags", {}).get(split, [None] * len(folders))
        told = zip(folders, bags, strict=True)
        clips = [load_encoded_clips(Path(folder), encoder, vocabulary, bag and Path(bag)) for folder, bag in told]
        found[split] = [selected(clip) for of_episode in clips for clip in of_episode]
    return found
