"""Joint states go before the images that are not older: whatever the order of arrival, the stamps decide."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from hal_ros.bags.reader import BagMessage
from hal_ros.bags.sensors import MOST_LATE_NS, SensorTopics, joints_first

TOPICS = SensorTopics("/image", "/joints")
MS = 1_000_000
IMAGES = [100 * MS * tick for tick in range(1, 6)]
JOINTS = [10 * MS * tick for tick in range(1, 60)]


def message(topic: str | None, stamp_ns: int, receive_ns: int) -> BagMessage:
    header = b"\0\1\0\0" + struct.pack("<iI", *divmod(stamp_ns, 1_000_000_000))
    return BagMessage(topic or "", "", receive_ns, header)


def stamp_ns(found: BagMessage) -> int:
    seconds, nanoseconds = struct.unpack_from("<iI", found.data, 4)
    return int(seconds * 1_000_000_000 + nanoseconds)


def newest_joints_at_images(messages: Iterable[BagMessage]) -> list[int]:
    """What causal alignment finds: per image, in order, the newest stamp seen that is not newer."""
    seen, found = [0], []
    for each in messages:
        if each.topic == TOPICS.joints:
            seen.append(stamp_ns(each))
        else:
            found.append(max(stamp for stamp in seen if stamp <= stamp_ns(each)))
    return found


def arrived(image_delay_ns: int, joint_delays_ns: list[int]) -> list[BagMessage]:
    """A recording whose joint states came late by these delays; each topic stays in order, as one publisher's does."""
    messages = [message("/image", stamp, stamp + image_delay_ns) for stamp in IMAGES]
    newest = 0
    for stamp, delay in zip(JOINTS, joint_delays_ns, strict=True):
        newest = max(newest, stamp + delay)
        messages.append(message("/joints", stamp, newest))
    return sorted(messages, key=lambda each: each.receive_ns)


@given(st.integers(0, 40), st.lists(st.integers(0, 80), min_size=len(JOINTS), max_size=len(JOINTS)))
def test_the_order_of_arrival_does_not_matter(image_delay_ms: int, joint_delays_ms: list[int]) -> None:
    messages = arrived(image_delay_ms * MS, [delay * MS for delay in joint_delays_ms])
    ordered = list(joints_first(messages, TOPICS))
    assert newest_joints_at_images(ordered) == IMAGES
    assert sorted(map(id, ordered)) == sorted(map(id, messages))  # nothing is lost, nothing comes twice
    for topic in TOPICS:
        assert [m for m in ordered if m.topic == topic] == [m for m in messages if m.topic == topic]


def test_in_receive_order_it_would_matter() -> None:
    late = arrived(0, [30 * MS] * len(JOINTS))
    assert newest_joints_at_images(late) != IMAGES


def test_an_image_does_not_wait_for_ever() -> None:
    silent = [message("/image", 1, 1), message("/clock", 1, 2 + MOST_LATE_NS), message("/joints", 0, 3 + MOST_LATE_NS)]
    assert [m.topic for m in joints_first(silent, TOPICS)] == ["/image", "/clock", "/joints"]


def test_without_joints_nothing_waits() -> None:
    images = [message("/image", stamp, stamp) for stamp in IMAGES]
    pulled: list[int] = []

    def source() -> Iterable[BagMessage]:
        for each in images:
            pulled.append(each.receive_ns)
            yield each

    stream = joints_first(source(), TOPICS._replace(joints=None))
    assert next(iter(stream)) is images[0] and pulled == IMAGES[:1]


def test_a_message_without_a_header_passes() -> None:
    broken = [BagMessage("/image", "", 1, b"\0"), BagMessage("/joints", "", 2, b""), message("/joints", 5, 3)]
    assert len(list(joints_first(broken, TOPICS))) == 3
