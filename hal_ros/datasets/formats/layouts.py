"""Datasets of the field, read as they are published: features that stay on disk, ground truth, transcripts, splits.

`docs/datasets.md` shows the layouts. What is refused, is refused for the whole dataset at once, with counts; what is
accepted although it is not perfect stands in the dataset's notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hal_ros.core import segments
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.formats.layout_features import Orientation, read_features
from hal_ros.datasets.formats.layout_files import (
    FEATURES,
    GROUND_TRUTH,
    MAPPING,
    SPLIT_PATTERNS,
    TRANSCRIPTS,
    LabelReader,
    find_split,
    read_mapping,
    read_split,
    shown,
)
from hal_ros.outside.reading import Expected, reading

DATASET = Expected(DatasetError, "a dataset")

SUBSETS = ("train", "val", "test")


@dataclass(frozen=True)
class Layout:
    """What is particular to a published layout; `dataclasses.replace` makes one's own."""

    name: str
    max_clip: int
    """Frames by which features and ground truth may differ; both are cut to the shorter one, at the end."""
    background: tuple[str, ...]
    """Names of actions that are no action, where the mapping has them."""
    first_is_background: bool = False
    """Where the mapping has none of these names, its class 0 is the background, as in the published loader."""
    unscored: tuple[str, ...] = ("background",)
    """The background that published scripts leave out of Edit and F1, beside class 0: `SIL` and the like are scored."""


LAYOUTS = {
    # The loaders of MS-TCN and ASFormer take the shorter of both whatever the difference is; here a second of 15 Hz.
    "mstcn": Layout("mstcn", 15, ("SIL", "background", "action_start", "action_end")),
    # ATBA's loader demands equal lengths for Breakfast and CrossTask.
    "atba": Layout("atba", 0, ("SIL", "background")),
    "crosstask": Layout("crosstask", 0, ("SIL", "background"), first_is_background=True),
    # ATBA's own features of Hollywood Extended are 6 or 7 steps longer than the labels; its loader cuts either.
    "hollywood": Layout("hollywood", 7, ("SIL", "background"), first_is_background=True),
}


class Dataset(NamedTuple):
    """What `read_dataset` found."""

    vocabulary: tuple[str, ...]
    background: tuple[int, ...]  # ids, ascending, for the metrics that leave background out
    subsets: dict[str, tuple[Clip, ...]]  # "train", and "val" and "test" where the split lists them
    notes: tuple[str, ...]  # a line each: what was detected, clipped, derived, and what is odd
    unscored: tuple[int, ...] = ()  # ids of the background that published Edit and F1 leave out
    orientation: Orientation = "TD"  # of the files


Members = Mapping[str, tuple[str, ...]]
"""The clips' names of each subset."""


def read_dataset(
    folder: Path,
    split: str | Members = "1",
    layout: str | Layout = "auto",
    orientation: str = "auto",
    derive_transcripts: bool = False,
) -> Dataset:
    """Read one split of a dataset; features are memory-mapped, NaN in them are left for the models.

    `split`: the name of one that is listed, or the clips of each subset. `layout`: a key of LAYOUTS, "auto" (see
    `find_layout`) or a Layout. `orientation`: "TD", "DT" or "auto".
    `derive_transcripts`: where a clip has no transcript file, or an empty one, take its transcript from its ground
    truth, background included. Otherwise that transcript is unknown, ().

    Raises DatasetError for missing or malformed files (name, line), for labels that are not in mapping.txt, clips
    without features, clips with neither ground truth nor transcript, test clips without ground truth, clips that are
    in train and in another subset, and lengths that differ by more than the layout's `max_clip`.
    """
    with reading(folder, DATASET):
        return _read_dataset(folder, split, layout, orientation, derive_transcripts)


def _read_dataset(
    folder: Path, split: str | Members, layout: str | Layout, orientation: str, derive_transcripts: bool
) -> Dataset:
    rules, why = find_layout(folder, layout)
    vocabulary = read_mapping(folder / MAPPING)
    names, notes = _read_subsets(folder, split) if isinstance(split, str) else (dict(split), [])
    texts = _read_texts(folder, names, vocabulary)
    paths = {name: folder / FEATURES / f"{name}.npy" for members in names.values() for name in members}
    _refuse([str(path) for path in paths.values() if not path.is_file()], len(paths), "clips have no features")
    lengths = {name: len(labels) for name, labels in texts.labels.items()}
    features = read_features(paths, lengths, rules.max_clip, orientation)
    clip_notes = _check_lengths(features.arrays, lengths, rules)
    for name, labels in texts.labels.items():
        texts.labels[name] = labels[: len(features.arrays[name])]
    origin, transcripts = _transcripts(texts, names, derive_transcripts)
    subsets = {
        subset: tuple(
            _clip(name, features.arrays[name], texts.labels.get(name), transcripts.get(name, ())) for name in members
        )
        for subset, members in names.items()
    }
    background, unscored, background_note = _background(vocabulary, rules)
    notes = [f"layout: {rules.name}, {why}", *features.notes, *notes, *clip_notes, *origin, background_note]
    notes += _oddities(subsets["train"], texts, transcripts, vocabulary)
    return Dataset(vocabulary, background, subsets, tuple(notes), unscored, features.orientation)


def find_layout(folder: Path, layout: str | Layout) -> tuple[Layout, str]:
    """Return the layout, and why: as asked for, or by what lies in the folder.

    With transcripts/ it is ATBA's; its ports of CrossTask and Hollywood Extended are known by the folder's name.
    """
    if isinstance(layout, Layout):
        return layout, "as asked for"
    if layout in LAYOUTS:
        return LAYOUTS[layout], "as asked for"
    if layout != "auto":
        raise DatasetError(f"layout '{layout}'; expected auto, {', '.join(LAYOUTS)}")
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; expected one with {MAPPING}, {FEATURES}/ and splits/")
    if not (folder / TRANSCRIPTS).is_dir():
        return LAYOUTS["mstcn"], f"since there is no {TRANSCRIPTS}/"
    for name in ("crosstask", "hollywood"):
        if name in folder.resolve().name.lower():
            return LAYOUTS[name], "by the folder's name"
    return LAYOUTS["atba"], f"since there is {TRANSCRIPTS}/"


# --- one step each ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Texts:
    labels: dict[str, NDArray[np.int64]]  # of the clips that have a ground truth
    transcripts: dict[str, tuple[int, ...]]  # of the clips that have a transcript file


def _read_subsets(folder: Path, split: str) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    paths = {subset: find_split(folder, subset, split) for subset in SUBSETS}
    if paths["train"] is None:
        expected = " or ".join(pattern.format(subset="train", split=split) for pattern in SPLIT_PATTERNS[:2])
        raise DatasetError(f"{folder}: split '{split}' has no list of training clips; expected {expected}")
    names, notes = {}, []
    for subset, path in paths.items():
        if path is not None:
            names[subset], repeats = read_split(path)
            notes += [f"split: {path} repeats {repeats} clips; each is read once"] * bool(repeats)
    for subset, members in names.items():
        both = sorted(set(members) & set(names["train"])) if subset != "train" else []
        _refuse(both, len(members), f"clips of {subset} are in train as well")
    counts = ", ".join(f"{len(members)} {subset}" for subset, members in names.items())
    return names, [f"split: {split}, clips: {counts}", *notes]


def _read_texts(folder: Path, names: Mapping[str, tuple[str, ...]], vocabulary: tuple[str, ...]) -> _Texts:
    reader = LabelReader(vocabulary)
    texts = _Texts({}, {})
    for name in (name for members in names.values() for name in members):
        truth, transcript = (folder / kind / f"{name}.txt" for kind in (GROUND_TRUTH, TRANSCRIPTS))
        if truth.exists():
            texts.labels[name] = reader.read(truth)
            if not len(texts.labels[name]):
                raise DatasetError(f"{truth}: holds no label; expected one for each frame")
        if transcript.exists():
            texts.transcripts[name] = tuple(int(action) for action in reader.read(transcript))
    reader.check()
    for subset, members in names.items():
        untold = [name for name in members if name not in texts.labels and name not in texts.transcripts]
        _refuse(untold, len(members), f"clips of {subset} have neither ground truth nor transcript")
    untrue = [name for name in names.get("test", ()) if name not in texts.labels]
    _refuse(untrue, len(names.get("test", ())), "clips of test have no ground truth to be scored against")
    return texts


def _check_lengths(arrays: Mapping[str, NDArray[Any]], lengths: Mapping[str, int], rules: Layout) -> list[str]:
    longer = {name: len(arrays[name]) - length for name, length in lengths.items() if len(arrays[name]) != length}
    beyond = [
        f"{name} ({len(arrays[name])} features, {lengths[name]} labels)"
        for name, frames in longer.items()
        if abs(frames) > rules.max_clip
    ]
    _refuse(beyond, len(lengths), f"clips differ in length by more than the {rules.max_clip} frames of '{rules.name}'")
    if not longer:
        return []
    most = max(abs(frames) for frames in longer.values())
    cut = sum(frames > 0 for frames in longer.values())
    ends = f"features of {cut}, labels of {len(longer) - cut}"
    return [f"length: {len(longer)} of {len(lengths)} clips were cut at the end, by {most} frames at most ({ends})"]


def _transcripts(
    texts: _Texts, names: Mapping[str, tuple[str, ...]], derive: bool
) -> tuple[list[str], dict[str, tuple[int, ...]]]:
    transcripts = {name: actions for name, actions in texts.transcripts.items() if actions}
    read = len(transcripts)
    if derive:
        for name in texts.labels.keys() - transcripts.keys():
            transcripts[name] = tuple(segments.transcript(texts.labels[name]))
    clips = sum(len(members) for members in names.values())
    derived = len(transcripts) - read
    note = f"transcripts: {read} from files, {derived} from ground truth, {clips - len(transcripts)} unknown"
    return [note], transcripts


def _clip(name: str, features: NDArray[Any], labels: NDArray[np.int64] | None, transcript: tuple[int, ...]) -> Clip:
    if labels is None:
        return Clip(name, features, np.full(len(features), NO_ACTION, np.int64), transcript)
    return Clip(name, features[: len(labels)], labels, transcript)


def _background(vocabulary: tuple[str, ...], rules: Layout) -> tuple[tuple[int, ...], tuple[int, ...], str]:
    """Return the ids of all background, of that which published Edit and F1 leave out, and what to say of them."""
    ids = tuple(identity for identity, name in enumerate(vocabulary) if name in rules.background)
    unscored = tuple(identity for identity in ids if vocabulary[identity] in rules.unscored)
    if ids:
        names, left_out = (", ".join(vocabulary[identity] for identity in some) for some in (ids, unscored))
        return ids, unscored, f"background: {names}; left out of Edit and F1 as published: {left_out or 'none of it'}"
    if rules.first_is_background:
        return (0,), (0,), f"background: {vocabulary[0]}, class 0 as in the published loader; left out of Edit and F1"
    return (), (), f"background: none; {MAPPING} has none of {', '.join(rules.background)}"


def _oddities(
    train: tuple[Clip, ...], texts: _Texts, known: Mapping[str, tuple[int, ...]], vocabulary: tuple[str, ...]
) -> list[str]:
    """Return a line for each thing that a person should know, although it is defined and accepted."""
    seen = {action for clip in train for action in (*clip.transcript, *np.unique(clip.actions).tolist())}
    never = [name for identity, name in enumerate(vocabulary) if identity not in seen]
    empty = [name for name, transcript in texts.transcripts.items() if not transcript]
    unknown = [name for name in empty if name not in known]
    derived = [name for name in empty if name in known]
    merged = {name: segments.transcript(np.array(sequence)) for name, sequence in texts.transcripts.items()}
    repeated = [name for name, actions in merged.items() if len(actions) != len(texts.transcripts[name])]
    other = [
        name
        for name, actions in merged.items()
        if actions and name in texts.labels and segments.transcript(texts.labels[name]) != actions
    ]
    lines = {
        "train: {} of {} actions never occur ({})": (never, len(vocabulary)),
        "transcripts: {} of {} files are empty, these transcripts are unknown ({})": (unknown, len(merged)),
        "transcripts: {} of {} files are empty, these transcripts come from the ground truth ({})": (
            derived,
            len(merged),
        ),
        "transcripts: {} of {} files repeat an action with none between ({})": (repeated, len(merged)),
        "transcripts: {} of {} files differ from the ground truth's order ({})": (other, len(merged)),
    }
    return [line.format(len(found), total, shown(found)) for line, (found, total) in lines.items() if found]


def _refuse(found: list[str], total: int, what: str) -> None:
    if found:
        raise DatasetError(f"{len(found)} of {total} {what}: {shown(found)}")


# --- sample rate ------------------------------------------------------------------------------------------------------


def subsample(clip: Clip, stride: int) -> Clip:
    """Return every stride-th tick, the first one included, as views; the transcript stays.

    An action shorter than the stride may then have no tick left. `to_full_length` leads back.
    """
    if stride < 1:
        raise DatasetError(f"stride {stride}; expected 1 or more")
    return replace(clip, inputs=clip.inputs[::stride], actions=clip.actions[::stride])


def to_full_length(
    rows: NDArray[Any], ticks: int, stride: int, take: Literal["nearest", "previous"] = "nearest"
) -> NDArray[Any]:
    """Return (ticks, ...) rows from the (N, ...) rows of a subsampled clip: the answers to be scored at full length.

    `take`: the row whose tick is nearest (of two, the earlier one), or the newest one at or before each tick. What is
    scored as online takes "previous": the nearest row may have seen up to stride / 2 ticks of the future.
    """
    expected = -(-ticks // stride)
    if len(rows) != expected:
        raise DatasetError(f"{len(rows)} rows; expected {expected} for {ticks} ticks at stride {stride}")
    ahead = (stride - 1) // 2 if take == "nearest" else 0
    index = np.minimum((np.arange(ticks) + ahead) // stride, expected - 1)
    full: NDArray[Any] = rows[index]
    return full
