"""Sensor messages: their pixels, whichever library read them, and the order in which a recording's are to be taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from hal_ros.bags.messages import header_stamp_ns
from hal_ros.core import image
from hal_ros.core.arrays import ByteArray
from hal_ros.core.picture_headers import MOST_PIXELS, check_size
from hal_ros.core.ticks import BACKWARD_JUMP_NS, is_stamp

if TYPE_CHECKING:
    from hal_ros.bags.inputs import BagInputs
    from hal_ros.bags.reader import BagMessage  # a live node reads no bag

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
SUFFIX = "/compressed"
"""What image_transport appends to a camera topic's name for compressed pictures."""
MOST_LATE_NS = 1_000_000_000


def pixels(message: Any, type_name: str, most_pixels: int = MOST_PIXELS) -> ByteArray:
    """Return the pixels (H, W, 3) uint8 RGB of an Image or CompressedImage of at most so many. Raises ImageError."""
    if type_name == COMPRESSED:
        return image.compressed_to_rgb(message.data, message.format, most_pixels)
    check_size(message.width, message.height, most_pixels)
    bigendian = bool(message.is_bigendian)
    return image.to_rgb(message.encoding, message.height, message.width, message.step, bigendian, message.data)


def in_clock_order(messages: Iterable[BagMessage], inputs: BagInputs) -> Iterator[BagMessage]:
    """Yield messages in receive order, but each of the clock behind those of all other topics that are not newer.

    Any two processes receive several topics in slightly different orders. A node that saw no message late (the intake
    counts those) used, for each tick, all that were not newer; so does whoever reads a recording through this. A
    message of the clock waits until every other topic has brought a newer one, at most MOST_LATE_NS of receive time.
    What is more than BACKWARD_JUMP_NS older than it waits behind it: it may be of a stream that begins anew.
    """
    order = _ClockOrder(inputs)
    for message in messages:
        yield from order.take(message)
    yield from order.all()


class _ClockOrder:
    """Messages that wait for others: the first is of the clock."""

    def __init__(self, inputs: BagInputs) -> None:
        self._inputs = inputs
        self._newest = dict.fromkeys(inputs.all_topics - inputs.clock_topics, 0)  # stamps of the other topics
        self._waiting: deque[tuple[int, BagMessage]] = deque()
        self._clock_ns = 0

    def take(self, message: BagMessage) -> Iterator[BagMessage]:
        """Yield what waited long enough now that a message came, and the message itself unless it has to wait."""
        waiting, newest = self._waiting, self._newest
        while waiting and message.receive_ns - waiting[0][1].receive_ns > MOST_LATE_NS:
            yield waiting.popleft()[1]
        stamp_ns, is_clock = stamp_of(message, self._inputs), message.topic in self._inputs.clock_topics
        if is_clock and 0 < stamp_ns < self._clock_ns - BACKWARD_JUMP_NS:
            yield from self._begin_anew(stamp_ns)
        if is_stamp(stamp_ns):
            newest.update({message.topic: stamp_ns} if message.topic in newest else {})
            self._clock_ns = stamp_ns if is_clock else self._clock_ns
        jumps = bool(waiting) and 0 < stamp_ns < waiting[0][0] - BACKWARD_JUMP_NS
        if newest and (is_clock or jumps):
            waiting.append((stamp_ns, message))
        else:
            yield message
        while waiting and self._is_over(*waiting[0]):
            yield waiting.popleft()[1]

    def _begin_anew(self, stamp_ns: int) -> Iterator[BagMessage]:
        """Yield all of the time before the clock jumped back: nothing more comes of it."""
        yield from self.all()
        old = [topic for topic, other_ns in self._newest.items() if other_ns > stamp_ns + BACKWARD_JUMP_NS]
        self._newest.update(dict.fromkeys(old, 0))

    def all(self) -> Iterator[BagMessage]:
        """Yield all that waits."""
        while self._waiting:
            yield self._waiting.popleft()[1]

    def _is_over(self, stamp_ns: int, message: BagMessage) -> bool:
        waits = message.topic in self._inputs.clock_topics
        return not waits or all(stamp_ns < other_ns for other_ns in self._newest.values())


def stamp_of(message: BagMessage, inputs: BagInputs) -> int:
    """Return a message's own stamp or, where its type begins with none, when it was sent; 0 for a malformed one."""
    if message.topic in inputs.headed:
        return header_stamp_ns(message.data) or 0
    return message.receive_ns if message.publish_ns is None else message.publish_ns
