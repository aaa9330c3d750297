"""Sensor messages: their pixels, whichever library read them, and the order in which a recording's are to be taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from hal_ros.bags.messages import header_stamp_ns
from hal_ros.core import image
from hal_ros.core.arrays import ByteArray

if TYPE_CHECKING:
    from hal_ros.bags.inputs import BagInputs
    from hal_ros.bags.reader import BagMessage  # a live node reads no bag

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
MOST_LATE_NS = 1_000_000_000


def pixels(message: Any, type_name: str) -> ByteArray:
    """Return the pixels (H, W, 3) uint8 RGB of an Image or CompressedImage. Raises ImageError."""
    if type_name == COMPRESSED:
        return image.compressed_to_rgb(message.data)
    bigendian = bool(message.is_bigendian)
    return image.to_rgb(message.encoding, message.height, message.width, message.step, bigendian, message.data)


def in_clock_order(messages: Iterable[BagMessage], inputs: BagInputs) -> Iterator[BagMessage]:
    """Yield messages in receive order, but each of the clock behind those of all other topics that are not newer.

    Any two processes receive several topics in slightly different orders. A node that saw no message late (the intake
    counts those) used, for each tick, all that were not newer; so does whoever reads a recording through this. A
    message of the clock waits until every other topic has brought a newer one, at most MOST_LATE_NS of receive time.
    """
    newest = dict.fromkeys(inputs.all_topics - inputs.clock_topics, 0)
    waiting: deque[tuple[int, BagMessage]] = deque()
    for message in messages:
        while waiting and message.receive_ns - waiting[0][1].receive_ns > MOST_LATE_NS:
            yield waiting.popleft()[1]
        stamp_ns = stamp_of(message, inputs)
        if newest and message.topic in inputs.clock_topics:
            waiting.append((stamp_ns, message))
            continue
        yield message
        if message.topic in newest:
            newest[message.topic] = stamp_ns
            while waiting and all(waiting[0][0] < other_ns for other_ns in newest.values()):
                yield waiting.popleft()[1]
    for _, message in waiting:
        yield message


def stamp_of(message: BagMessage, inputs: BagInputs) -> int:
    """Return a message's own stamp or, where its type has none, when it was sent; 0 for a malformed message."""
    if message.topic in inputs.headed:
        return header_stamp_ns(message.data) or 0
    return message.receive_ns if message.publish_ns is None else message.publish_ns
