"""Sensor messages: their pixels and joint samples, whichever library read them, and which topics carry them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from hal_ros.bags.messages import header_stamp_ns, to_ns
from hal_ros.core import image, proprio
from hal_ros.core.arrays import ByteArray
from hal_ros.core.card import JointSpec, ModelCard
from hal_ros.core.errors import BagError
from hal_ros.core.observations import JointSample

if TYPE_CHECKING:
    from hal_ros.bags.reader import BagMessage  # a live node reads no bag

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
JOINT_STATE = "sensor_msgs/msg/JointState"
CAMERA_TOPIC = "/camera/color/image_raw"
JOINT_TOPIC = "/joint_states"
MOST_LATE_NS = 1_000_000_000


class SensorTopics(NamedTuple):
    """Where a model's inputs lie in a bag; None for what the model does not take or the bag does not hold."""

    camera: str | None
    joints: str | None


def pixels(message: Any, type_name: str) -> ByteArray:
    """Return the pixels (H, W, 3) uint8 RGB of an Image or CompressedImage. Raises ImageError."""
    if type_name == COMPRESSED:
        return image.compressed_to_rgb(message.data)
    bigendian = bool(message.is_bigendian)
    return image.to_rgb(message.encoding, message.height, message.width, message.step, bigendian, message.data)


def joint_sample(message: Any, spec: JointSpec) -> JointSample | None:
    """Return a JointState in the card's joint order, NaN where absent; None when it names none of the joints."""
    stamp_ns = to_ns(message.header.stamp)
    return proprio.select(stamp_ns, message.name, message.position, message.velocity, message.effort, spec)


def joints_first(messages: Iterable[BagMessage], topics: SensorTopics) -> Iterator[BagMessage]:
    """Yield messages in receive order, but each image behind the joint states that are not newer than it.

    Any two processes receive two topics in slightly different orders. A node that saw no joint state late (the intake
    counts those) used, for each image, all that were not newer; so does whoever reads a recording through this. An
    image waits for the first joint state that is newer than it, at most MOST_LATE_NS of receive time.
    """
    waiting: deque[BagMessage] = deque()
    for message in messages:
        while waiting and message.receive_ns - waiting[0].receive_ns > MOST_LATE_NS:
            yield waiting.popleft()
        if topics.joints is not None and message.topic == topics.camera:
            waiting.append(message)
            continue
        yield message
        if message.topic == topics.joints:
            while waiting and _stamp_ns(waiting[0]) < _stamp_ns(message):
                yield waiting.popleft()
    yield from waiting


def _stamp_ns(message: BagMessage) -> int:
    """The header's stamp; 0 for a malformed message, which whoever deserialises it will count."""
    return header_stamp_ns(message.data) or 0


def find_topics(
    types: Mapping[str, str], card: ModelCard, camera: str | None = None, joints: str | None = None
) -> SensorTopics:
    """Find the topics of a card's inputs among `types` (topic to type): those named, else the usual, else the only one.

    Raises BagError when the driving input is absent, or when several topics may be meant.
    """
    found = SensorTopics(
        _find(types, (IMAGE, COMPRESSED), (CAMERA_TOPIC, f"{CAMERA_TOPIC}/compressed"), camera) if card.image else None,
        _find(types, (JOINT_STATE,), (JOINT_TOPIC,), joints) if card.joints else None,
    )
    if card.image is not None and found.camera is None:
        raise BagError(f"no topic of {IMAGE} or {COMPRESSED} among {_listed(types)}; {card.name} needs a camera")
    if card.image is None and found.joints is None:
        raise BagError(f"no topic of {JOINT_STATE} among {_listed(types)}; {card.name} needs joint states")
    return found


def _find(types: Mapping[str, str], kinds: tuple[str, ...], usual: tuple[str, ...], named: str | None) -> str | None:
    candidates = sorted(topic for topic, kind in types.items() if kind in kinds)
    if named is not None:
        if named not in candidates:
            raise BagError(f"topic {named!r} is not one of {_listed(candidates)}, which carry {' or '.join(kinds)}")
        return named
    for topic in usual:
        if topic in candidates:
            return topic
    if len(candidates) > 1:
        raise BagError(f"several topics carry {' or '.join(kinds)}: {_listed(candidates)}; name the one to take")
    return candidates[0] if candidates else None


def _listed(topics: Any) -> str:
    return ", ".join(sorted(topics)) or "no topics"
