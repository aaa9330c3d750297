"""Which clips of a feature folder are learned, chosen by and scored: a listed split, or one group left out.

What a split does not say is held out here: validation clips, by whole groups where it is known who is seen in which
clip. What nobody could learn is counted and said.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import runs, without
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.config import ALL_SPLITS, EACH_GROUP, LEAVE_OUT, DataConfig
from hal_ros.datasets.formats.group_files import check_groups_of, read_groups
from hal_ros.datasets.formats.layout_files import (
    FEATURES,
    GROUND_TRUTH,
    MAPPING,
    SPLIT_PATTERNS,
    find_split,
    read_mapping,
    shown,
)
from hal_ros.datasets.formats.layouts import Dataset, Layout, Members, find_layout, read_dataset, subsample
from hal_ros.datasets.hold_out import annotated_to_hold_out, hold_out_every_nth, hold_out_groups, in_nested_order
from hal_ros.datasets.look.known_ticks import is_full

TRAIN, VALIDATION, TEST = "train", "val", "test"
TRANSCRIPTS, ANNOTATIONS = "transcripts", "annotations"
LACKING = {TRANSCRIPTS: "transcript", ANNOTATIONS: "ground truth"}
FEWEST_GROUPS = 3
"""To leave one out, another one is held out and one at least is learned from."""


@dataclass(frozen=True)
class Fold:
    """One fold of a feature folder, ticks `stride` frames apart."""

    dataset: Dataset  # all clips at full length
    training: list[Clip]
    validation: list[Clip]
    test: list[Clip]
    notes: tuple[str, ...]  # a line each


def fold_names(data: DataConfig) -> list[str]:
    """Return the splits that `data.split` stands for, mostly itself: all that are listed, or each group left out.

    Raises DatasetError where none is listed, and for fewer than three groups.
    """
    folder = Path(data.folder)
    if data.split == EACH_GROUP:
        names = sorted(set(_groups_here(data).values()))
        if len(names) < FEWEST_GROUPS:
            raise DatasetError(
                f"{groups_file(data)}: {len(names)} groups ({shown(names)}); expected {FEWEST_GROUPS} or more: one "
                "left out, one held out to choose by, one to learn from"
            )
        return [f"{LEAVE_OUT}{name}" for name in names]
    if data.split != ALL_SPLITS:
        return [data.split]
    lists = [path for pattern in SPLIT_PATTERNS for path in folder.glob(pattern.format(subset=TRAIN, split="*"))]
    found = {re.sub(r"^train\.split|\.bundle$|^split|\.train$", "", path.name) for path in lists}
    if not found:
        raise DatasetError(f"{folder}: lists no split; expected splits/train.split1.bundle and so on")
    return sorted(found, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))


def fold_title(split: str) -> str:
    """Return what a fold is called in tables."""
    return f"without {split.removeprefix(LEAVE_OUT)}" if split.startswith(LEAVE_OUT) else split


def read_fold(
    data: DataConfig, supervision: str, episodes: int | None = None, derive_transcripts: bool = False
) -> Fold:
    """Read one fold, to learn from `supervision`: clips that have none of it can't serve.

    From transcripts alone, or where it is asked for, a clip without one gets that of its ground truth.
    `episodes`: of the clips to learn from and to choose by the first so many of `in_nested_order`. Raises DatasetError
    for what can't be read, too few clips or groups, and unknown background.
    """
    derive = derive_transcripts or supervision == TRANSCRIPTS
    dataset = read_dataset(Path(data.folder), _members(data), _layout(data), data.orientation, derive)
    groups = groups_of(data, [clip.name for clips in dataset.subsets.values() for clip in clips])
    notes = list(dataset.notes)
    usable: dict[str, list[Clip]] = {}
    for subset in (TRAIN, VALIDATION):
        clips = dataset.subsets.get(subset, ())
        usable[subset] = [clip for clip in clips if _serves(clip, supervision)]
        if left_out := len(clips) - len(usable[subset]):
            lacking = LACKING.get(supervision, "transcript and no ground truth")
            notes.append(f"{subset}: {left_out} of {len(clips)} clips are left out, they have no {lacking}")
    if groups is not None:
        notes += _shared_groups(dataset, groups)
    if episodes is not None:
        usable = _first_of(usable, groups, episodes)
    training, validation = usable[TRAIN], usable[VALIDATION]
    if not validation:
        mixed = supervision not in LACKING
        annotated = {clip.name for clip in training if is_full(clip.actions)} if mixed else set[str]()
        training, validation = _hold_out(training, groups, data.validation, annotated)
        notes.append(_held_out(validation, groups))
    notes += _not_learned(dataset, training, validation)
    parts = (training, validation, dataset.subsets.get(TEST, ()))
    training, validation, test = ([subsample(clip, data.stride) for clip in part] for part in parts)
    return Fold(dataset, training, validation, test, tuple(notes))


def _serves(clip: Clip, supervision: str) -> bool:
    ordered, known = bool(clip.transcript), bool((clip.actions != NO_ACTION).any())
    return {TRANSCRIPTS: ordered, ANNOTATIONS: known}.get(supervision, ordered or known)


def read_to_score(data: DataConfig, subset: str) -> tuple[Dataset, list[Clip]]:
    """Return the clips of a subset of the split, at the ticks' rate; where no split is listed, all with a ground truth.

    Raises DatasetError for a subset that there is not, and where no clip has a ground truth.
    """
    folder = Path(data.folder)
    members = _members(data)
    notes = []
    if isinstance(members, str) and not find_split(folder, TRAIN, members):
        names = sorted(path.stem for path in (folder / FEATURES).glob("*.npy"))
        annotated = tuple(name for name in names if (folder / GROUND_TRUTH / f"{name}.txt").exists())
        if not annotated:
            raise DatasetError(f"{folder}: none of {len(names)} clips has a ground truth; expected some to be scored")
        members = {TRAIN: (), subset: annotated}
        notes = [f"no split {data.split!r}: all {len(annotated)} clips with a ground truth of {len(names)} are scored"]
    dataset = read_dataset(folder, members, _layout(data), data.orientation)
    if subset not in dataset.subsets:
        raise DatasetError(f"{folder}: has no {subset} of split {data.split!r}; expected {', '.join(dataset.subsets)}")
    notes = [*notes, *(note for note in dataset.notes if not note.startswith("train:"))]  # nothing is learned here
    clips = [clip for clip in dataset.subsets[subset] if (clip.actions != NO_ACTION).any()]
    if left_out := len(dataset.subsets[subset]) - len(clips):
        notes.append(f"{subset}: {left_out} clips without a ground truth are left out")
    return dataset._replace(notes=tuple(notes)), [subsample(clip, data.stride) for clip in clips]


def groups_file(data: DataConfig) -> Path | None:
    """Return the file as it is given, or else in the data's folder; None where there is none to be read."""
    if not data.groups:
        return None
    path = Path(data.groups)
    return path if path.exists() else Path(data.folder) / path


def groups_of(data: DataConfig, names: Collection[str]) -> dict[str, str] | None:
    """Return the group of each clip or episode; None without a file of groups. Raises DatasetError for one without."""
    path = groups_file(data)
    if path is None:
        return None
    groups = read_groups(path, data.group_by)
    check_groups_of(names, groups, path)
    return {name: groups[name] for name in names}


# --- which clips ------------------------------------------------------------------------------------------------------


def _layout(data: DataConfig) -> Layout:
    layout, _ = find_layout(Path(data.folder), data.layout)
    if not data.background:
        return layout
    vocabulary = read_mapping(Path(data.folder) / MAPPING)
    for name in (name for name in data.background if name not in vocabulary):
        near = difflib.get_close_matches(name, vocabulary, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(vocabulary)}"
        raise DatasetError(f"data.background: {name!r} is no action; {hint}")
    return dataclasses.replace(layout, background=data.background, unscored=data.background, first_is_background=False)


def _members(data: DataConfig) -> str | Members:
    """Return the split, or the clips of the subsets where a group is left out."""
    if not data.split.startswith(LEAVE_OUT):
        return data.split
    groups, left_out = _groups_here(data), data.split.removeprefix(LEAVE_OUT)
    found: dict[str, list[str]] = {TRAIN: [], TEST: []}
    for name, group in groups.items():
        found[TEST if group == left_out else TRAIN].append(name)
    if not (found[TRAIN] and found[TEST]):
        known = ", ".join(sorted(set(groups.values())))
        raise DatasetError(f"data.split is {data.split!r}; expected one of several groups: {known}")
    return {subset: tuple(sorted(names)) for subset, names in found.items()}


def _groups_here(data: DataConfig) -> dict[str, str]:
    """Return the groups of all clips with features. Raises DatasetError for one without."""
    names = sorted(file.stem for file in (Path(data.folder) / FEATURES).glob("*.npy"))
    if not names:
        raise DatasetError(f"{Path(data.folder) / FEATURES}: holds no .npy file; expected the features of each clip")
    return groups_of(data, names) or {}


def _shared_groups(dataset: Dataset, groups: Mapping[str, str]) -> Iterator[str]:
    """Yield a line where a split itself puts one group into training and elsewhere."""
    learned = {groups[clip.name] for clip in dataset.subsets[TRAIN]}
    for subset in (VALIDATION, TEST):
        found = sorted({groups[clip.name] for clip in dataset.subsets.get(subset, ())} & learned)
        if found:
            yield f"{subset}: the split has {len(found)} groups in train as well ({shown(found)}): scores are too good"


def _first_of(usable: Mapping[str, list[Clip]], groups: Mapping[str, str] | None, count: int) -> dict[str, list[Clip]]:
    """Return the first clips of all that are learned from or chosen by, each in its subset."""
    names = [clip.name for clips in usable.values() for clip in clips]
    if count > len(names):
        raise DatasetError(f"{count} episodes, but there are {len(names)} to learn from; expected that many at most")
    chosen = set(in_nested_order(names, groups)[:count])
    found = {subset: [clip for clip in clips if clip.name in chosen] for subset, clips in usable.items()}
    return found if found[TRAIN] else {TRAIN: found[VALIDATION], VALIDATION: []}


def _hold_out(
    clips: list[Clip], groups: Mapping[str, str] | None, share: float, annotated: Collection[str]
) -> tuple[list[Clip], list[Clip]]:
    """Return what is learned from, and what is chosen by: where some are `annotated`, these if they are enough."""
    if groups is None and len(clips) - len(annotated) >= 2 and annotated:
        judges = annotated_to_hold_out([clip for clip in clips if clip.name in annotated])
        judges = judges or hold_out_every_nth([clip for clip in clips if clip.name not in annotated], share)[1]
        names = {clip.name for clip in judges}
        return [clip for clip in clips if clip.name not in names], judges
    if groups is None or len(clips) < 2:
        return hold_out_every_nth(clips, share)
    held_out = hold_out_groups({clip.name: actions_of(clip) for clip in clips}, groups, share)
    return [c for c in clips if c.name not in held_out], [c for c in clips if c.name in held_out]


def _held_out(clips: Sequence[Clip], groups: Mapping[str, str] | None) -> str:
    if groups is None:
        return f"held out to choose by: {len(clips)} clips ({shown([clip.name for clip in clips])})"
    return f"held out to choose by: all {len(clips)} clips of {shown(sorted({groups[clip.name] for clip in clips}))}"


# --- what can't be learned --------------------------------------------------------------------------------------------


def actions_of(clip: Clip) -> set[int]:
    """Return the actions of a clip's transcript and ground truth."""
    return {*clip.transcript, *np.unique(clip.actions).tolist()} - {NO_ACTION}


def _not_learned(dataset: Dataset, training: Sequence[Clip], validation: Sequence[Clip]) -> Iterator[str]:
    learned = {action for clip in training for action in actions_of(clip)}
    for subset, clips in (("held out", validation), (TEST, dataset.subsets.get(TEST, ()))):
        if line := unlearned(clips, learned, lambda action: dataset.vocabulary[action]):
            yield f"{subset}: {line}"


def unlearned(clips: Sequence[Clip], learned: Collection[int], name: Callable[[int], str]) -> str:
    """Return a line on the actions of clips that training never shows, "" without any: they are scored as errors."""
    segments: Counter[int] = Counter()
    for clip in clips:
        segments.update(run.action for run in without(runs(clip.actions)) if run.action not in learned)
    if not segments:
        return ""
    frames = sum(int(np.isin(clip.actions, list(segments)).sum()) for clip in clips)
    names = shown([name(action) for action in segments])
    count = f"{len(segments)} actions never occur in training ({names})"
    return f"{count}: {sum(segments.values())} segments, {frames} frames are scored as errors"
