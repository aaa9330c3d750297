"""From a bag's messages to due ticks with their pictures and states: replay and ingest both walk this way.

It is the node's walk without its clock: the same intake, the same conversions, what can't be read counted and skipped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from hal_ros.bags.inputs import BagInputs
from hal_ros.bags.reader import BagMessage
from hal_ros.bags.sensors import in_clock_order, pixels, stamp_of
from hal_ros.core.arrays import ByteArray
from hal_ros.core.errors import BagError
from hal_ros.core.streams import counts
from hal_ros.core.streams.convert import PictureConverter
from hal_ros.core.streams.intake import Due, Intake
from hal_ros.core.streams.merge import StateSample
from hal_ros.core.streams.pictures import TimedPicture
from hal_ros.core.streams.readers import Reading


@dataclass(frozen=True)
class Frame:
    """A tick to step: what the node's worker would get. `reset` says that somebody reset the node before it."""

    due: Due
    pictures: Mapping[str, ByteArray | None]  # by camera
    frame_id: str  # of the clock's message
    receive_ns: int  # likewise
    reset: bool = False
    session: int = 0  # the node's life that answered it when it was recorded, as ActionLabel.session; 0: none


class BagPicture(NamedTuple):
    """A camera message on its way to its pixels."""

    content: Any
    type_name: str


def to_rgb(picture: BagPicture) -> ByteArray:
    """Return the pixels (H, W, 3) uint8 RGB of a camera message; raises ImageError."""
    return pixels(picture.content, picture.type_name)


Reasons = dict[str, str]
"""By the counter's name why the first message could not be read that is counted there."""


def due_frames(
    messages: Iterable[BagMessage],
    inputs: BagInputs,
    counters: Counter[str],
    start_ns: int | None = None,
    reasons: Reasons | None = None,
) -> Iterator[Frame]:
    """Yield the due ticks of messages in receive order; with start_ns from the clock's message of that stamp on.

    Counters: those of the intake; skipped (messages of the clock before start_ns). `reasons` is filled. Raises BagError
    when there is no message of the clock of stamp start_ns.
    """
    intake, converter = Intake(inputs.spec), PictureConverter(inputs.spec, to_rgb, counters)
    received: dict[int, int] = {}  # of the clock's message, and of one that waits for it
    for message in in_clock_order(messages, inputs):
        if start_ns is not None and message.topic in inputs.clock_topics:
            if stamp_of(message, inputs) != start_ns:
                counters["skipped"] += 1
                continue
            start_ns = None
        content = content_of(message, inputs, counters, reasons)
        if content is None:
            continue
        received.setdefault(stamp_of(message, inputs), message.receive_ns)
        for due in _take(message, content, inputs, intake):
            pictures = converter.convert(due)
            keep_reasons(converter, reasons)
            if pictures is not None:
                yield Frame(due, pictures, due.frame_id, received[due.stamp_ns])
        received = {stamp_ns: ns for stamp_ns, ns in received.items() if stamp_ns == intake.waiting_ns}
    intake.reset()  # nothing comes any more that a last stamp could have waited for
    counters.update(intake.counters)
    if start_ns is not None:
        raise BagError(
            f"no message of {inputs.spec.clock} is stamped {start_ns} ns, where the recorded labels begin; "
            "expected it in the bag (--from-start begins with the first that is there)"
        )


def _take(message: BagMessage, content: Any, inputs: BagInputs, intake: Intake) -> Iterator[Due]:
    """Give a message to all streams that it is of; what is of the clock comes last, so that the tick knows the rest."""
    found: list[Due | None] = []
    stamp_ns, frame_id = stamp_of(message, inputs), frame_id_of(message, content, inputs)
    streams = [*inputs.cameras.get(message.topic, ()), *inputs.readers.get(message.topic, {})]
    for name in sorted(streams, key=lambda stream: stream == inputs.spec.clock):
        if name in inputs.spec.cameras:
            picture = TimedPicture(stamp_ns, message.topic, BagPicture(content, message.type_name))
            found.append(intake.picture(name, picture, frame_id))
            continue
        reading = inputs.readers[message.topic][name].read(content)
        if isinstance(reading, Reading):
            sample = StateSample(stamp_ns, message.topic, reading.values, reading.present)
            found.append(intake.state(name, sample, frame_id))
        else:
            intake.refuse(name, reading)
    yield from (one for due in found if due is not None for one in due.in_order)


def keep_reasons(converter: PictureConverter, reasons: Reasons | None) -> None:
    """Keep why the first picture of each camera can't be converted."""
    for camera, reason in converter.last_errors.items() if reasons is not None else ():
        if reason and reasons is not None:
            reasons.setdefault(counts.key(camera, counts.UNREADABLE), reason)


def content_of(
    message: BagMessage, inputs: BagInputs, counters: Counter[str], reasons: Reasons | None = None
) -> Any | None:
    """Deserialise a message of a stream; None for all others, and counted for one that is not of its type."""
    streams = [*inputs.cameras.get(message.topic, ()), *inputs.readers.get(message.topic, {})]
    if not streams:
        return None
    cause, expected = counts.MALFORMED, inputs.type_names[message.topic]
    if message.type_name == expected:
        try:
            return inputs.types.deserialise(message.type_name, message.data)
        except BagError as error:
            reason = str(error)
    else:
        cause, reason = counts.REFUSED, f"{message.topic} carries {message.type_name} beside {expected}"
    for key in (counts.key(name, cause) for name in streams):
        counters[key] += 1
        if reasons is not None:
            reasons.setdefault(key, reason)
    return None


def frame_id_of(message: BagMessage, content: Any, inputs: BagInputs) -> str:
    """Return the frame_id of a message; '' where its type begins with no header."""
    return str(content.header.frame_id) if message.topic in inputs.headed else ""
