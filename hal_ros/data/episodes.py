"""From bags to episodes: one row per tick, made by the node's own intake, pixels and joints, held ticks included.

A bag's episode is cached in a folder whose name carries a hash of all that it was made from, so that a second call
costs a look and a changed bag or setting never meets stale data.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hal_ros.core import image, proprio
from hal_ros.core.errors import DatasetError, ImageError
from hal_ros.core.intake import Due, Intake
from hal_ros.core.segments import sample_segments
from hal_ros.core.types import NO_ACTION, ByteArray, FloatArray, ModelCard, Segment
from hal_ros.data.bags import BagMessage, read_messages, topic_types
from hal_ros.data.messages import deserialise, to_ns
from hal_ros.data.sensors import JOINT_STATE, SensorTopics, find_topics, joint_sample, joints_first, pixels

FORMAT = 1
ANNOTATION, TRANSCRIPT = "annotation.json", "transcript.txt"
ROWS, IMAGES, ABOUT = "rows.npz", "images.npy", "about.json"
ROW_KEYS = ("stamp_ns", "fresh", "held", "image_valid", "joints", "joints_valid")
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
    counters: dict[str, int]  # what the intake counted, and bad_images


# --- one bag ----------------------------------------------------------------------------------------------------------


class _Row(NamedTuple):
    stamp_ns: int
    fresh: bool
    held: bool
    image: ByteArray | None
    joints: tuple[FloatArray, FloatArray]


def ingest(bag: Path, card: ModelCard, asked: SensorTopics = USUAL_TOPICS) -> Episode:
    """Read one bag; of the card its image, joints, rate, held ticks and vocabulary are used.

    Raises BagError for an unreadable bag, DatasetError for a bag without a single tick, a broken annotation or an
    action outside the vocabulary.
    """
    counters: Counter[str] = Counter()
    topics = find_topics(topic_types(bag), card, asked.camera, asked.joints)
    messages = joints_first(read_messages(bag, set(filter(None, topics))), topics)
    rows = list(_rows(messages, card, counters))
    if not rows:
        driver = topics.camera if card.image else topics.joints
        raise DatasetError(f"{bag}: gives no tick; expected messages on {driver}")
    stamps = np.array([row.stamp_ns for row in rows], np.int64)
    side = card.image.size_px if card.image else 0
    black = np.zeros((side, side, 3), np.uint8)
    return Episode(
        name=bag.name,
        stamp_ns=stamps,
        fresh=np.array([row.fresh for row in rows]),
        held=np.array([row.held for row in rows]),
        image_valid=np.array([row.image is not None for row in rows], np.float32),
        images=np.stack([black if row.image is None else row.image for row in rows]),
        joints=np.stack([row.joints[0] for row in rows]),
        joints_valid=np.stack([row.joints[1] for row in rows]),
        actions=_actions(bag, stamps, card.vocabulary),
        transcript=read_transcript(bag),
        counters=dict(counters),
    )


def _rows(messages: Iterator[BagMessage], card: ModelCard, counters: Counter[str]) -> Iterator[_Row]:
    """Yield the ticks of a stream in order; what is missed between two of them is held, as in the segmenter."""
    intake = Intake(card)
    joint_count = len(card.joints.names) if card.joints else 0
    last: tuple[Due, _Row] | None = None
    for message in messages:
        due, picture = _receive(message, intake, card, counters)
        if due is None:
            continue
        held = due.tick - last[0].tick - 1 if last else 0
        fresh = last is None or due.origin_ns != last[0].origin_ns or held > card.max_held_ticks
        if last is not None and not fresh:
            for tick in range(last[0].tick + 1, due.tick):
                yield last[1]._replace(stamp_ns=due.origin_ns + tick * card.period_ns, fresh=False, held=True)
        row = _Row(due.stamp_ns, fresh, False, picture, proprio.to_input(due.joints, joint_count))
        last = due, row
        yield row
    counters.update(intake.counters)


def _receive(
    message: BagMessage, intake: Intake, card: ModelCard, counters: Counter[str]
) -> tuple[Due | None, ByteArray | None]:
    """Feed one message to the intake; returns the tick that is due, with its picture."""
    content = deserialise(message.type_name, message.data)
    stamp_ns = to_ns(content.header.stamp)
    if message.type_name == JOINT_STATE:
        sample = joint_sample(content, card.joints) if card.joints else None
        return (intake.joints(sample) if sample else None), None
    due = intake.image(stamp_ns)
    if due is None or card.image is None:
        return None, None
    try:
        return due, image.to_input(pixels(content, message.type_name), card.image)
    except ImageError:
        counters["bad_images"] += 1  # the node counts it and skips the tick, so does ingest
        return None, None


# --- what people wrote beside it --------------------------------------------------------------------------------------


def read_transcript(bag: Path) -> tuple[str, ...]:
    """Return the ordered actions of transcript.txt beside a bag, one a line; empty where there is none."""
    path = bag / TRANSCRIPT
    return tuple(line.strip() for line in path.read_text().splitlines() if line.strip()) if path.exists() else ()


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
    """Return the bags of one split, sorted by name; DatasetError where there is none."""
    bags = tuple(sorted(path.parent for path in (folder / split).glob("*/metadata.yaml")))
    if not bags:
        raise DatasetError(f"{folder / split}: holds no episode; expected folders with a bag each, as `hal sim` writes")
    return bags


# --- the cache --------------------------------------------------------------------------------------------------------


def cached(bag: Path, card: ModelCard, asked: SensorTopics, cache: Path) -> Path:
    """Return the cache folder of a bag's episode, ingesting the bag unless that was done; a cut-off run leaves none."""
    folder = cache / f"{bag.name}-{episode_key(bag, card, asked)[:16]}"
    if not (folder / ABOUT).exists():
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        save(ingest(bag, card, asked), unfinished)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    return folder


def episode_key(bag: Path, card: ModelCard, asked: SensorTopics) -> str:
    """Return a hash of all that an episode depends on: the bag's bytes, what was written beside it, the settings."""
    settings = {
        "format": FORMAT,
        "image": asdict(card.image) if card.image else None,
        "joints": asdict(card.joints) if card.joints else None,
        "rate_hz": card.rate_hz,
        "max_held_ticks": card.max_held_ticks,
        "vocabulary": card.vocabulary,
        "topics": asked,
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in sorted(bag.iterdir()):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


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
