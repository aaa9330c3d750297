"""The stages before the systems of the tables: first labels, eye, and the teacher that aligns the transcripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import transcript
from hal_ros.data.clips import Clip
from hal_ros.data.label_files import load_labels
from hal_ros.data.layouts import read_dataset
from hal_ros.train.clips import Columns, SeenClips, columns_of, seen_clips
from hal_ros.train.config import TrainConfig, config_from_mapping
from hal_ros.train.eye import fit_eye, gather, new_eye
from hal_ros.train.stages import grid_of
from hal_ros.train.table_files import TRAINING, VALIDATION, About, save_clips
from hal_ros.train.table_jobs import RUN, Folders, Settings, say
from hal_ros.train.tracks import Track, load_tracks, measure

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


def eye(settings: Settings, inputs: Folders, places: Places, folder: Path) -> None:
    """Train the eye on single ticks, freeze it, and let it look at every tick of every split."""
    config = config_from_mapping(dict(settings["config"]))
    vocabulary = tuple(settings["vocabulary"])
    tracks = _tracks(places, vocabulary)
    if "labels" in inputs:
        targets: Mapping[str, Any] = (labels := load_labels(inputs["labels"])).training | dict(labels.soft)
    else:
        targets = {track.name: track.actions for track in tracks[TRAINING]}
    grid = grid_of(config.data)
    made = new_eye(config, len(vocabulary), grid, measure(tracks[TRAINING], grid[2]))
    made = fit_eye(config, made, gather(tracks[TRAINING], targets, len(vocabulary)), folder / RUN, say)
    about = About(vocabulary, columns_of(made), config.data.rate_hz, tuple(tracks))
    save_clips(folder, about, {split: seen_clips(made, part) for split, part in tracks.items()})


def _tracks(places: Places, vocabulary: Sequence[str]) -> dict[str, list[Track]]:
    encoder = Path(places["encoder"])
    return {
        split: [track for folder in folders for track in load_tracks(Path(folder), encoder, vocabulary)]
        for split, folders in places["episodes"].items()
    }


def _config(settings: Settings) -> TrainConfig:
    return config_from_mapping(dict(settings["config"]))
