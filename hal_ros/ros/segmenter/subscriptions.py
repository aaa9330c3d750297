"""The segmenter's subscriptions, one for each topic of its streams, with what the middleware says about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # Humble defines it there
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, QoSReliabilityPolicy, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions

from hal_ros.bags.sensors import COMPRESSED, IMAGE
from hal_ros.core.errors import HalError
from hal_ros.core.streams import counts
from hal_ros.ros.message_types import message_class
from hal_ros.ros.params import SegmenterParameters
from hal_ros.ros.segmenter.inputs import MessageInputs, Synchroniser, TopicPort
from hal_ros.ros.segmenter.topics import OpenTopic, WantedTopic, all_streams, candidates, published

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

IMAGES = (IMAGE, COMPRESSED)
CAMERA_QOS = QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT)
STATE_QOS = QoSProfile(depth=200, reliability=QoSReliabilityPolicy.BEST_EFFORT)
LOOK_PERIOD_S = 0.2
"""How often topics are looked for whose transport or type only their publishers can tell."""

LOST_HINT = (
    "a publisher is matched, so images are lost on the way: on one machine, start both processes with "
    "FASTDDS_DEFAULT_PROFILES_FILE set to this package's config/fastdds.xml"
)


class Subscriptions:
    """The subscriptions of all streams from activation to deactivation. `destroy` ends them."""

    def __init__(
        self,
        node: LifecycleNode,
        topics: Mapping[str, tuple[str, ...]],
        parameters: SegmenterParameters,
        inputs: MessageInputs,
    ) -> None:
        """Subscribe to the topics of all streams; those that nobody publishes yet in all their forms are looked for."""
        self.qos_errors: dict[str, str] = {}  # by topic
        self._node, self._inputs = node, inputs
        self._synchroniser: Synchroniser | None = None
        if parameters.synchroniser == "message_filters":
            limits = parameters.synchroniser_slop_s, parameters.synchroniser_queue_size
            self._synchroniser = Synchroniser(inputs, *limits)
        self._subscriptions: dict[str, tuple[Any, TopicPort]] = {}  # by topic
        self._drained: list[tuple[Any, Any, Callable[..., None], bool]] = []
        self._open = self._candidates(topics, parameters.image_transport)
        self._looking: Any = None
        try:
            self._subscribe_to(self._settled())
            if self._synchroniser is not None:
                self._synchroniser.start()
            if self._open:
                self._looking = node.create_timer(
                    LOOK_PERIOD_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME)
                )
        except Exception:
            self.destroy()
            raise

    @property
    def topics(self) -> list[str]:
        """Full names of the subscribed topics."""
        return [subscription.topic_name for subscription, _ in self._subscriptions.values()]

    @property
    def words(self) -> str:
        """Each stream and its topics."""
        return ", ".join(f"{name} on {' and '.join(self.topics_of(name))}" for name in self._inputs.spec.names)

    def topics_of(self, stream: str) -> list[str]:
        """Return the full names of a stream's topics: those subscribed to, and those that are looked for."""
        found = [topic for topic, (_, port) in self._subscriptions.items() if stream in port.streams]
        return [*found, *(one.candidates[0][0] for one in self._open if one.stream == stream)]

    def destroy(self) -> None:
        """End all subscriptions."""
        if self._looking is not None:
            self._node.destroy_timer(self._looking)
            self._looking = None
        self._open.clear()
        self._drained.clear()
        for subscription, _ in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def source(self, stream: str) -> str:
        """Say, of a silent stream, who publishes on its topics and what may be wrong."""
        seen_before = self._inputs.sights[stream].last_ns is not None
        camera = stream in self._inputs.spec.cameras
        for topic in self.topics_of(stream):
            kinds = {info.topic_type for info in self._node.get_publishers_info_by_topic(topic)}
            expected = self._types_of(topic)
            if kinds and expected and not kinds & expected:
                hint = ": see image_transport" if camera else ""
                return f"{', '.join(sorted(kinds))} is published there, expected {' or '.join(sorted(expected))}{hint}"
            if kinds:
                return LOST_HINT if camera and not seen_before else "its publisher is still there"
        kinds = set(IMAGES) if camera else set().union(*(self._types_of(t) for t in self.topics_of(stream)))
        others = ", ".join(self._others(kinds, set(self.topics_of(stream))))
        what = "image topic" if camera else "topic of its type"
        return "nobody publishes there; " + (
            f"{'images are' if camera else 'its type is'} on {others}" if others else f"no {what} is published"
        )

    def _candidates(self, topics: Mapping[str, tuple[str, ...]], transport: str) -> list[OpenTopic]:
        streams = all_streams(self._inputs.spec)
        return [
            OpenTopic(stream, candidates(self._node, topic, streams[stream], transport))
            for stream, named in topics.items()
            for topic in named
        ]

    def _settled(self) -> list[WantedTopic]:
        """Take out of the open topics those that are known by now: with one form alone, or published in one of them."""
        found: dict[tuple[str, str], list[str]] = {}
        waiting = []
        for one in self._open:
            sure = len(one.candidates) == 1 and one.candidates[0][1]
            form = one.candidates[0] if sure else published(self._node, one)
            if form is None:
                waiting.append(one)
            else:
                found.setdefault(form, []).append(one.stream)
        self._open = waiting
        return [WantedTopic(topic, type_name, tuple(streams)) for (topic, type_name), streams in found.items()]

    def _look(self) -> None:
        self._subscribe_to(self._settled())
        if not self._open and self._looking is not None:
            self._node.destroy_timer(self._looking)
            self._looking = None

    def _subscribe_to(self, wanted: list[WantedTopic]) -> None:
        for one in wanted:
            try:
                kind = message_class(one.type_name)
            except HalError as error:
                for stream in one.streams:
                    self._inputs.sights[stream].problem = f"{one.topic}: {error}"
                continue
            port = self._inputs.port(one)
            if port.streams:
                self._subscribe(kind, port, camera=one.type_name in IMAGES)

    def _subscribe(self, kind: Any, port: TopicPort, camera: bool) -> None:
        # The profile is copied: overrides are written into what is passed.
        usual = CAMERA_QOS if camera else STATE_QOS
        profile = QoSProfile(depth=usual.depth, reliability=usual.reliability)
        events = SubscriptionEventCallbacks(
            incompatible_qos=lambda event: self._on_qos(port.topic, event),
            message_lost=lambda event: self._on_lost(port, event),
        )
        take: Callable[..., None] = port.on_message_with_info
        if port.headed:
            take = port.on_message if self._synchroniser is None else self._synchroniser.wrap(port)
        callback = self._draining(take, port.headed) if port.is_clock else take
        options = QoSOverridingOptions.with_default_policies()
        subscription = self._node.create_subscription(
            kind, port.topic, callback, profile, event_callbacks=events, qos_overriding_options=options
        )
        self._subscriptions[port.topic] = subscription, port
        if not port.is_clock:
            self._drained.append((subscription, kind, take, port.headed))

    def _draining(self, take: Callable[..., None], headed: bool) -> Callable[..., None]:
        """Return a callback of the clock that takes what has arrived on the other topics first.

        The executor serves one message of each subscription a round, so on a busy machine an image would overtake joint
        states that came before it, and be aligned with older ones than it need be.
        """

        def plain(message: Any) -> None:
            self._drain()
            take(message)

        def informed(message: Any, info: Any) -> None:
            self._drain()
            take(message, info)

        return plain if headed else informed

    def _drain(self) -> None:
        for subscription, kind, take, headed in self._drained:
            while (taken := subscription.handle.take_message(kind, False)) is not None:
                take(taken[0]) if headed else take(*taken)

    def _types_of(self, topic: str) -> set[str]:
        """Return the types that would be taken on a topic; none for any type."""
        subscribed = self._subscriptions.get(topic)
        if subscribed is not None:
            return {_type_name(subscribed[0].msg_type)}
        return {kind for one in self._open for name, kind in one.candidates if name == topic and kind}

    def _others(self, kinds: set[str], own: set[str]) -> list[str]:
        topics = self._node.get_topic_names_and_types()
        return [f"{topic} ({types[0]})" for topic, types in topics if kinds & set(types) and topic not in own]

    def _on_lost(self, port: TopicPort, event: Any) -> None:
        for stream in port.streams:
            self._inputs.counters[counts.key(stream, "lost")] += event.total_count_change

    def _on_qos(self, topic: str, event: Any) -> None:
        self.qos_errors[topic] = _qos_error(topic, event)
        self._node.get_logger().warning(self.qos_errors[topic])


def _type_name(kind: Any) -> str:
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


def _qos_error(topic: str, event: Any) -> str:
    policy = qos_policy_name_from_kind(event.last_policy_kind)
    return (
        f"a publisher on {topic} offers an incompatible {policy}, nothing will come from it; set "
        f"qos_overrides.{topic}.subscription.{policy.lower()} to fit it"
    )
