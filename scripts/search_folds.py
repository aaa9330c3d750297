"""Folds of training data alone, to choose a model by: what is held out is never a split that results are reported on.

`tabletop-v1`: four folds, each without three of the twelve training recipes; another robot: each without every fourth
episode; gesture_phase: one user is learned from, another one is held out. In each fold some clips of what is learned
from are the validation, by which epochs and decoders are chosen. Eyes learn from a fold's own clips, with annotations.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.streams.columns import groups_of
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.config import TRAINING, VALIDATION, streams_of
from hal_ros.datasets.encoded_clips import EncodedClip
from hal_ros.datasets.formats.layouts import read_dataset
from hal_ros.datasets.hold_out import hold_out_end
from hal_ros.experiments.files import ABOUT
from hal_ros.experiments.training_data import AboutClips, save_clips
from hal_ros.train import chain, stages
from hal_ros.train.clips import AttendedClips, Columns, attended_clips, columns_of
from hal_ros.train.config import TrainConfig

HELD_OUT = "held out"
"""The part of a fold that competitors are scored on."""
FOLDS = 4
VALIDATION_EVERY = 8
GESTURE_RATE_HZ, GESTURE_VALIDATION = 30.0, 0.2


@dataclass(frozen=True)
class Fold:
    """One fold: what it is called, and who makes its files in a folder of its own."""

    name: str
    make: Callable[[Path], None]

    def ready(self, folder: Path) -> Path:
        """Return the folder of the fold's clips below `folder`, made where it is not there yet."""
        own = folder / self.name
        if not (own / ABOUT).exists():
            own.mkdir(parents=True, exist_ok=True)
            self.make(own)
        return own


def robot_folds(name: str, config: TrainConfig, by_recipe: bool) -> list[Fold]:
    """Return the folds of a robot's training episodes: whole recipes are held out, or every fourth episode."""
    return [Fold(f"{name}-{index}", _RobotFold(config, index, by_recipe)) for index in range(FOLDS)]


def gesture_folds(dataset: Path) -> list[Fold]:
    """Return a fold for each ordered pair of users: one is learned from, the other is held out."""
    clips = {clip.name: clip for part in read_dataset(dataset, "1").subsets.values() for clip in part}
    users = sorted({name[0] for name in clips})
    pairs = itertools.permutations(users, 2)
    return [Fold(f"gesture-{ours}-{theirs}", _GestureFold(dataset, ours, theirs)) for ours, theirs in pairs]


@dataclass(frozen=True)
class _GestureFold:
    dataset: Path
    ours: str
    theirs: str

    def __call__(self, folder: Path) -> None:
        dataset = read_dataset(self.dataset, "1")
        clips = [clip for part in dataset.subsets.values() for clip in part]
        parts = [hold_out_end(clip, GESTURE_VALIDATION) for clip in clips if clip.name[0] == self.ours]
        held_out = [clip for clip in clips if clip.name[0] == self.theirs]
        splits = {TRAINING: [part[0] for part in parts], VALIDATION: [part[1] for part in parts], HELD_OUT: held_out}
        width = clips[0].inputs.shape[1]
        about = AboutClips(dataset.vocabulary, Columns(0, width), GESTURE_RATE_HZ, tuple(splits))
        save_clips(folder, about, {split: AttendedClips(part, {}) for split, part in splits.items()})


@dataclass(frozen=True)
class _RobotFold:
    config: TrainConfig
    index: int
    by_recipe: bool

    def __call__(self, folder: Path) -> None:
        card, _, (training,) = stages.ingest(self.config, (TRAINING,))
        parts = split_episodes(training.encoded_clips, self.index, self.by_recipe)
        run, groups = chain.RunSettings(self.config, folder / "eyes"), groups_of(streams_of(self.config.data))
        targets = {encoded.name: encoded.actions for encoded in parts[TRAINING]}
        eyes = chain.fit_eyes(run, len(card.vocabulary), parts[TRAINING], targets)
        about = AboutClips(card.vocabulary, columns_of(eyes, groups), self.config.data.rate_hz, tuple(parts))
        save_clips(folder, about, {split: attended_clips(eyes, part, groups) for split, part in parts.items()})


def recipe_of(name: str) -> str:
    """Return the recipe in an episode's name, as `brew` of brew-10004."""
    return name.rpartition("-")[0]


def split_episodes(clips: Sequence[EncodedClip], index: int, by_recipe: bool) -> dict[str, list[EncodedClip]]:
    """Return a fold's parts: every fourth recipe, or episode, is held out; of the others every eighth validates."""
    keys = sorted({recipe_of(clip.name) if by_recipe else clip.name for clip in clips})
    chosen = set(keys[index::FOLDS])
    held_out = [clip for clip in clips if (recipe_of(clip.name) if by_recipe else clip.name) in chosen]
    rest = _others(clips, held_out)
    return {
        TRAINING: [clip for place, clip in enumerate(rest) if place % VALIDATION_EVERY != VALIDATION_EVERY // 2],
        VALIDATION: rest[VALIDATION_EVERY // 2 :: VALIDATION_EVERY],
        HELD_OUT: held_out,
    }


def _others(clips: Sequence[EncodedClip], some: Sequence[EncodedClip]) -> list[EncodedClip]:
    names = {clip.name for clip in some}
    return [clip for clip in clips if clip.name not in names]


def missing_actions(parts: dict[str, list[Clip]]) -> set[int]:
    """Return the actions that are held out and that nobody could learn."""
    shown = [{int(action) for clip in parts[part] for action in set(clip.actions)} for part in (TRAINING, HELD_OUT)]
    return shown[1] - shown[0] - {NO_ACTION}
