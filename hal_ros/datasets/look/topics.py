"""A look at one bag: what its topics carry, how often, and how their stamps fit the time of receipt.

Only the beginning is read, as far as is needed to see each topic that is likely to be taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.inputs import IMAGES, PIXELS
from hal_ros.bags.messages import header_stamp_ns
from hal_ros.bags.reader import BagMessage, read_messages, topic_types
from hal_ros.bags.sensors import pixels
from hal_ros.core.errors import BagError, ImageError
from hal_ros.core.streams.readers import joints_fault
from hal_ros.core.streams.spec import JOINT_FIELDS, JOINT_STATE
from hal_ros.core.ticks import LAST_STAMP_NS, is_stamp
from hal_ros.datasets.look.numbers import number_paths

LOOK_NS = 20_000_000_000
"""So much of a bag is looked at, by time of receipt; more where a likely topic has not come by then."""
DEPTH = ("16UC1", "32FC1")
DEPTH_TRANSPORT = "compressedDepth"
NO_STAMP = "no message has a stamp"
WRENCH = "geometry_msgs/msg/WrenchStamped"
LIKELY = (*IMAGES, JOINT_STATE, WRENCH)
FEW = 20  # messages whose content is looked at, where one says as much as the next; of pictures up to a good one


@dataclass(frozen=True)
class TopicLook:
    """What the looked-at messages of one topic say."""

    types: Mapping[str, int]  # how many messages of which type; of a topic that never came none
    declared: str  # the type that the bag says it is of
    rate_hz: float = 0.0  # 0: not known
    slowest_s: float = 0.0  # the period of the slowest of those who write on it; 0: not known
    skew_s: float | None = None  # median of receipt - stamp; None: it has no stamps of its own, or nobody knows
    zero: int = 0  # messages without a stamp
    unstamped: tuple[str, ...] = ()  # joints that only such messages name
    fault: str = ""  # why it is no camera, or no state
    size_px: tuple[int, int] = (0, 0)  # width and height of its pictures; 0: not known
    joints: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # lowest and highest position by name
    fields: tuple[str, ...] = ()  # those of joints that are filled, or paths to numbers

    @property
    def messages(self) -> int:
        """How many were looked at."""
        return sum(self.types.values())

    @property
    def type_name(self) -> str:
        """The type of most messages."""
        return max(self.types, key=lambda name: self.types[name]) if self.types else self.declared


BagLook = Mapping[str, TopicLook]
"""By topic: all of a bag."""


def look_at(bag: Path, asked: Collection[str] = (), whole: bool = False) -> BagLook:
    """Look at a bag, or at the whole of it; topics that are asked for are awaited as likely ones are.

    Raises BagError for an unreadable bag.
    """
    declared, types = topic_types(bag), BagTypes.of(bag)
    topics = {topic: _Topic(kind, types) for topic, kind in declared.items()}
    wanted = {t for t, each in topics.items() if each.likely or t in asked or each.has_numbers}
    awaited = {topic for topic in wanted if topics[topic].likely or topic in asked}
    begin_ns = None
    for message in read_messages(bag, wanted):
        begin_ns = message.receive_ns if begin_ns is None else begin_ns
        topics[message.topic].add(message)
        awaited.discard(message.topic)
        if not (whole or awaited) and message.receive_ns - begin_ns > LOOK_NS:
            break
    return {topic: each.look() for topic, each in topics.items()}


class _Topic:
    """Gathers what is seen of one topic."""

    def __init__(self, declared: str, types: BagTypes) -> None:
        self._declared, self._types = declared, types
        self._seen: Counter[str] = Counter()
        self._receive_ns: list[int] = []
        self._stamp_ns: list[int] = []
        self._headed = types.has_header(declared)
        self._zero = 0
        self._unlike = self._fault = _unlike(declared, types)
        self._size_px = (0, 0)
        self._joints = _Joints([f for f in JOINT_FIELDS if not joints_fault(JOINT_STATE, (f,), types.describe)])
        self._unstamped: set[str] = set()
        self._paths: tuple[str, ...] | None = None

    @property
    def likely(self) -> bool:
        """Whether it is of a type that is taken without being asked for."""
        return self._declared in LIKELY

    @property
    def has_numbers(self) -> bool:
        """Whether it may be a state for all that its type says; of a type with sequences the messages decide."""
        return bool(number_paths(self._declared, self._describe, _AnyLength()))

    def add(self, message: BagMessage) -> None:
        self._seen[message.type_name] += 1
        if message.type_name != self._declared:
            return
        stamp_ns = message.receive_ns if message.publish_ns is None else message.publish_ns
        if self._headed:
            stamp_ns = header_stamp_ns(message.data) or 0
        if not is_stamp(stamp_ns):
            self._zero += 1
            self._note_unstamped(message)
            return
        self._receive_ns.append(min(message.receive_ns, LAST_STAMP_NS))
        self._stamp_ns.append(stamp_ns)
        self._look_inside(message)

    def _note_unstamped(self, message: BagMessage) -> None:
        if self._declared == JOINT_STATE and not self._unlike:
            with suppress(BagError):
                self._unstamped |= set(self._types.deserialise(message.type_name, message.data).name)

    def _look_inside(self, message: BagMessage) -> None:
        count = len(self._receive_ns)
        joints = self._declared == JOINT_STATE
        if self._unlike or (not joints and (count > FEW or self._size_px[0])):
            return
        try:
            content = self._types.deserialise(message.type_name, message.data)
        except BagError:
            return  # ingest counts it
        if joints:
            self._joints.add(content, self._stamp_ns[-1])
        elif self._declared in IMAGES:
            self._fault, self._size_px = look_at_picture(message.topic, message.type_name, content)
        else:
            found = number_paths(message.type_name, self._describe, content)
            shorter = self._paths is None or len(found) < len(self._paths)
            self._paths = found if shorter else self._paths

    def _describe(self, type_name: str) -> Any:
        return self._types.describe(type_name, of=self._declared)

    def look(self) -> TopicLook:
        stamps = np.array(self._stamp_ns, np.int64)
        receive = np.array(self._receive_ns, np.int64)
        period_s = _period_s(stamps)
        own = self._headed and len(stamps) and min(receive) > 0  # some recorders keep no time of receipt
        fault = self._fault
        if self._zero and not len(stamps):
            fault = NO_STAMP
        if self._seen and {*self._seen} != {self._declared}:
            fault = f"changes its type: {', '.join(sorted({*self._seen, self._declared}))}"
        joints = self._declared == JOINT_STATE
        return TopicLook(
            types=dict(self._seen),
            declared=self._declared,
            rate_hz=self._joints.rate_hz if joints else 1 / period_s if period_s else 0.0,
            slowest_s=self._joints.slowest_s if joints else period_s,
            skew_s=float(np.median(receive - stamps)) / 1e9 if own else None,
            zero=self._zero,
            unstamped=tuple(sorted(self._unstamped - set(self._joints.ranges))),
            fault=fault,
            size_px=self._size_px,
            joints=self._joints.ranges if joints else {},
            fields=self._joints.filled if joints else self._paths or (),
        )


def _unlike(declared: str, types: BagTypes) -> str:
    """Return why nothing can be read off messages of a known type, which the bag has a form of its own of; else ""."""
    if declared in IMAGES:
        return types.lacking(declared, PIXELS[declared])
    return joints_fault(declared, (), types.describe) if declared == JOINT_STATE else ""


class _AnyLength:
    """Stands for a message whose sequences have one entry each."""

    def __getattr__(self, _: str) -> _AnyLength:
        return self

    def __len__(self) -> int:
        return 1


class _Joints:
    """What the joint states of one topic name; several drivers may take turns on it, each with its own names."""

    def __init__(self, fields: Collection[str]) -> None:
        """Take the fields that the bag's form of the type has."""
        self._fields = fields
        self.ranges: dict[str, tuple[float, float]] = {}
        self._filled: set[str] = set()
        self._stamps: dict[tuple[str, ...], list[int]] = {}

    def add(self, content: Any, stamp_ns: int) -> None:
        names = tuple(content.name)
        self._stamps.setdefault(names, []).append(stamp_ns)
        self._filled |= {name for name in self._fields if np.isfinite(np.asarray(getattr(content, name))).any()}
        positions = content.position if JOINT_FIELDS[0] in self._fields else ()
        for name, position in zip(names, [*positions, *[np.nan] * len(names)], strict=False):
            if not name.strip():
                continue
            low, high = self.ranges.get(name, (np.nan, np.nan))
            self.ranges[name] = float(np.fmin(low, position)), float(np.fmax(high, position))

    @property
    def filled(self) -> tuple[str, ...]:
        return tuple(name for name in JOINT_FIELDS if name in self._filled)

    @property
    def slowest_s(self) -> float:
        return max(self._periods_s, default=0.0)

    @property
    def rate_hz(self) -> float:
        return sum(1 / period_s for period_s in self._periods_s if period_s)

    @property
    def _periods_s(self) -> list[float]:
        return [_period_s(np.array(stamps, np.int64)) for stamps in self._stamps.values()]


def _period_s(stamps: Any) -> float:
    """Return the median of the steps between stamps; 0 where there are too few."""
    steps = np.diff(stamps)
    steps = steps[steps > 0]
    return float(np.median(steps)) / 1e9 if len(steps) >= 2 else 0.0


def look_at_picture(topic: str, type_name: str, content: Any) -> tuple[str, tuple[int, int]]:
    """Return why a message is no picture that a model can take, "" for one that is; and its width and height."""
    told = str(content.encoding if type_name == IMAGES[0] else content.format)
    encoding = told.split(";")[0].strip()
    if encoding in DEPTH or DEPTH_TRANSPORT in told or topic.endswith(f"/{DEPTH_TRANSPORT}"):
        return f"depth, not colour ({encoding or told})", (0, 0)
    if "depth" in topic and encoding == "mono16":
        return "depth, not colour (mono16)", (0, 0)
    try:
        height, width = pixels(content, type_name).shape[:2]
    except ImageError as error:
        return str(error), (0, 0)
    return "", (width, height)
