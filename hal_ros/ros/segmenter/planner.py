"""What planners ask the node: its state, another plan, and to be told when an action comes. All in the executor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from builtin_interfaces.msg import Duration, Time
from hal_msgs.msg import SegmentState
from hal_msgs.srv import GetState, SetPlan
from rclpy.lifecycle import LifecycleNode

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.card import ModelCard
from hal_ros.core.decoding.known_plan import MOST_STEPS, PlanTracker, plan_ids
from hal_ros.core.errors import ConfigError, HalError
from hal_ros.core.planning.known import LastKnown
from hal_ros.core.segmenter import OpenSegment
from hal_ros.core.ticks import S_NS
from hal_ros.runtime.bulletin import Lifelong


class PlannerHost(Protocol):
    """What a node is to those that planners ask."""

    lifelong: Lifelong

    @property
    def state(self) -> str:
        """The lifecycle state."""

    @property
    def vocabulary(self) -> Sequence[str]:
        """The actions in id order; none before a model is configured."""

    @property
    def stale(self) -> bool:
        """Whether what is known is no longer of now."""

    def follow(self, names: Sequence[str]) -> LastKnown:
        """Follow another plan, or none, after what is returned; raises HalError."""


class PlannerServices:
    """The services ~/get_action_state and ~/set_plan."""

    def __init__(self, node: LifecycleNode, host: PlannerHost) -> None:
        self._node, self._host = node, host
        node.create_service(GetState, "~/get_action_state", self._on_get_state)
        node.create_service(SetPlan, "~/set_plan", self._on_set_plan)

    def _on_get_state(self, _: Any, response: Any) -> Any:
        host, label_ns = self._host, self._host.lifelong.bulletin.newest.label_ns
        response.node_state = host.state
        response.session = host.lifelong.life
        response.stale = host.stale
        response.segment = segment_message(running(host), host)
        response.label_stamp = _time(label_ns)
        age_ns = int(self._node.get_clock().now().nanoseconds) - label_ns if label_ns else 0
        response.label_age = _duration(age_ns)
        return response

    def _on_set_plan(self, request: Any, response: Any) -> Any:
        try:
            known = self._host.follow(request.labels)
        except HalError as error:
            response.message = str(error)
            self._node.get_logger().warning(f"~/set_plan refused: {error}")
            return response
        response.success = True
        response.stamp = _time(known.label_ns)
        self._node.get_logger().info(f"following {', '.join(request.labels) or 'no plan'}")
        return response


def new_tracker(names: Sequence[str], card: ModelCard) -> PlanTracker | None:
    """Return what follows a plan of actions; None for one without any. Raises ConfigError for one that can't be."""
    if len(names) > MOST_STEPS:
        raise ConfigError(f"the plan has {len(names)} actions; expected {MOST_STEPS} at most")
    plan = plan_ids(names, card.vocabulary)
    return PlanTracker(plan, card) if plan else None


def running(host: PlannerHost) -> OpenSegment | None:
    """Return the segment that runs now; None where what is known is no longer of now."""
    return None if host.stale else host.lifelong.bulletin.newest.segment


def segment_message(segment: OpenSegment | None, host: PlannerHost) -> SegmentState:
    """Return a segment as a message; None: none runs."""
    if segment is None or not host.vocabulary:
        return SegmentState(session=host.lifelong.life, label_id=NO_ACTION)
    age_ns = segment.newest_ns - segment.start_ns
    return SegmentState(
        session=host.lifelong.life,
        segment_id=segment.segment_id,
        label=host.vocabulary[segment.action],
        label_id=segment.action,
        start=_time(segment.start_ns),
        stamp=_time(segment.newest_ns),
        age=_duration(age_ns),
        confidence=segment.confidence,
    )


def _time(stamp_ns: int) -> Time:
    return Time(sec=stamp_ns // S_NS, nanosec=stamp_ns % S_NS)


def _duration(duration_ns: int) -> Duration:
    return Duration(sec=duration_ns // S_NS, nanosec=duration_ns % S_NS)
