"""From bags to episodes: one row per tick, made by the node's own intake, pixels and joints, held ticks included.

A bag's episode is cached in a folder whose name carries a hash of all that it was made from, so that a second call
costs a look and a changed bag or setting never meets stale data.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hal_ros.bags.frames import Frame, due_frames
from hal_ros.bags.reader import METADATA, BagNotes, read_messages, topic_types
from hal_ros.bags.sensors import SensorTopics, find_topics
from hal_ros.core import proprio
from hal_ros.core.answers import NO_ACTION, Segment
from hal_ros.core.arrays import ByteArray, FloatArray
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import DatasetError
from hal_ros.core.intake import Due
from hal_ros.core.segments import sample_segments

FORMAT = 1
ANNOTATION, TRANSCRIPT = "annotation.json", "transcript.txt"
ROWS, IMAGES, ABOUT = "rows.npz", "images.npy", "about.json"
ROW_KEYS = ("stamp_ns", "fresh", "held", "image_valid", "joints", "joints_valid")
HARMLESS = {"images", "joint_samples", "due", "not_due", "restarts", "repeated", "joints_late"}
"""Counters of a healthy bag; a sample that came late in it was still aligned, see `sensors.joints_first`."""
FAULTS = {
    "malformed": "messages malformed",
    "unreadable": "images unreadable",
    "joints_unnamed": "joint states that name none of the joints",
    "joints_missing": "ticks without joints",
    "backwards": "stamps that go back",
    "zero": "zero stamps",
}
USUAL_TOPICS = SensorTopics(None, None)
"""Ask for no topic by name: the usual ones are taken, or else the only one of its type."""


@dataclass(frozen=True)
class Episode:
    """One bag on the tick grid. Held ticks repeat the row before; `fresh` marks ticks at which a new grid begins."""

    name: str
    stamp_ns: NDArray[np.int64]  # (T,)
    fresh: NDArray[np.bool_]  # (T,)
    held: NDArray[np.bool_]  # (T,)
    image_valid: FloatArray  # (T,) 0 or 1
    images: ByteArray  # (T, S, S, 3)
    joints: FloatArray  # (T, 3J)
    joints_valid: FloatArray  # (T, 3J) 0 or 1
    actions: NDArray[np.int64] | None  # (T,) ids, NO_ACTION outside the segments; None without annotation
    transcript: tuple[str, ...]
    counters: dict[str, int]  # of `frames.due_frames` and, by reason, what the bag's reader skipped


# --- one bag ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    stamp_ns: int
    fresh: bool
    held: bool
    image_valid: bool
    image: ByteArray  # a square RGB picture, black where there is none; empty once it is kept on disk
    joints: tuple[FloatArray, FloatArray]


def ingest(
    bag: Path, card: ModelCard, asked: SensorTopics = USUAL_TOPICS, pictures_folder: Path | None = None
) -> Episode:
    """Read one bag; of the card its image, joints, rate, held ticks and vocabulary are used.

    The pictures of a long bag do not fit into memory: they go to a nameless file in `pictures_folder`, or else where
    temporary files are, which is gone with the episode.
    Messages that can't be read are skipped one by one and counted. Raises BagError for an unreadable bag, DatasetError
    for a bag without a single tick, a broken annotation or an annotated action outside the vocabulary.
    """
    counters: Counter[str] = Counter()
    notes = BagNotes(counters)
    topics = find_topics(topic_types(bag), card, asked.camera, asked.joints)
    messages = read_messages(bag, set(filter(None, topics)), notes)
    rows, images = _spill(_rows(due_frames(messages, card, topics, counters), card), card, pictures_folder)
    counters["cut_off"] += notes.cut_off
    if not rows:
        driver = topics.camera if card.image else topics.joints
        raise DatasetError(f"{bag}: gives no tick; expected messages on {driver}{_in_brackets(faults(counters))}")
    stamps = np.array([row.stamp_ns for row in rows], np.int64)
    return Episode(
        name=bag.name,
        stamp_ns=stamps,
        fresh=np.array([row.fresh for row in rows]),
        held=np.array([row.held for row in rows]),
        image_valid=np.array([row.image_valid for row in rows], np.float32),
        images=images,
        joints=np.stack([row.joints[0] for row in rows]),
        joints_valid=np.stack([row.joints[1] for row in rows]),
        actions=_actions(bag, stamps, card.vocabulary),
        transcript=read_transcript(bag),
        counters=dict(counters),
    )


def _rows(frames: Iterable[Frame], card: ModelCard) -> Iterator[_Row]:
    """Yield the ticks of a stream in order; what is missed between two of them is held, as in the segmenter."""
    joint_count = len(card.joints.names) if card.joints else 0
    black = np.zeros(_picture_shape(card), np.uint8)
    last: tuple[Due, _Row] | None = None
    for frame in frames:
        due = frame.due
        held = due.tick - last[0].tick - 1 if last else 0
        fresh = last is None or due.origin_ns != last[0].origin_ns or held > card.max_held_ticks
        if last is not None and not fresh:
            for tick in range(last[0].tick + 1, due.tick):
                yield replace(last[1], stamp_ns=due.origin_ns + tick * card.period_ns, fresh=False, held=True)
        seen = frame.picture is not None
        picture = black if frame.picture is None else frame.picture
        row = _Row(due.stamp_ns, fresh, False, seen, picture, proprio.to_input(due.joints, joint_count))
        last = due, row
        yield row


def _spill(rows: Iterable[_Row], card: ModelCard, folder: Path | None) -> tuple[list[_Row], ByteArray]:
    """Return the rows without their pictures, and those (T, S, S, 3), mapped from a file that nobody else sees."""
    kept = []
    shape = _picture_shape(card)
    nothing = np.zeros(0, np.uint8)
    with tempfile.TemporaryFile(dir=folder) as file:
        for row in rows:
            file.write(row.image.tobytes())
            kept.append(replace(row, image=nothing))
        file.flush()
        if not kept or not math.prod(shape):
            return kept, np.zeros((len(kept), *shape), np.uint8)
        return kept, np.memmap(file, np.uint8, "r", shape=(len(kept), *shape))


def _picture_shape(card: ModelCard) -> tuple[int, int, int]:
    side = card.image.size_px if card.image else 0
    return side, side, 3


def restarts(counters: Mapping[str, int]) -> int:
    """Return how often the tick grid began anew in a stream, after the beginning that every stream has."""
    return max(0, counters.get("restarts", 0) - 1)


def faults(counters: Mapping[str, int]) -> str:
    """Return what was skipped or repaired on the way to an episode, as '3 unreadable, 1 malformed'; '' for nothing."""
    again = restarts(counters)
    found = {name: count for name, count in counters.items() if count and name not in {*HARMLESS, "cut_off"}}
    parts = [f"{count} {FAULTS.get(name, f'skipped: {name}')}" for name, count in found.items()]
    parts += [f"the tick grid begins anew {'once' if again == 1 else f'{again} times'}"] * bool(again)
    return ", ".join([*parts, *["cut off, read up to the cut"] * bool(counters.get("cut_off"))])


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


# --- what people wrote beside it --------------------------------------------------------------------------------------


def read_transcript(bag: Path) -> tuple[str, ...]:
    """Return the ordered actions of transcript.txt beside a bag; empty where there is none."""
    path = bag / TRANSCRIPT
    return read_actions(path) if path.exists() else ()


def read_actions(path: Path) -> tuple[str, ...]:
    """Return the actions in a text file, one a line; empty lines are skipped. DatasetError when it is no text."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: can't be read as UTF-8 text ({error}); expected one action a line") from error
    return tuple(line.strip() for line in lines if line.strip())


def read_annotation(bag: Path) -> tuple[Segment, ...] | None:
    """Return the segments of annotation.json beside a bag, None where there is none; DatasetError for a broken one."""
    path = bag / ANNOTATION
    if not path.exists():
        return None
    try:
        entries = json.loads(path.read_text())["segments"]
        return tuple(Segment(str(e["action"]), int(e["start_ns"]), int(e["end_ns"])) for e in entries)
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: {error!r}; expected segments of action, start_ns, end_ns") from error


def _actions(bag: Path, stamps: NDArray[np.int64], vocabulary: Sequence[str]) -> NDArray[np.int64] | None:
    segments = read_annotation(bag)
    return None if segments is None else np.asarray(sample_segments(segments, stamps, vocabulary), np.int64)


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


def cached(bag: Path, card: ModelCard, asked: SensorTopics, cache: Path) -> Path:
    """Return the cache folder of a bag's episode, ingesting the bag unless that was done; a cut-off run leaves none."""
    folder = cache / f"{bag.name}-{episode_key(bag, card, asked)[:16]}"
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
        shutil.rmtree(folder, ignore_errors=True)
    try:
        unfinished.rename(folder)
    except OSError:
        if not (folder / ABOUT).exists():
            raise


def episode_key(bag: Path, card: ModelCard, asked: SensorTopics) -> str:
    """Return a hash of all that an episode depends on: the bag's bytes, what was written beside it, the settings."""
    settings: dict[str, object] = {
        "format": FORMAT,
        "image": {"size_px": card.image.size_px} if card.image else None,  # the graph's dtype changes no picture
        "joints": asdict(card.joints) if card.joints else None,
        "rate_hz": card.rate_hz,
        "max_held_ticks": card.max_held_ticks,
        "topics": asked,
    }
    if (bag / ANNOTATION).exists():  # a row's action is an id; without annotation new words change nothing
        settings["vocabulary"] = card.vocabulary
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in sorted(bag.iterdir()):
        digest.update(path.name.encode() + _file_digest(path))
    return digest.hexdigest()


def _file_digest(path: Path) -> bytes:
    """Return the SHA-256 of a file's content, read piece by piece: bags may be larger than memory."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path}: leads to {path.readlink()}, which is gone; expected the bag there (`hal ingest` it anew)"
        ) from error
    return digest.digest()


def save(episode: Episode, folder: Path) -> None:
    """Write an episode into an empty folder; the small file that `cached` looks for comes last."""
    arrays = {key: getattr(episode, key) for key in ROW_KEYS}
    actions = np.full(len(episode.stamp_ns), NO_ACTION) if episode.actions is None else episode.actions
    np.savez(folder / ROWS, actions=actions, **arrays)
    np.save(folder / IMAGES, episode.images)
    about = {"name": episode.name, "annotated": episode.actions is not None, "counters": episode.counters}
    (folder / ABOUT).write_text(json.dumps({**about, "transcript": episode.transcript}))


def load(folder: Path) -> Episode:
    """Read what `save` wrote; the images stay on disk and are read as they are used."""
    about = json.loads((folder / ABOUT).read_text())
    with np.load(folder / ROWS) as rows:
        arrays = dict(rows)
    actions = arrays.pop("actions").astype(np.int64)
    return Episode(
        name=about["name"],
        images=np.load(folder / IMAGES, mmap_mode="r"),
        actions=actions if about["annotated"] else None,
        transcript=tuple(about["transcript"]),
        counters=about["counters"],
        **arrays,
    )
