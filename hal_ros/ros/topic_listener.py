"""All messages of one topic as bytes, whatever quality of service its publishers offer, and what of them was lost."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

OVERLAP_S = 1.0
"""How long a subscription lives on beside the one that takes its place, until that is surely connected."""
SEGMENT_BYTES = 64 << 20
"""Of shared memory that another process' messages come through, as config/fastdds.xml has it."""
# rclpy gives the middleware's times and numbers to callbacks of two required arguments; Humble's knows only one.
TELLS = hasattr(Subscription, "CallbackType")

Take = Callable[[bytes, Mapping[str, Any]], None]
"""Is given a message's bytes and what the middleware says of it."""


class TopicListener:
    """Subscribed as strictly as all publishers seen so far allow; anew as soon as one comes that offers less.

    `lost` counts messages that did not arrive: gaps in a publisher's numbers, and what a publisher that the
    subscription did not fit had sent before. `unfit` says that one has come whom `fit` has not seen. `silent` counts
    publishers that `fit` has seen of whom nothing has arrived.
    """

    def __init__(self, node: Node, topic: str, kind: Any, depth: int, take: Take) -> None:
        self.lost = 0
        self.unfit = False
        self._node, self._topic, self._kind, self._take = node, topic, kind, take
        self._profile = QoSProfile(depth=depth)
        self._subscriptions: list[Any] = []  # the newest last
        self._ends: list[float] = []  # of all but the newest
        self._newest: dict[bytes, int] = {}  # numbers by publisher
        self._unheard: set[bytes] = set()  # publishers that the subscription did not fit when they came
        self._publishers: set[bytes] = set()  # those of the last `fit`
        self._heard_any = False

    def fit(self, publishers: Sequence[TopicEndpointInfo]) -> bool:
        """Subscribe so that all of these are heard; returns whether that needed a new subscription."""
        self.unfit = False
        self._publishers = {bytes(one.endpoint_gid) for one in publishers}
        self._retire()
        first = not self._subscriptions
        asked = publishers if first else [*publishers, self._profile]
        profile = matching_qos([getattr(one, "qos_profile", one) for one in asked], self._profile.depth)
        if not first and _strictness(profile) == _strictness(self._profile):
            return False
        if not first:
            unheard = (one for one in publishers if not _hears(self._profile, one.qos_profile))
            self._unheard |= {bytes(one.endpoint_gid) for one in unheard}
            self._ends.append(time.monotonic() + (OVERLAP_S if TELLS else 0.0))
        self._profile = profile
        events = SubscriptionEventCallbacks(incompatible_qos=self._on_unfit)
        callback = self._on_message if TELLS else self._on_bare_message
        self._subscriptions.append(
            self._node.create_subscription(self._kind, self._topic, callback, profile, raw=True, event_callbacks=events)
        )
        self._retire()
        return True

    @property
    def silent(self) -> int:
        """How many publishers are there of whom nothing has arrived."""
        if self._heard_any and not self._newest:  # this distribution does not tell whose message it was
            return 0
        return len(self._publishers - self._newest.keys())

    def close(self) -> None:
        """End all subscriptions."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def _retire(self) -> None:
        while self._ends and self._ends[0] <= time.monotonic():
            self._ends.pop(0)
            self._node.destroy_subscription(self._subscriptions.pop(0))

    def _on_unfit(self, _: Any) -> None:
        self.unfit = True

    def _on_bare_message(self, data: bytes) -> None:
        self._heard_any = True
        self._take(data, {})

    def _on_message(self, data: bytes, info: Mapping[str, Any]) -> None:
        self._heard_any = True
        number, gid = info.get("publication_sequence_number"), info.get("publisher_gid")
        if number is not None and gid is not None:  # not every distribution tells
            publisher = bytes(gid["data"])
            if self._ends and number <= self._newest.get(publisher, 0):
                return  # both subscriptions hear this publisher
            expected = 1 if publisher in self._unheard else number
            self.lost += max(0, number - self._newest.get(publisher, expected - 1) - 1)
            self._newest[publisher] = number
        self._take(data, info)


def has_room() -> bool:
    """Whether this process' address space has room for another one's messages, which are lost without a word else."""
    try:
        mmap.mmap(-1, SEGMENT_BYTES).close()
    except (OSError, MemoryError):
        return False
    return True


def matching_qos(offered: Sequence[Any], depth: int) -> QoSProfile:
    """Return the strictest quality of service that is at most each of those offered, so that all of them match."""
    reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
    latched = all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
    return QoSProfile(
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def _strictness(profile: QoSProfile) -> tuple[bool, bool]:
    reliable = profile.reliability == ReliabilityPolicy.RELIABLE
    return reliable, profile.durability == DurabilityPolicy.TRANSIENT_LOCAL


def _hears(asked: QoSProfile, offered: QoSProfile) -> bool:
    """Whether a subscription hears a publisher, by the two policies that it asks for."""
    return all(has or not wants for wants, has in zip(_strictness(asked), _strictness(offered), strict=True))
