"""The executor's half of a tick's walk: place messages on the grid, merge states, hand over. Microseconds only.

What a message can do wrong here is counted by stream and cause; pixels are not touched, they are the worker's.
"""

from __future__ import annotations

import importlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hal_ros.bags.definitions import BagTypes
from hal_ros.core.errors import BagError, ConfigError, HalError
from hal_ros.core.streams import counts
from hal_ros.core.streams.intake import Due, Intake
from hal_ros.core.streams.merge import StateSample
from hal_ros.core.streams.pictures import TimedPicture
from hal_ros.core.streams.readers import Reading, StateReader, make_reader
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.core.ticks import read_stamp
from hal_ros.ros import message_types
from hal_ros.ros.segmenter.topics import WantedTopic

TYPES = BagTypes()
MOST_NAMES_SHOWN = 32
"""Names of a message that the model does not know, as far as they are said."""


class ReceivedFrame(NamedTuple):
    """A due tick on its way to the worker, and when its clock's message was received."""

    due: Due
    received_ns: int  # on the clock that never jumps: time.perf_counter_ns


@dataclass
class StreamSight:
    """What was seen of a stream since activation."""

    last_ns: int | None = None  # when its newest message was received, on the clock of ReceivedFrame.received_ns
    names_seen: frozenset[str] = frozenset()  # of the newest message that named nothing that the model knows
    known: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))  # values that came at least once
    problem: str = ""  # why its messages can't be read
    malformed: str = ""  # what was wrong with the newest message that could not be taken


class MessageInputs:
    """Message callbacks of one activation; `put` takes each due frame. For one thread, the executor's.

    Counters, beside those of the intake: unpaired (messages of the clock that the synchroniser holds back or gave up).
    """

    def __init__(self, spec: StreamSpec, put: Callable[[ReceivedFrame], None]) -> None:
        self.spec = spec
        self.sights = {name: StreamSight() for name in spec.names}
        for name, state in spec.states.items():
            self.sights[name].known = np.zeros(state.value_count, bool)
        self._put = put
        self._intake = Intake(spec)

    @property
    def counters(self) -> Counter[str]:
        """What came and what became of it, since activation."""
        return self._intake.counters

    def reset(self) -> None:
        """Let the next message of the clock start a fresh grid, and so a fresh state."""
        self._intake.reset()

    def names_unseen(self, stream: str) -> tuple[str, ...]:
        """Return the names of a state of which no message has brought any value since activation."""
        state = self.spec.states.get(stream)
        if state is None or not state.names:
            return ()
        known = self.sights[stream].known.reshape(len(state.fields), len(state.names))
        return tuple(name for index, name in enumerate(state.names) if not known[:, index].any())

    def port(self, wanted: WantedTopic) -> TopicPort:
        """Return who takes the messages of a topic. A stream that can't read its type gets none, and says why."""
        readers: dict[str, StateReader] = {}
        for name in wanted.streams:
            if name not in self.spec.states:
                continue
            try:
                readers[name] = make_reader(self.spec.states[name], wanted.form.type_name, message_types.describe)
            except HalError as error:
                self.sights[name].problem = f"{wanted.form.topic} {_carries(wanted.form.type_name, str(error))}"
        streams = [name for name in wanted.streams if name in readers or name in self.spec.cameras]
        # the clock comes last, so that its tick knows what the message says of the others
        order = sorted(streams, key=lambda name: name == self.spec.clock)
        form = wanted.form
        return TopicPort(self, form.topic, form.type_name, order, readers, message_types.has_header(form.type_name))

    def refuse(self, port: TopicPort, error: Exception) -> None:
        """Count a message that can't be taken for any stream of its topic."""
        for name in port.streams:
            self._intake.refuse(name, counts.MALFORMED)
            self.sights[name].malformed = " ".join(f"{type(error).__name__}: {error}".split())

    def take(self, port: TopicPort, message: Any, stamp_ns: int) -> None:
        """Take one message for all streams of its topic; whatever it holds, the next good one is taken, too."""
        now_ns = time.perf_counter_ns()
        for name in port.streams:
            sight = self.sights[name]
            sight.last_ns = now_ns
            try:
                due = self._take(name, port, message, stamp_ns)
            except Exception as error:  # noqa: BLE001
                self._intake.refuse(name, counts.MALFORMED)
                sight.malformed = " ".join(f"{type(error).__name__}: {error}".split())
                continue
            if due is not None:
                self._put(ReceivedFrame(due, now_ns))

    def _take(self, name: str, port: TopicPort, message: Any, stamp_ns: int) -> Due | None:
        frame_id = message.header.frame_id if port.headed else ""
        if name not in port.readers:
            return self._intake.picture(name, TimedPicture(stamp_ns, port.topic, message), frame_id)
        reading, sight = port.readers[name].read(message), self.sights[name]
        if not isinstance(reading, Reading):
            self._intake.refuse(name, reading)
            if reading == counts.UNNAMED:
                sight.names_seen = frozenset(message.name[:MOST_NAMES_SHOWN])
            return None
        sight.known |= True if reading.present is None else reading.present
        return self._intake.state(name, StateSample(stamp_ns, port.topic, reading.values, reading.present), frame_id)


def _carries(type_name: str, fault: str) -> str:
    return fault if fault.startswith("carries ") else f"carries {type_name}: {fault}"


@dataclass(frozen=True)
class TopicPort:
    """Where the messages of one topic go."""

    inputs: MessageInputs
    topic: str  # full name
    type_name: str
    streams: Iterable[str]
    readers: Mapping[str, StateReader]  # of those streams that are states
    headed: bool  # whether messages are stamped by whoever sent them

    @property
    def is_clock(self) -> bool:
        """Whether its stamps make the ticks."""
        return self.inputs.spec.clock in self.streams

    def on_message(self, message: Any) -> None:
        """Take a message that bears its own stamp."""
        stamp = message.header.stamp
        self.inputs.take(self, message, read_stamp(stamp.sec, stamp.nanosec))

    def on_bytes(self, data: bytes) -> None:
        """Take a message that bears its own stamp as it came: rclpy itself reads a picture 50 times as slowly."""
        try:
            message = TYPES.deserialise(self.type_name, data)
        except BagError as error:
            self.inputs.refuse(self, error)
            return
        self.on_message(message)

    def on_message_with_info(self, message: Any, info: Mapping[str, Any]) -> None:
        """Take a message without header: its stamp is when it was sent, as far as the middleware tells."""
        self.inputs.take(self, message, int(info.get("source_timestamp") or time.time_ns()))

    def on_bare_message(self, message: Any) -> None:
        """Take a message without header where rclpy says nothing about it, as in Humble."""
        self.on_message_with_info(message, {})


class Synchroniser:
    """Holds a message of the clock back until message_filters' ApproximateTimeSynchronizer has found it partners.

    All other messages still go to the inputs at once, and which of them a tick takes is decided there as ever: the
    newest that are not newer than the clock's stamp. So the answers stay causal, whatever sets were made.
    Topics whose messages have no header take no part.
    """

    def __init__(self, inputs: MessageInputs, slop_s: float, queue_size: int) -> None:
        self._module = message_filters()
        self._inputs = inputs
        self._slop_s, self._queue_size = slop_s, queue_size
        self._topics: set[str] = set()  # with headers, and not of the clock
        self._filters: dict[str, Any] = {}  # of those topics
        self._clock: Any = None  # the filter of the clock's messages
        self._sets: Any = None

    def wrap(self, port: TopicPort) -> Callable[[Any], None]:
        """Return the callback of a topic whose messages have headers; `start` lets it take part."""
        if port.is_clock:
            return partial(self._on_clock, port)
        self._topics.add(port.topic)
        return partial(self._on_other, port)

    def start(self) -> None:
        """Look for sets among all topics that were wrapped so far; what waited for a set of fewer is given up."""
        self._clock = self._module.SimpleFilter()
        self._filters = {topic: self._module.SimpleFilter() for topic in sorted(self._topics)}
        self._sets = None
        if self._filters:
            sources = [self._clock, *self._filters.values()]
            self._sets = self._module.ApproximateTimeSynchronizer(sources, self._queue_size, self._slop_s)
            self._sets.registerCallback(partial(_on_set, self._inputs))  # no method of this: that would be a circle

    def _on_clock(self, port: TopicPort, message: Any) -> None:
        if self._sets is None:  # there is nothing yet to wait for
            port.on_message(message)
            return
        for name in port.streams:
            self._inputs.sights[name].last_ns = time.perf_counter_ns()
        self._inputs.counters["unpaired"] += 1
        self._clock.signalMessage(_Held(port, message))

    def _on_other(self, port: TopicPort, message: Any) -> None:
        port.on_message(message)
        self._filters[port.topic].signalMessage(message)


class _Held:
    """A message of the clock, as the synchroniser wants it: with its header."""

    def __init__(self, port: TopicPort, message: Any) -> None:
        self.port, self.message, self.header = port, message, message.header


def _on_set(inputs: MessageInputs, held: _Held, *_: Any) -> None:
    inputs.counters["unpaired"] -= 1
    held.port.on_message(held.message)


def message_filters() -> Any:
    """Import ROS 2's message_filters; raises ConfigError when it is absent, or is the one of ROS 1."""
    try:
        module = importlib.import_module("message_filters")
    except ImportError as error:
        raise ConfigError(
            f"synchroniser is message_filters, a ROS 2 package that can't be imported ({error}); expected latest"
        ) from error
    # Registries of Python packages carry a port of the ROS 1 module under this name.
    if not hasattr(module, "rclpy"):
        raise ConfigError(f"synchroniser is message_filters, but {module.__file__} is not the one of ROS 2")
    return module
