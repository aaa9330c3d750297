"""What the segmenter publishes from configure to cleanup, and the quality of service that it offers."""

from __future__ import annotations

from typing import Any

from hal_msgs.msg import ActionLabel, BoundaryEvent, Plan, PlanProgress, Vocabulary
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSDurabilityPolicy, QoSLivelinessPolicy, QoSProfile

from hal_ros.bags.answer_messages import followed_message, vocabulary_message
from hal_ros.bags.messages import serialise
from hal_ros.core.decoding.known_plan import PlanTracker
from hal_ros.core.planning.known import LastKnown
from hal_ros.core.streams.spec import StreamSpec
from hal_ros.ros import qos
from hal_ros.runtime.bulletin import Lifelong
from hal_ros.runtime.bundle import Bundle

LABEL, BOUNDARY, PROGRESS = ANSWERS = ("action_label", "action_boundary", "~/plan_progress")
DEPTH = 50
LEASE_S = 1.0
"""A subscription may ask to be told when the node is gone for so long, or longer: its process has ended."""


class Publishers:
    """Those of the answers publish while the node is active; what is latched is there while it is inactive, too."""

    def __init__(self, node: LifecycleNode, bundle: Bundle, lifelong: Lifelong) -> None:
        """Advertise all topics, and latch the vocabulary."""
        self._node, self._card, self._life = node, bundle.card, lifelong.life
        latched = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
        self.labels = self._of_answers(ActionLabel, LABEL, _label_qos(bundle.card.streams))
        self.boundaries = self._of_answers(
            BoundaryEvent, BOUNDARY, QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
        )
        self.progress = self._of_answers(PlanProgress, PROGRESS, QoSProfile(depth=DEPTH))
        self._plan = node.create_publisher(Plan, "~/plan", latched)
        self._vocabulary = node.create_publisher(Vocabulary, "~/vocabulary", latched)
        self._vocabulary.publish(serialise(vocabulary_message(bundle.card, bundle.sha256)))

    def tell_plan(self, tracker: PlanTracker | None, known: LastKnown) -> None:
        """Latch which plan is followed after what is known, or that none is."""
        plan = () if tracker is None else tracker.plan
        self._plan.publish(serialise(followed_message(plan, self._card.vocabulary, known, self._life)))

    def destroy(self) -> None:
        """Take all topics back, and what they latched."""
        for one in (self.labels, self.boundaries, self.progress):
            self._node.destroy_lifecycle_publisher(one)
        for one in (self._plan, self._vocabulary):
            self._node.destroy_publisher(one)

    def _of_answers(self, kind: Any, topic: str, profile: QoSProfile) -> Any:
        """Make one whose profile can be overridden: overrides are written into it."""
        return self._node.create_lifecycle_publisher(kind, topic, profile, qos_overriding_options=qos.overridable())


def _label_qos(spec: StreamSpec) -> QoSProfile:
    """Return what labels are offered with: a deadline, the longest gap that is bridged, and a lease of liveliness.

    Both are on the machine's clock, whatever ROS takes for time. Nobody is held to them who does not ask.
    """
    return QoSProfile(
        depth=DEPTH,
        deadline=Duration(seconds=deadline_s(spec)),
        liveliness=QoSLivelinessPolicy.AUTOMATIC,
        liveliness_lease_duration=Duration(seconds=LEASE_S),
    )


def deadline_s(spec: StreamSpec) -> float:
    """Return within how many seconds one label follows another: the longest gap that does not begin a new stream."""
    return (spec.max_held_ticks + 1) / spec.rate_hz
