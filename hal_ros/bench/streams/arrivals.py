"""When the measured robot's messages come, and bags full of them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hal_ros.bags.messages import serialise
from hal_ros.bags.writer import BagWriter
from hal_ros.bench.streams import robot
from hal_ros.core.streams.spec import JOINT_STATE

WRENCH_HZ, CAMERA_HZ = 100, 15
START_NS = 1_700_000_000_000_000_000  # of bags: as a clock on the wall would have it
_STAMP = struct.Struct("<iI"), 4  # in little-endian CDR, behind the encapsulation


class Arrival(NamedTuple):
    """One message on its way in."""

    stream: str
    stamp_ns: int


def arrivals(seconds: int, joints_hz: int, wrench_hz: int = WRENCH_HZ) -> Iterator[Arrival]:
    """Yield the robot's messages in the order of their stamps; the wrist's pictures come 5 ms before the front's."""
    for ms in range(1, 1000 * seconds + 1):
        stamp_ns = ms * 1_000_000
        if ms * joints_hz % 1000 < joints_hz:
            yield Arrival(robot.ARM, stamp_ns)
        if ms * wrench_hz % 1000 < wrench_hz:
            yield Arrival(robot.WRENCH, stamp_ns)
        for name, early_ms in ((robot.WRIST, 5), (robot.FRONT, 0)):
            if (ms + early_ms) * CAMERA_HZ % 1000 < CAMERA_HZ:
                yield Arrival(name, stamp_ns)


class SentTopic(NamedTuple):
    """What a topic of a bag carries: messages of one type that begin with a header, as bytes, taking turns."""

    topic: str
    type_name: str
    messages: Sequence[bytes]


def states() -> dict[str, SentTopic]:
    """Return what arm and wrench carry."""
    joints, wrench = robot.joint_message(1), robot.wrench_message(1)
    return {
        robot.ARM: SentTopic(robot.TOPICS[robot.ARM], JOINT_STATE, [serialise(joints)]),
        robot.WRENCH: SentTopic(robot.TOPICS[robot.WRENCH], robot.WRENCH_TYPE, [serialise(wrench)]),
    }


def write_bag(folder: Path, carried: Mapping[str, SentTopic], arriving: Iterable[Arrival]) -> dict[str, int]:
    """Write what arrives, each message stamped when it arrives; return how many messages each stream has."""
    counts = dict.fromkeys(carried, 0)
    layout, offset = _STAMP
    with BagWriter(folder) as bag:
        for stream, after_ns in arriving:
            topic, type_name, messages = carried[stream]
            data, stamp_ns = bytearray(messages[counts[stream] % len(messages)]), START_NS + after_ns
            layout.pack_into(data, offset, *divmod(stamp_ns, 10**9))
            bag.write(topic, type_name, bytes(data), stamp_ns)
            counts[stream] += 1
    return counts
