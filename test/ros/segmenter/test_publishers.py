"""What labels are offered with: those who ask are told when labels cease, and others notice nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from hal_msgs.msg import ActionLabel
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSLivelinessPolicy, QoSProfile

from fakes import make_card
from hal_ros.ros.segmenter.publishers import LEASE_S, deadline_s
from ros_fakes import Rig

pytestmark = pytest.mark.ros


class Listener:
    """Asks for a deadline and a lease, as a process of its own does, and hears of both."""

    def __init__(self, deadline_s: float, domain_id: int) -> None:
        self.labels: list[ActionLabel] = []
        self.missed: list[Any] = []
        self.refused: list[Any] = []
        self.alive: list[int] = []
        profile = QoSProfile(
            depth=10,
            deadline=Duration(seconds=deadline_s),
            liveliness=QoSLivelinessPolicy.AUTOMATIC,
            liveliness_lease_duration=Duration(seconds=LEASE_S),
        )
        events = SubscriptionEventCallbacks(
            deadline=self.missed.append,
            liveliness=lambda event: self.alive.append(event.alive_count),
            incompatible_qos=self.refused.append,
        )
        self.context = Context()  # the middleware judges by processes, as it knows them
        rclpy.init(args=[], context=self.context, domain_id=domain_id)
        self.node = rclpy.create_node("listener", context=self.context)
        self.node.create_subscription(ActionLabel, "action_label", self.labels.append, profile, event_callbacks=events)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)

    def until(self, rig: Rig, holds: Callable[[], Any]) -> None:
        def has_spun() -> Any:
            self._executor.spin_once(timeout_sec=0)
            return holds()

        rig.until(has_spun)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def listen(ros_domain_id: int) -> Iterator[Callable[[float], Listener]]:
    """Call the fixture's value with a deadline in seconds."""
    begun: list[Listener] = []

    def begin(deadline_s: float) -> Listener:
        begun.append(Listener(deadline_s, ros_domain_id))
        return begun[-1]

    yield begin
    for listener in begun:
        listener.close()


def test_those_who_ask_are_told_that_labels_cease(rig: Rig, listen: Callable[[float], Listener]) -> None:
    listener = listen(deadline_s(make_card().streams))
    node = rig.active()
    listener.until(rig, lambda: listener.alive)
    rig.show("red", 0)
    listener.until(rig, lambda: listener.labels and listener.missed)
    node.trigger_deactivate()
    node.trigger_cleanup()
    listener.until(rig, lambda: listener.alive[-1] == 0)
    assert not listener.refused


@pytest.mark.filterwarnings("ignore:Deprecated in favor of")  # rclpy's own words on the misfit, at the publisher
def test_more_than_is_offered_is_refused_where_it_is_asked(rig: Rig, listen: Callable[[float], Listener]) -> None:
    listener = listen(deadline_s(make_card().streams) / 2)
    rig.active()
    listener.until(rig, lambda: listener.refused)
    rig.show("red", 0)  # nobody else notices
    assert not listener.labels


def test_the_deadline_is_the_longest_gap_that_is_bridged() -> None:
    spec = make_card().streams
    assert deadline_s(spec) == pytest.approx((spec.max_held_ticks + 1) / spec.rate_hz)
