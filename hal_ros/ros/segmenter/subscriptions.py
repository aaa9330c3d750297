"""The segmenter's subscriptions, one for each topic of its streams, with what the middleware says about them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # Humble defines it there
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, QoSReliabilityPolicy, qos_policy_name_from_kind
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription

from hal_ros.bags.sensors import COMPRESSED, IMAGE
from hal_ros.core.errors import HalError
from hal_ros.core.streams import counts
from hal_ros.ros import qos
from hal_ros.ros.message_types import message_class
from hal_ros.ros.segmenter.diagnostics import LOST_HINT
from hal_ros.ros.segmenter.inputs import MessageInputs, Synchroniser, TopicPort
from hal_ros.ros.segmenter.topics import Form, OpenTopic, WantedTopic, open_topics, published
from hal_ros.ros.segmenter_parameters import SegmenterParameters

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

IMAGES = (IMAGE, COMPRESSED)
CAMERA_QOS = QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT)
STATE_QOS = QoSProfile(depth=200, reliability=QoSReliabilityPolicy.BEST_EFFORT)
DRAIN_PERIOD_S = 0.025
"""How long messages wait at most when the clock is silent; 200 of 1 kHz fit into a queue."""
DRAIN_LIMIT_S = 0.01
"""Processor time that the messages of one topic may take at once: what else the node has to do comes to its turn."""
LISTENING_ROUND = 8
"""Every how many of these periods one is spent listening to what the middleware says."""
LOOK_PERIOD_S = 0.2
"""How often topics are looked for whose transport or type only their publishers can tell."""

# Humble's rclpy tells callbacks nothing of when a message was sent.
TELLS_TIMES = hasattr(Subscription, "CallbackType")


class Drained(MutuallyExclusiveCallbackGroup):
    """Subscriptions whose messages are fetched, not waited for: each wait costs more than the message that ends it.

    While `listening`, the executor waits for what the middleware says of them, which messages end, too.
    """

    listening = True

    def can_execute(self, entity: Any) -> bool:
        """Whether the executor may wait for it."""
        return self.listening and not isinstance(entity, Subscription) and super().can_execute(entity)


class Fetched(NamedTuple):
    """How the messages of a subscription are fetched, at most as many at once as its queue holds."""

    subscription: Any
    kind: Any
    take: Callable[..., None]
    informed: bool  # `take` is told when a message was sent, too
    depth: int
    raw: bool  # `take` wants a message's bytes

    def give(self, message: Any, info: Any) -> None:
        """Hand one message on."""
        self.take(message, info) if self.informed else self.take(message)


class Held(NamedTuple):
    """One subscription and who takes its messages."""

    subscription: Any
    port: TopicPort
    wanted: WantedTopic


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
        # cv_bridge and message_filters want rclpy's own messages.
        self._raw_images = self._synchroniser is None and parameters.image_conversion == "native"
        self._held: dict[str, Held] = {}  # by topic
        self._fetched: dict[str, Fetched] = {}  # by topic
        self._unread: dict[str, list[str]] = {}  # by stream: topics that can't be read
        self._open = open_topics(node, inputs.spec, topics, parameters.image_transport)
        self._seen: set[OpenTopic] = set()  # those of which a less wanted form was there at the last look
        self._group = Drained()
        self._looking: Any = None
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._rounds = 0
        self._draining: Any = node.create_timer(DRAIN_PERIOD_S, self._drain_silently, clock=clock)
        try:
            self._subscribe_to(self._settled())
            if self._open:
                self._looking = node.create_timer(LOOK_PERIOD_S, self._look, clock=clock)
        except Exception:
            self.destroy()
            raise

    @property
    def words(self) -> str:
        """Each stream and its topics."""
        return ", ".join(f"{name} on {' and '.join(self.topics_of(name))}" for name in self._inputs.spec.names)

    def topics_of(self, stream: str) -> list[str]:
        """Return the full names of a stream's topics: those subscribed to, that can't be read, that are looked for."""
        found = [topic for topic, held in self._held.items() if stream in held.port.streams]
        return [*found, *self._unread.get(stream, ()), *(one.forms[0].topic for one in self._open_of(stream))]

    def destroy(self) -> None:
        """End all subscriptions."""
        self._stop_looking()
        if self._draining is not None:
            self._node.destroy_timer(self._draining)
            self._draining = None  # it holds on to this
        self._open.clear()
        for topic in list(self._held):
            self._end(topic)

    def source(self, stream: str) -> str:
        """Say, of a silent stream, who publishes on its topics and what may be wrong."""
        lost = self._inputs.counters[counts.key(stream, counts.LOST)]
        camera = stream in self._inputs.spec.cameras
        forms = self._forms_of(stream)
        for name in dict.fromkeys(form.name for form in forms):
            kinds = {info.topic_type for info in self._node.get_publishers_info_by_topic(name)}
            expected = {form.type_name for form in forms if form.name == name and form.type_name}
            if kinds and expected and not kinds & expected:
                hint = ": see image_transport" if camera and kinds & set(IMAGES) else ""
                return f"{', '.join(sorted(kinds))} is published there, expected {' or '.join(sorted(expected))}{hint}"
            if kinds:
                return LOST_HINT if camera and lost else "its publisher is still there"
        kinds = set(IMAGES) if camera else {form.type_name for form in forms}
        others = ", ".join(self._others(kinds, {form.topic for form in forms} | self._held.keys()))
        if camera:
            return "nobody publishes there; " + (f"images are on {others}" if others else "no image topic is published")
        return "nobody publishes there; " + (f"its type is on {others}" if others else "nor anything else of its type")

    def _forms_of(self, stream: str) -> list[Form]:
        held = [held.wanted.form for held in self._held.values() if stream in held.port.streams]
        return [*held, *(form for one in self._open_of(stream) for form in one.forms)]

    def _open_of(self, stream: str) -> list[OpenTopic]:
        return [one for one in self._open if one.stream == stream]

    # --- finding topics -----------------------------------------------------------------------------------------------

    def _settled(self) -> list[WantedTopic]:
        """Take out of the open topics those that are known by now: with one form alone, or published in one of them.

        A less wanted form has to be there at two looks: the graph becomes known bit by bit.
        """
        found: dict[Form, list[str]] = {}
        waiting = []
        for one in self._open:
            sure = len(one.forms) == 1 and one.forms[0].type_name
            form = one.forms[0] if sure else published(self._node, one.forms)
            if form is None or (form.topic != one.forms[0].topic and one not in self._seen):
                waiting.append(one)
                self._seen |= set() if form is None else {one}
            else:
                found.setdefault(form, []).append(one.stream)
        self._open = waiting
        return [WantedTopic(form, tuple(dict.fromkeys(streams))) for form, streams in found.items()]

    def _look(self) -> None:
        self._subscribe_to(self._settled())
        if not self._open:
            self._stop_looking()

    def _stop_looking(self) -> None:
        if self._looking is not None:
            self._node.destroy_timer(self._looking)
            self._looking = None

    # --- subscribing --------------------------------------------------------------------------------------------------

    def _subscribe_to(self, wanted: list[WantedTopic]) -> None:
        for one in wanted:
            held = self._held.get(one.form.topic)
            if held is not None and held.wanted.form.type_name != one.form.type_name:
                self._give_up(one, f"carries {held.wanted.form.type_name}; expected {one.form.type_name}")
                continue
            if held is not None:  # found for another stream before
                one = one._replace(streams=(*held.wanted.streams, *one.streams))
                self._end(one.form.topic)
            try:
                kind = message_class(one.form.type_name)
                port = self._inputs.port(one)
                if port.streams:
                    self._subscribe(kind, port, one)
            except (HalError, RuntimeError) as error:  # rclpy's refusals, too: of a type that its process has otherwise
                self._give_up(one, " ".join(str(error).partition(", at ")[0].split()))
                continue
            for stream in set(one.streams) - set(port.streams):
                self._unread.setdefault(stream, []).append(one.form.topic)
        if wanted and self._synchroniser is not None:
            self._synchroniser.start()

    def _give_up(self, wanted: WantedTopic, reason: str) -> None:
        for stream in wanted.streams:
            self._inputs.sights[stream].problem = f"{wanted.form.topic}: {reason}"
            self._unread.setdefault(stream, []).append(wanted.form.topic)

    def _subscribe(self, kind: Any, port: TopicPort, wanted: WantedTopic) -> None:
        # The profile is copied: overrides are written into what is passed.
        usual = CAMERA_QOS if wanted.form.type_name in IMAGES else STATE_QOS
        profile = QoSProfile(depth=usual.depth, reliability=usual.reliability)
        events = SubscriptionEventCallbacks(
            incompatible_qos=lambda event: self._on_qos(port.topic, event),
            message_lost=lambda event: self._on_lost(port, event),
        )
        take: Callable[..., None] = port.on_message_with_info if TELLS_TIMES else port.on_bare_message
        raw = self._raw_images and wanted.form.type_name in IMAGES
        if raw:
            take = port.on_bytes
        elif port.headed:
            take = port.on_message if self._synchroniser is None else self._synchroniser.wrap(port)
        informed = not port.headed and TELLS_TIMES
        subscription = self._node.create_subscription(
            kind,
            wanted.form.name,
            self._after_others(take, informed) if port.is_clock else take,
            profile,
            callback_group=None if port.is_clock else self._group,
            event_callbacks=events,
            raw=raw,
            qos_overriding_options=qos.overridable(),
        )
        self._held[port.topic] = Held(subscription, port, wanted)
        if not port.is_clock:
            self._fetched[port.topic] = Fetched(subscription, kind, take, informed, usual.depth, raw)

    def _end(self, topic: str) -> None:
        self._fetched.pop(topic, None)
        self._node.destroy_subscription(self._held.pop(topic).subscription)

    def _after_others(self, take: Callable[..., None], informed: bool) -> Callable[..., None]:
        """Return a callback of the clock that takes what has arrived on the other topics first.

        So no image overtakes joint states that came before it, to be aligned with older ones than it need be.
        """

        def with_message(message: Any) -> None:
            self._drain()
            take(message)

        def with_info(message: Any, info: Any) -> None:
            self._drain()
            take(message, info)

        return with_info if informed else with_message

    def _drain_silently(self) -> None:
        """Take what came while the clock was silent."""
        self._drain()
        self._rounds += 1
        self._group.listening = self._rounds % LISTENING_ROUND == 0

    def _drain(self) -> None:
        for topic, one in self._fetched.items():
            limit_s = time.thread_time() + DRAIN_LIMIT_S
            for count in range(one.depth):
                if time.thread_time() > limit_s:
                    self._skip(self._held[topic].port, one, one.depth - count)
                    break
                taken = one.subscription.handle.take_message(one.kind, one.raw)
                if taken is None:
                    break
                one.give(*taken)

    def _skip(self, port: TopicPort, one: Fetched, most: int) -> None:
        """Take only the newest of what still waits, as a tick needs that most; count the rest, which nobody reads."""
        waiting = deque[tuple[bytes, Any]](maxlen=1)
        count = 0
        while count < most and (taken := one.subscription.handle.take_message(one.kind, True)) is not None:
            waiting.append(taken)
            count += 1
        for data, info in waiting:
            one.give(data if one.raw else deserialize_message(data, one.kind), info)
        for stream in port.streams:
            self._inputs.counters[counts.key(stream, counts.FLOODED)] += max(0, count - 1)

    def _others(self, kinds: set[str], own: set[str]) -> list[str]:
        topics = self._node.get_topic_names_and_types()
        return [f"{topic} ({types[0]})" for topic, types in topics if kinds & set(types) and topic not in own]

    def _on_lost(self, port: TopicPort, event: Any) -> None:
        for stream in port.streams:
            self._inputs.counters[counts.key(stream, counts.LOST)] += event.total_count_change

    def _on_qos(self, topic: str, event: Any) -> None:
        self.qos_errors[topic] = _qos_error(topic, event)
        self._node.get_logger().warning(self.qos_errors[topic])


def _qos_error(topic: str, event: Any) -> str:
    policy = qos_policy_name_from_kind(event.last_policy_kind)
    return (
        f"a publisher on {topic} offers an incompatible {policy}, nothing will come from it; set "
        f"qos_overrides.{topic}.subscription.{policy.lower()} to fit it"
    )
