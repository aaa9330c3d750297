"""What a recording holds of a run: labels, events, truth, counters, pictures picked by stamp. Reads without ROS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hal_ros.bags.answer_messages import BOUNDARY_TYPE, LABEL_TYPE, VOCABULARY_TYPE
from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.messages import header_stamp_ns, to_ns
from hal_ros.bags.reader import BagMessage, BagNotes, raw_metadata, read_messages, topic_types
from hal_ros.bags.sensors import COMPRESSED, IMAGE, pixels
from hal_ros.core.arrays import ByteArray
from hal_ros.core.errors import BagError, ImageError
from hal_ros.core.streams.merge import Source
from hal_ros.offline.bundle import ANSWERS, OFFLINE
from hal_ros.offline.robots import choose_robot, of_others
from hal_ros.offline.truth import TruthMark, annotated_truth, place_of_annotation

TRUTH_TYPE = "hal_msgs/msg/ActionTruth"
OPTION_TYPE = "hal_msgs/msg/Option"
DIAGNOSTICS_TYPE = "diagnostic_msgs/msg/DiagnosticArray"
ENTRIES = (LABEL_TYPE, BOUNDARY_TYPE, TRUTH_TYPE, OPTION_TYPE)


class LabelAnswer(NamedTuple):
    """One ActionLabel and when the recorder received it; confirmed_ns is None without a confirmed answer."""

    stamp_ns: int
    receive_ns: int
    as_of_ns: int
    held_ticks: int
    action: str
    confidence: float
    confirmed_ns: int | None
    confirmed_action: str
    confirmed_confidence: float
    inputs: tuple[Source, ...] = ()  # every message that went in; () in what 0.1.0 recorded
    tick: int = 0  # of its grid


class Event(NamedTuple):
    """One BoundaryEvent and when the recorder received it; an action is '' before the first and after the last."""

    stamp_ns: int
    receive_ns: int
    detected_ns: int
    from_action: str
    to_action: str
    confidence: float
    segment_id: int


class Status(NamedTuple):
    """The last diagnostics of one component: level OK, WARN, ERROR or STALE, a sentence, and its counters."""

    name: str
    level: str
    message: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Recording:
    """One run as recorded. Everything but the labels may be missing: a real robot has no truth."""

    name: str
    labels: tuple[LabelAnswer, ...]
    events: tuple[Event, ...] = ()
    truth: tuple[TruthMark, ...] = ()
    options: tuple[TruthMark, ...] = ()  # what a planner told the robot to do, from each stamp on
    vocabulary: tuple[str, ...] = ()
    bundle: str = ""
    bundle_hash: str = ""
    rate_hz: float = 0.0
    lag_ticks: int = 0
    statuses: tuple[Status, ...] = ()
    topics: Mapping[str, int] = field(default_factory=dict)  # messages of each topic
    images_received_ns: Mapping[int, int] = field(default_factory=dict)  # image stamp to receive time
    cameras: frozenset[str] = frozenset()  # topics that carry images
    remark: str = ""  # what the reader skipped, or that the file was cut off
    offline: bool = False  # no node has published the labels: there is no latency to tell

    @property
    def start_ns(self) -> int:
        """Stamp of the first label: the report's time zero."""
        return self.labels[0].stamp_ns


@dataclass
class _Contents:
    """What was found so far."""

    types: BagTypes
    entries: dict[str, list[Any]] = field(default_factory=lambda: {kind: [] for kind in ENTRIES})
    statuses: dict[str, Status] = field(default_factory=dict)
    images_received_ns: dict[int, int] = field(default_factory=dict)
    cameras: set[str] = field(default_factory=set)
    vocabulary: Any = None

    def add(self, message: BagMessage) -> None:
        """Take what a message says. Raises BagError when it is not of its type."""
        if message.type_name in self.entries:
            self.entries[message.type_name].append(_entry(message, self.types))
        elif message.type_name in (IMAGE, COMPRESSED):
            stamp_ns = header_stamp_ns(message.data)
            if stamp_ns is None:
                raise BagError(f"{len(message.data)} bytes can't be read as {message.type_name}")
            self.images_received_ns.setdefault(stamp_ns, message.receive_ns)
            self.cameras.add(message.topic)
        elif message.type_name == DIAGNOSTICS_TYPE:
            self.statuses |= {status.name: status for status in _statuses(message, self.types)}
        elif message.type_name == VOCABULARY_TYPE:
            self.vocabulary = self.types.deserialise(message.type_name, message.data)


def read_recording(path: Path, namespace: str | None = None, annotation: Path | None = None) -> Recording:
    """Read a recording; messages that are not of their type are skipped and counted in its remark.

    Where no truth was recorded, that of an annotation.json is taken: of `annotation`, or else of the one beside the
    recording or, of BAG-labelled, beside BAG. Raises DatasetError for a broken one.
    Raises BagError when it can't be read or holds no ActionLabel, and when it holds those of several robots and none,
    or none of them, is named by its namespace.
    """
    types = topic_types(path)
    others = of_others(types, choose_robot(path, types, namespace))
    notes, topics, found = BagNotes(), Counter[str](), _Contents(BagTypes.of(path))
    for message in read_messages(path, notes=notes):
        if message.topic in others:
            continue
        topics[message.topic] += 1
        try:
            found.add(message)
        except BagError:
            notes.skipped["malformed"] += 1
    if not found.entries[LABEL_TYPE]:
        readable = f" ({notes})" if notes.skipped["malformed"] else ""
        raise BagError(f"{path}: holds no {LABEL_TYPE}{readable}; expected a recording made while the segmenter ran")
    vocabulary, stamps = found.vocabulary, [label.stamp_ns for label in found.entries[LABEL_TYPE]]
    return Recording(
        name="/".join(path.resolve().with_suffix("").parts[-2:]),
        labels=tuple(found.entries[LABEL_TYPE]),
        events=tuple(found.entries[BOUNDARY_TYPE]),
        truth=tuple(found.entries[TRUTH_TYPE]) or annotated_truth(annotation or place_of_annotation(path), stamps),
        options=tuple(found.entries[OPTION_TYPE]),
        vocabulary=tuple(vocabulary.labels) if vocabulary else _seen_actions(found.entries),
        bundle=vocabulary.bundle if vocabulary else "",
        bundle_hash=vocabulary.bundle_hash if vocabulary else "",
        rate_hz=float(vocabulary.rate_hz) if vocabulary else 0.0,
        lag_ticks=int(vocabulary.lag_ticks) if vocabulary else 0,
        statuses=tuple(found.statuses.values()),
        topics=dict(sorted(topics.items())),
        images_received_ns=found.images_received_ns,
        cameras=frozenset(found.cameras),
        remark="; ".join(filter(None, [str(notes), _restarts(found.entries[LABEL_TYPE], vocabulary)])),
        offline=_is_offline(path, found),
    )


def _restarts(labels: Sequence[LabelAnswer], vocabulary: Any) -> str:
    """Say that most labels began a grid anew, as those of a clock that is too slow for the model do, or ''."""
    restarts = sum(label.tick == 0 for label in labels) - 1
    seconds = (labels[-1].stamp_ns - labels[0].stamp_ns) / 1e9
    if vocabulary is None or restarts <= len(labels) // 2 or seconds <= 0:
        return ""
    return (
        f"the tick grid began anew {restarts} times: what drives it comes at {(len(labels) - 1) / seconds:.2g} Hz, the "
        f"model's ticks at {vocabulary.rate_hz:g} Hz; segments end there"
    )


def _is_offline(path: Path, found: _Contents) -> bool:
    """Tell by the bag's record or, of earlier versions, by labels that were all received with their very image."""
    if raw_metadata(path).get(ANSWERS, {}).get("made") == OFFLINE:
        return True
    images = found.images_received_ns
    with_image = [label for label in found.entries[LABEL_TYPE] if label.stamp_ns in images]
    return bool(with_image) and all(label.receive_ns == images[label.stamp_ns] for label in with_image)


def read_pictures(path: Path, stamps_ns: Iterable[int], topic: str = "") -> dict[int, ByteArray]:
    """Return for each stamp the picture (H, W, 3) RGB that bears it; absent where no image does or it can't be read.

    With a topic only its pictures are taken, else those of any. Only the wanted ones are decoded: a recording may hold
    more of them than memory.
    """
    wanted = set(stamps_ns)
    kinds = topic_types(path)
    cameras = {one for one, kind in kinds.items() if kind in (IMAGE, COMPRESSED) and topic in ("", one)}
    types, pictures = BagTypes.of(path), dict[int, ByteArray]()
    for message in read_messages(path, cameras) if wanted and cameras else ():
        stamp_ns = header_stamp_ns(message.data)
        if stamp_ns is not None and stamp_ns in wanted and stamp_ns not in pictures:
            try:
                pictures[stamp_ns] = pixels(types.deserialise(message.type_name, message.data), message.type_name)
            except (BagError, ImageError):
                continue  # the boundary is shown without its picture
            if len(pictures) == len(wanted):
                break
    return pictures


def _entry(message: BagMessage, types: BagTypes) -> LabelAnswer | Event | TruthMark:
    content = types.deserialise(message.type_name, message.data)
    stamp_ns = to_ns(content.header.stamp)
    if message.type_name == TRUTH_TYPE:
        return TruthMark(stamp_ns, content.label)
    if message.type_name == OPTION_TYPE:
        return TruthMark(stamp_ns, content.option)
    if message.type_name == BOUNDARY_TYPE:
        return Event(
            stamp_ns,
            message.receive_ns,
            to_ns(content.detected_at),
            content.from_label,
            content.to_label,
            float(content.confidence),
            int(content.segment_id),
        )
    return LabelAnswer(
        stamp_ns=stamp_ns,
        receive_ns=message.receive_ns,
        as_of_ns=to_ns(content.as_of),
        held_ticks=int(content.held_ticks),
        action=content.label,
        confidence=float(content.confidence),
        confirmed_ns=to_ns(content.confirmed_stamp) if content.confirmed_valid else None,
        confirmed_action=content.confirmed_label,
        confirmed_confidence=float(content.confirmed_confidence),
        tick=int(content.tick),
        inputs=tuple(Source(one.stream, one.topic, to_ns(one.stamp)) for one in getattr(content, "inputs", ())),
    )


def _statuses(message: BagMessage, types: BagTypes) -> list[Status]:
    levels = ("OK", "WARN", "ERROR", "STALE")
    statuses = []
    for status in types.deserialise(message.type_name, message.data).status:
        level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
        values = {value.key: value.value for value in status.values}
        statuses.append(Status(status.name, levels[min(level, 3)], status.message, values))
    return statuses


def _seen_actions(found: Mapping[str, list[Any]]) -> tuple[str, ...]:
    """Return the actions that occur, sorted: a recording that began after the latched vocabulary may lack it."""
    seen = {entry.action for entry in [*found[LABEL_TYPE], *found[TRUTH_TYPE]]}
    return tuple(sorted(seen - {""}))
