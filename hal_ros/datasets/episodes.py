"""From bags to episodes: one row per tick, made by the node's own intake, pixels and joints, held ticks included.

A bag's episode is cached in a folder whose name carries a hash of all that it was made from, so that a second call
costs a look and a changed bag or setting never meets stale data.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from hal_ros.bags.frames import Frame, due_frames
from hal_ros.bags.inputs import AS_IN_THE_CARD, AskedTopics, find_inputs
from hal_ros.bags.reader import METADATA, BagNotes, read_messages
from hal_ros.core.answers import NO_ACTION, Segment
from hal_ros.core.arrays import ByteArray, FloatArray
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import sample_segments
from hal_ros.core.streams import counts
from hal_ros.core.streams.intake import Due
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.datasets.look.marks import MARKS
from hal_ros.outside.arrays import read_arrays
from hal_ros.outside.digests import file_digest
from hal_ros.outside.reading import MIB, Expected, read_json, read_text, reading

FORMAT = 2
DIGESTS = ".digests"
"""Folder in a cache with what is remembered of the bags."""
ANNOTATION, TRANSCRIPT = "annotation.json", "transcript.txt"
ROWS, ABOUT = "rows.npz", "about.json"
ROW_KEYS = ("stamp_ns", "fresh", "held", "image_valid", "joints", "joints_valid")
ACTIONS = Expected(DatasetError, "UTF-8 text of one action a line", MIB)
SEGMENTS = Expected(DatasetError, "an annotation: segments of action, start_ns, end_ns")
CACHED_ACCOUNT = Expected(DatasetError, "the account of a cached episode; delete its folder, it is made anew")
CACHED = Expected(DatasetError, "an episode of the cache; delete its folder, it is made anew", 4096 * MIB)
CUT_OFF = "cut_off"
"""Counter of bags that lack their end: 0 or 1."""


@dataclass(frozen=True)
class Episode:
    """One bag on the tick grid. Held ticks repeat the row before; `fresh` marks ticks at which a new grid begins."""

    name: str
    stamp_ns: NDArray[np.int64]  # (T,)
    fresh: NDArray[np.bool_]  # (T,)
    held: NDArray[np.bool_]  # (T,)
    image_valid: FloatArray  # (T, C) 0 or 1
    images: Mapping[str, ByteArray]  # (T, S, S, 3) by camera, C of them
    joints: FloatArray  # (T, V) all state values, 0 where not valid
    joints_valid: FloatArray  # (T, V) 0 or 1
    actions: NDArray[np.int64] | None  # (T,) ids, NO_ACTION outside the segments; None without annotation
    transcript: tuple[str, ...]
    counters: dict[str, int]  # of `frames.due_frames` and, by reason, what the bag's reader skipped
    remarks: tuple[str, ...] = ()  # what was odd in the bag's files, and was read all the same


# --- one bag ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    stamp_ns: int
    fresh: bool
    held: bool
    pictures: Mapping[str, ByteArray | None]  # empty once they are kept on disk
    due: Due


def ingest(
    bag: Path, card: ModelCard, asked: AskedTopics = AS_IN_THE_CARD, pictures_folder: Path | None = None
) -> Episode:
    """Read one bag; of the card its streams and vocabulary are used.

    The pictures of a long bag do not fit into memory: they go to nameless files in `pictures_folder`, or else where
    temporary files are, which are gone with the episode.
    Messages that can't be read are skipped one by one and counted. Raises BagError for an unreadable bag, DatasetError
    for a bag without a single tick, a broken annotation or an annotated action outside the vocabulary.
    """
    counters: Counter[str] = Counter()
    notes = BagNotes(counters)
    inputs = find_inputs(bag, card.streams, card.name, asked)
    messages = read_messages(bag, inputs.all_topics, notes)
    rows, images = _spill(_rows(due_frames(messages, inputs, counters), card), card.streams, pictures_folder)
    counters[CUT_OFF] += notes.cut_off
    if not rows:
        drivers = " or ".join(sorted(inputs.clock_topics))
        raise DatasetError(f"{bag}: gives no tick; expected messages on {drivers}{_in_brackets(faults(counters))}")
    stamps = np.array([row.stamp_ns for row in rows], np.int64)
    seen = [[row.pictures[camera] is not None for camera in card.streams.cameras] for row in rows]
    return Episode(
        name=bag.name,
        stamp_ns=stamps,
        fresh=np.array([row.fresh for row in rows]),
        held=np.array([row.held for row in rows]),
        image_valid=np.array(seen, np.float32).reshape(len(rows), len(card.streams.cameras)),
        images=images,
        joints=np.stack([row.due.values for row in rows]),
        joints_valid=np.stack([row.due.valid for row in rows]),
        actions=_actions(bag, stamps, card.vocabulary),
        transcript=read_transcript(bag),
        counters=dict(counters),
        remarks=tuple(notes.remarks),
    )


def _rows(frames: Iterable[Frame], card: ModelCard) -> Iterator[_Row]:
    """Yield the ticks of a stream in order; what is missed between two of them is held, as in the segmenter."""
    last: _Row | None = None
    for frame in frames:
        due = frame.due
        held = due.tick - last.due.tick - 1 if last else 0
        fresh = last is None or due.origin_ns != last.due.origin_ns or held > card.max_held_ticks
        if last is not None and not fresh:
            for tick in range(last.due.tick + 1, due.tick):
                yield replace(last, stamp_ns=due.origin_ns + tick * card.period_ns, fresh=False, held=True)
        last = _Row(due.stamp_ns, fresh, False, frame.pictures, due)
        yield last


def _spill(rows: Iterable[_Row], spec: StreamSpec, folder: Path | None) -> tuple[list[_Row], Mapping[str, ByteArray]]:
    """Return the rows without pixels, and those (T, S, S, 3) by camera, mapped from files that nobody else sees."""
    kept: list[_Row] = []
    shape = (spec.size_px, spec.size_px, 3)
    black, nothing = np.zeros(shape, np.uint8), np.zeros(0, np.uint8)
    with ExitStack() as stack:
        files = {camera: stack.enter_context(tempfile.TemporaryFile(dir=folder)) for camera in spec.cameras}
        for row in rows:
            for camera, file in files.items():
                picture = row.pictures[camera]
                file.write((black if picture is None else picture).tobytes())
            seen = {camera: None if picture is None else nothing for camera, picture in row.pictures.items()}
            kept.append(replace(row, pictures=seen))
        return kept, {camera: _mapped(file, (len(kept), *shape)) for camera, file in files.items()}


def _mapped(file: IO[bytes], shape: tuple[int, ...]) -> ByteArray:
    file.flush()
    return np.memmap(file, np.uint8, "r", shape=shape) if shape[0] else np.zeros(shape, np.uint8)


def restarts(counters: Mapping[str, int]) -> int:
    """Return how often the tick grid began anew in a stream, after the beginning that every stream has."""
    return max(0, counters.get("restarts", 0) - 1)


def faults(counters: Mapping[str, int]) -> str:
    """Return what was skipped or repaired on the way to an episode, as 'arm: 3 ticks partial'; '' for nothing."""
    found = counts.faults({name: count for name, count in counters.items() if name != CUT_OFF})
    return ", ".join([*found, *["cut off, read up to the cut"] * bool(counters.get(CUT_OFF))])


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


# --- what people wrote beside it --------------------------------------------------------------------------------------


def read_transcript(bag: Path) -> tuple[str, ...]:
    """Return the ordered actions of transcript.txt beside a bag; empty where there is none."""
    path = bag / TRANSCRIPT
    return read_actions(path) if os.path.lexists(path) else ()


def read_actions(path: Path) -> tuple[str, ...]:
    """Return the actions in a text file, one a line; empty lines are skipped. DatasetError when it is no text."""
    lines = read_text(path, ACTIONS).splitlines()
    return tuple(line.strip() for line in lines if line.strip())


def read_annotation(bag: Path) -> tuple[Segment, ...] | None:
    """Return the segments of annotation.json beside a bag, None where there is none; DatasetError for a broken one."""
    return read_segments(bag / ANNOTATION) if os.path.lexists(bag / ANNOTATION) else None


def read_segments(path: Path) -> tuple[Segment, ...]:
    """Return the segments of an annotation; DatasetError for a broken one."""
    annotation = read_json(path, SEGMENTS)
    with reading(path, SEGMENTS):
        entries = annotation["segments"]
        return tuple(Segment(str(e["action"]), _stamp_ns(e["start_ns"]), _stamp_ns(e["end_ns"])) for e in entries)


def _stamp_ns(value: object) -> int:
    """Return a whole number of nanoseconds, however JSON has it; ValueError for what is none."""
    stamp_ns = int(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    if stamp_ns is None or (isinstance(value, float) and stamp_ns != value):
        raise ValueError(f"time {value!r} is no whole number of nanoseconds")
    return stamp_ns


def _actions(bag: Path, stamps: NDArray[np.int64], vocabulary: Sequence[str]) -> NDArray[np.int64] | None:
    segments = read_annotation(bag)
    return None if segments is None else segments_at(bag / ANNOTATION, segments, stamps, vocabulary)


def segments_at(
    annotation: Path, segments: Sequence[Segment], stamps: NDArray[np.int64], vocabulary: Sequence[str]
) -> NDArray[np.int64]:
    """Return (T,) action ids at stamps, NO_ACTION outside the segments of an annotation.

    Raises DatasetError naming the file: as `sample_segments`, and where no stamp lies in any segment.
    """
    try:
        actions = np.asarray(sample_segments(segments, stamps, vocabulary), np.int64)
    except DatasetError as error:
        raise DatasetError(f"{annotation}: {error}") from error
    if segments and len(stamps) and (actions == NO_ACTION).all():
        raise DatasetError(
            f"{annotation}: is of {segments[0].start_ns} to {segments[-1].end_ns} ns, where there is no tick; expected "
            f"header stamps in nanoseconds, {stamps[0]} to {stamps[-1]}"
        )
    return actions


def find_bags(folder: Path, split: str) -> tuple[Path, ...]:
    """Return the bags of one split, sorted by name; DatasetError where there is none.

    A bag is a folder with rosbag2's metadata or, for a lone file, with a transcript beside it.
    """
    found = {path.parent for name in (METADATA, TRANSCRIPT) for path in (folder / split).glob(f"*/{name}")}
    if not found:
        raise DatasetError(
            f"{folder / split}: holds no episode; expected folders with a bag each, as `hal sim` and `hal ingest` make"
        )
    return tuple(sorted(found))


# --- the cache --------------------------------------------------------------------------------------------------------


def cached(bag: Path, card: ModelCard, asked: AskedTopics, cache: Path) -> Path:
    """Return the cache folder of a bag's episode, ingesting the bag unless that was done; a cut-off run leaves none."""
    folder = cache / f"{bag.name}-{episode_key(bag, card, asked, cache / DIGESTS)[:16]}"
    if not (folder / ABOUT).exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{bag.name}-", dir=cache) as place:  # each call has its own
            unfinished = Path(place, bag.name)
            unfinished.mkdir()
            save(ingest(bag, card, asked, unfinished), unfinished)
            _settle(unfinished, folder)
    return folder


def _settle(unfinished: Path, folder: Path) -> None:
    """Move a complete episode to its place, unless another call was quicker: then the two are the same."""
    if not (folder / ABOUT).exists():
        _remove_unfinished(folder)
    try:
        unfinished.rename(folder)
    except OSError:
        if not (folder / ABOUT).exists():
            raise


def _remove_unfinished(folder: Path) -> None:
    """Remove what an older version left half done; DatasetError where something else lies there."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if not (path.is_file() and (path.name == ROWS or path.suffix in (".npy", ".unfinished"))):
            raise DatasetError(f"{path}: is in the way of a cached episode; expected it to be moved away")
    shutil.rmtree(folder, ignore_errors=True)


def episode_key(bag: Path, card: ModelCard, asked: AskedTopics, notes: Path) -> str:
    """Return a hash of all that an episode depends on: the bag's bytes, what was written beside it, the settings.

    `notes`: see `outside.digests`.
    """
    settings: dict[str, object] = {
        "format": FORMAT,
        "streams": asdict(card.streams),
        "topics": asked,
    }
    if (bag / ANNOTATION).exists():  # a row's action is an id; without annotation new words change nothing
        settings["vocabulary"] = card.vocabulary
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in sorted(bag.iterdir()):
        if path.name != MARKS:  # read anew each time, so that a new mark does not cost a new episode
            digest.update(path.name.encode() + file_digest(path, notes))
    return digest.hexdigest()


def save(episode: Episode, folder: Path) -> None:
    """Write an episode into an empty folder; the small file that `cached` looks for comes last."""
    arrays = {key: getattr(episode, key) for key in ROW_KEYS}
    actions = np.full(len(episode.stamp_ns), NO_ACTION) if episode.actions is None else episode.actions
    np.savez(folder / ROWS, actions=actions, **arrays)
    for camera, images in episode.images.items():
        np.save(folder / images_file(camera), images)
    about = {
        "cameras": list(episode.images),
        "name": episode.name,
        "annotated": episode.actions is not None,
        "counters": episode.counters,
        "remarks": episode.remarks,
    }
    (folder / ABOUT).write_text(json.dumps({**about, "transcript": episode.transcript}))


def images_file(camera: str) -> str:
    """Return the name of the file with a camera's pictures."""
    return f"images-{camera}.npy"


def name_of(folder: Path) -> str:
    """Return the name of a saved episode."""
    about = read_json(folder / ABOUT, CACHED_ACCOUNT)
    with reading(folder / ABOUT, CACHED_ACCOUNT):
        return str(about["name"])


def load(folder: Path) -> Episode:
    """Read what `save` wrote; the images stay on disk and are read as they are used."""
    about, arrays = (
        read_json(folder / ABOUT, CACHED_ACCOUNT),
        read_arrays(folder / ROWS, CACHED, (*ROW_KEYS, "actions")),
    )
    with reading(folder, CACHED):
        actions = arrays.pop("actions").astype(np.int64)
        return Episode(
            name=about["name"],
            images={camera: np.load(folder / images_file(camera), mmap_mode="r") for camera in about["cameras"]},
            actions=actions if about["annotated"] else None,
            transcript=tuple(about["transcript"]),
            counters=about["counters"],
            remarks=tuple(about.get("remarks", ())),  # caches of 0.1.0 have none
            **arrays,
        )
