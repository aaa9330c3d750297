"""Exactly the ticks that recorded labels name: each label says which messages went into its answer.

Labels of 0.1.0 name the clock's image and the joint sample alone, without their topics.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, islice, product
from typing import Any

import numpy as np

from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.frames import BagPicture, Frame, Reasons, content_of, frame_id_of, keep_reasons, to_rgb
from hal_ros.bags.inputs import BagInputs
from hal_ros.bags.messages import to_ns
from hal_ros.bags.reader import BagMessage
from hal_ros.bags.sensors import MOST_LATE_NS, in_clock_order, stamp_of
from hal_ros.core.card import ModelCard
from hal_ros.core.errors import BagError
from hal_ros.core.streams.convert import PictureConverter
from hal_ros.core.streams.intake import Due
from hal_ros.core.streams.merge import Source, StateAtTick, StateMerger, StateSample
from hal_ros.core.streams.pictures import TimedPicture
from hal_ros.core.streams.readers import Reading
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.core.ticks import Grid, may_begin

PATIENCE = 64
"""So many ticks may have their clock's message before one whose other inputs are not in the bag is given up."""
MOST_CHOICES = 16
"""So many ways of telling messages of one topic and stamp apart are tried for one state of a tick."""
ANY_TOPIC = ""


@dataclass(frozen=True)
class NamedTick:
    """What a recorded ActionLabel says of the tick that went in."""

    stamp_ns: int
    tick: int
    origin_ns: int
    sources: tuple[Source, ...]  # every message that went in
    reset: bool  # its grid is new though nothing in the stamps made it so
    session: int = 0  # as ActionLabel.session; 0 where labels are older than that


def named_ticks(labels: Iterable[BagMessage], card: ModelCard, types: BagTypes) -> tuple[list[NamedTick], int]:
    """Return the ticks that recorded labels name, and how many segments the node had opened before the first one.

    Raises BagError for labels that begin in the middle of a stream: the model's state before them is not known.
    """
    ticks: list[NamedTick] = []
    segments = None
    for message in labels:
        label = types.deserialise(message.type_name, message.data)
        before = ticks[-1] if ticks else None
        if before is None and label.tick > 0 and label.confirmed_valid and card.lag_ticks > 0:
            raise BagError(
                f"the recorded labels begin at tick {label.tick}, amid a stream; expected its first label too"
            )
        ticks.append(_named_tick(label, before, card))
        if segments is None and label.confirmed_valid:
            segments = label.segment_id - 1
    return ticks, segments or 0


def _named_tick(label: Any, before: NamedTick | None, card: ModelCard) -> NamedTick:
    stamp_ns, origin_ns = to_ns(label.header.stamp), to_ns(label.origin)
    reset = False
    if before is not None and origin_ns != before.origin_ns:
        grid = Grid(before.origin_ns, before.tick, before.stamp_ns)
        reset = not may_begin(origin_ns, grid, card.period_ns, card.max_held_ticks)
    sources, session = _sources(label, stamp_ns, card.streams), int(getattr(label, "session", 0))
    return NamedTick(stamp_ns, label.tick, origin_ns, sources, reset, session)


def _sources(label: Any, stamp_ns: int, spec: StreamSpec) -> tuple[Source, ...]:
    if hasattr(label, "inputs"):
        return tuple(Source(one.stream, one.topic, to_ns(one.stamp)) for one in label.inputs)
    joints_ns = to_ns(label.joints_stamp)
    joints = [Source(name, ANY_TOPIC, joints_ns) for name, state in spec.states.items() if joints_ns and state.names]
    return (*(Source(camera, ANY_TOPIC, stamp_ns) for camera in spec.cameras if camera == spec.clock), *joints)


@dataclass(frozen=True)
class _Arrived:
    """A message that a tick names, read for one stream."""

    message: BagMessage
    content: Any
    sample: StateSample | None  # None: of a camera


def named_frames(
    messages: Iterable[BagMessage],
    ticks: Sequence[NamedTick],
    inputs: BagInputs,
    counters: Counter[str],
    reasons: Reasons | None = None,
) -> Iterator[Frame]:
    """Yield exactly the given ticks, from messages in receive order; `reasons` is filled as `due_frames` does it.

    Counters: missing (ticks with an input that is not in the bag), and those of what can't be read.
    """
    rebuilding = _Rebuilding(ticks, inputs, counters)
    for message in in_clock_order(messages, inputs):
        content = content_of(message, inputs, counters, reasons)
        if content is not None and rebuilding.add(message, content):
            yield from rebuilding.ready()
            keep_reasons(rebuilding.converter, reasons)
    yield from rebuilding.ready(at_end=True)
    keep_reasons(rebuilding.converter, reasons)


def _choices(arrived: Sequence[_Arrived], count: int) -> list[Sequence[_Arrived]]:
    """Return which messages of one topic and stamp a tick may mean: all, else as many as it names."""
    fewer = list(combinations(arrived, count)) if count < len(arrived) <= MOST_CHOICES else []
    return [arrived, *fewer]


class _Rebuilding:
    """Ticks that wait for the messages that they name, oldest first."""

    def __init__(self, ticks: Sequence[NamedTick], inputs: BagInputs, counters: Counter[str]) -> None:
        self._waiting = deque(ticks)
        self._inputs, self._counters = inputs, counters
        self._wanted = Counter(source for tick in ticks for source in tick.sources)
        self._arrived: dict[Source, list[_Arrived]] = {}
        self._clock_ns = {tick.stamp_ns for tick in ticks}
        self._clock_waiting: dict[int, _Arrived] = {}
        self._pictures: dict[Source, TimedPicture] = {}
        self.converter = PictureConverter(inputs.spec, to_rgb, counters)

    def add(self, message: BagMessage, content: Any) -> bool:
        """Take a message; whether some tick names it."""
        stamp_ns, taken = stamp_of(message, self._inputs), False
        streams = [*self._inputs.cameras.get(message.topic, ()), *self._inputs.readers.get(message.topic, {})]
        for name in streams:
            arrived = self._read(name, stamp_ns, message, content)
            if arrived is None:
                continue
            if name == self._inputs.spec.clock and stamp_ns in self._clock_ns:
                self._clock_waiting.setdefault(stamp_ns, arrived)
                taken = True
            for topic in (message.topic, ANY_TOPIC):
                source = Source(name, topic, stamp_ns)
                if source in self._wanted:
                    self._keep(source, arrived)
                    taken = True
        return taken

    def _keep(self, source: Source, arrived: _Arrived) -> None:
        known = self._arrived.setdefault(source, [])
        if known and arrived.message.receive_ns - known[-1].message.receive_ns > MOST_LATE_NS:
            known.clear()  # a simulation that was reset gives its stamps again
            self._pictures.pop(source, None)
        known.append(arrived)

    def _read(self, name: str, stamp_ns: int, message: BagMessage, content: Any) -> _Arrived | None:
        if name in self._inputs.spec.cameras:
            return _Arrived(message, content, None)
        reading = self._inputs.readers[message.topic][name].read(content)
        if not isinstance(reading, Reading):
            return None
        sample = StateSample(stamp_ns, message.topic, reading.values, reading.present)
        return _Arrived(message, content, sample)

    def ready(self, at_end: bool = False) -> Iterator[Frame]:
        """Yield the ticks at the head of the queue whose inputs are all there, forgetting what they alone used."""
        while self._waiting:
            tick = self._waiting[0]
            lacking = tick.stamp_ns not in self._clock_waiting or any(s not in self._arrived for s in tick.sources)
            lacking |= self._names_no_picture(tick)
            if lacking and not at_end and len(self._clock_waiting) < PATIENCE:
                return
            self._waiting.popleft()
            frame = None if lacking else self._frame(tick)
            self._counters["missing"] += lacking
            self._forget(tick)
            if frame is not None:
                yield frame

    def _names_no_picture(self, tick: NamedTick) -> bool:
        """Whether a label is none of its clock's pictures: a node never publishes such."""
        clock = self._inputs.spec.clock
        return clock in self._inputs.spec.cameras and all(source.stream != clock for source in tick.sources)

    def _frame(self, tick: NamedTick) -> Frame | None:
        due = self._due(tick)
        pictures = self.converter.convert(due)
        clock = self._clock_waiting[tick.stamp_ns]
        if pictures is None:
            return None
        frame_id = frame_id_of(clock.message, clock.content, self._inputs)
        return Frame(due, pictures, frame_id, clock.message.receive_ns, tick.reset, tick.session)

    def _due(self, tick: NamedTick) -> Due:
        spec = self._inputs.spec
        cameras: Mapping[str, TimedPicture | None] = {
            camera: next((self._picture(s) for s in tick.sources if s.stream == camera), None)
            for camera in spec.cameras
        }
        merged = [self._merged(name, tick) for name in spec.states]
        nothing = np.zeros(0, np.float32)
        return Due(
            tick.stamp_ns,
            tick.tick,
            tick.origin_ns,
            cameras,
            np.concatenate([nothing, *(state.values for state in merged)]),
            np.concatenate([nothing, *(state.valid for state in merged)]),
            tuple(self._full(source) for source in tick.sources),
        )

    def _merged(self, name: str, tick: NamedTick) -> StateAtTick:
        """Merge what the tick names, as the intake did.

        Of two messages of one topic and stamp the node may have had one alone: those are taken that, merged, are named.
        """
        named = Counter(source for source in tick.sources if source.stream == name)
        expected = sorted(self._full(source) for source in named.elements())
        choices = [_choices(self._arrived[source], count) for source, count in named.items()]
        first: StateAtTick | None = None
        for chosen in islice(product(*choices), MOST_CHOICES):
            merger = StateMerger(name, self._inputs.spec.states[name], Counter())
            for arrived in chain(*chosen):
                assert arrived.sample is not None
                merger.add(arrived.sample)
            merged = merger.at(tick.stamp_ns)
            if sorted(merged.sources) == expected:
                return merged
            first = first or merged
        assert first is not None  # there is always one choice
        return first

    def _full(self, source: Source) -> Source:
        return source if source.topic else source._replace(topic=self._arrived[source][0].message.topic)

    def _picture(self, source: Source) -> TimedPicture:
        """Return the same picture for two ticks that name it, so that it is converted once."""
        first = self._arrived[source][0]
        return self._pictures.setdefault(
            source,
            TimedPicture(source.stamp_ns, first.message.topic, BagPicture(first.content, first.message.type_name)),
        )

    def _forget(self, tick: NamedTick) -> None:
        self._clock_waiting.pop(tick.stamp_ns, None)
        for source in tick.sources:
            self._wanted[source] -= 1
            if self._wanted[source] <= 0:
                del self._wanted[source]
                self._arrived.pop(source, None)
                self._pictures.pop(source, None)
