"""The segmenter's two subscriptions, with what the middleware says about them."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, QoSReliabilityPolicy, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image, JointState

from hal_ros.core.card import ModelCard
from hal_ros.ros.params import SegmenterParameters
from hal_ros.ros.segmenter.inputs import MessageInputs, Synchroniser

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

IMAGE_QOS = QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT)
JOINT_QOS = QoSProfile(depth=200, reliability=QoSReliabilityPolicy.BEST_EFFORT)

LOST_HINT = (
    "a publisher is matched, so images are lost on the way: on one machine, start both processes with "
    "FASTDDS_DEFAULT_PROFILES_FILE set to this package's config/fastdds.xml"
)


class Subscriptions:
    """Camera and joint subscriptions from activation to deactivation. `destroy` ends them."""

    def __init__(
        self, node: LifecycleNode, card: ModelCard, parameters: SegmenterParameters, inputs: MessageInputs
    ) -> None:
        """Subscribe to what the card needs."""
        self.image_qos_error = ""
        self.joints_qos_error = ""
        self._node = node
        self._inputs = inputs
        self._image_type = Image if parameters.image_transport == "raw" else CompressedImage
        self.image_topic = image_topic(node, parameters)
        self.joint_topic = node.resolve_topic_name(parameters.joint_topic)
        self._target: MessageInputs | Synchroniser = inputs
        if parameters.synchroniser == "message_filters":
            self._target = Synchroniser(inputs, parameters.synchroniser_slop_s, parameters.synchroniser_queue_size)
        self._subscriptions: list[Any] = []
        self._joints: Any = None
        try:
            self._subscribe_to(card)
        except Exception:
            self.destroy()
            raise

    def _subscribe_to(self, card: ModelCard) -> None:
        if card.image is not None:
            events = SubscriptionEventCallbacks(incompatible_qos=self._on_image_qos, message_lost=self._on_lost)
            self._subscribe(self._image_type, self.image_topic, self._on_image, IMAGE_QOS, events)
        if card.joints is not None:
            events = SubscriptionEventCallbacks(incompatible_qos=self._on_joints_qos)
            self._joints = self._subscribe(JointState, self.joint_topic, self._target.on_joints, JOINT_QOS, events)

    def _on_image(self, message: Any) -> None:
        """Take the joint states that have arrived, then the image.

        The executor serves one message of each subscription a round, so on a busy machine an image would overtake joint
        states that came before it, and be aligned with an older one than it need be.
        """
        while self._joints is not None:
            taken = self._joints.handle.take_message(JointState, False)
            if taken is None:
                break
            self._target.on_joints(taken[0])
        self._target.on_image(message)

    @property
    def topics(self) -> list[str]:
        """Full names of the subscribed topics."""
        return [subscription.topic_name for subscription in self._subscriptions]

    def destroy(self) -> None:
        """End both subscriptions."""
        self._joints = None
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def image_source(self, seen_before: bool) -> str:
        """Say, of a silent camera topic, who publishes on it and what may be wrong."""
        kinds = {info.topic_type for info in self._node.get_publishers_info_by_topic(self.image_topic)}
        expected = f"sensor_msgs/msg/{self._image_type.__name__}"
        if kinds and expected not in kinds:
            return f"{', '.join(sorted(kinds))} is published there, expected {expected}: see image_transport"
        if kinds:
            return "its publisher is still there" if seen_before else LOST_HINT
        others = ", ".join(self._other_image_topics())
        return "nobody publishes there; " + (f"images are on {others}" if others else "no image topic is published")

    def _other_image_topics(self) -> list[str]:
        kinds = {"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"}
        topics = self._node.get_topic_names_and_types()
        return [f"{topic} ({types[0]})" for topic, types in topics if kinds & set(types) and topic != self.image_topic]

    def _subscribe(self, kind: Any, topic: str, callback: Any, qos: QoSProfile, events: Any) -> Any:
        # The profile is copied: overrides are written into what is passed.
        profile = QoSProfile(depth=qos.depth, reliability=qos.reliability)
        options = QoSOverridingOptions.with_default_policies()
        subscription = self._node.create_subscription(
            kind, topic, callback, profile, event_callbacks=events, qos_overriding_options=options
        )
        self._subscriptions.append(subscription)
        return subscription

    def _on_lost(self, event: Any) -> None:
        self._inputs.counters["lost"] += event.total_count_change

    def _on_image_qos(self, event: Any) -> None:
        self.image_qos_error = _qos_error(self.image_topic, event)
        self._node.get_logger().warning(self.image_qos_error)

    def _on_joints_qos(self, event: Any) -> None:
        self.joints_qos_error = _qos_error(self.joint_topic, event)
        self._node.get_logger().warning(self.joints_qos_error)


def image_topic(node: LifecycleNode, parameters: SegmenterParameters) -> str:
    """Return the full name of the camera topic, suffix of the transport included; remappings of either name hold."""
    base = node.resolve_topic_name(parameters.image_topic)
    suffix = "/compressed" if parameters.image_transport == "compressed" else ""
    return base if base.endswith(suffix) else node.resolve_topic_name(base + suffix)


def _qos_error(topic: str, event: Any) -> str:
    policy = qos_policy_name_from_kind(event.last_policy_kind)
    return (
        f"a publisher on {topic} offers an incompatible {policy}, nothing will come from it; set "
        f"qos_overrides.{topic}.subscription.{policy.lower()} to fit it"
    )
