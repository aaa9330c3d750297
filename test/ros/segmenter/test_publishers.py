"""What labels are offered with: those who ask are told when labels cease, and others notice nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hal_msgs.msg import ActionLabel
from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import QoSLivelinessPolicy, QoSProfile

from fakes import make_card
from hal_ros.ros.segmenter.publishers import LEASE_S, deadline_s
from ros_fakes import Rig

pytestmark = pytest.mark.ros


class Listener:
    """Asks for a deadline and a lease, and hears of both."""

    def __init__(self, rig: Rig, deadline: float, lease: float) -> None:
        self.labels: list[ActionLabel] = []
        self.missed: list[Any] = []
        self.refused: list[Any] = []
        self.alive: list[int] = []
        profile = QoSProfile(
            depth=10,
            deadline=Duration(seconds=deadline),
            liveliness=QoSLivelinessPolicy.AUTOMATIC,
            liveliness_lease_duration=Duration(seconds=lease),
        )
        events = SubscriptionEventCallbacks(
            deadline=self.missed.append,
            liveliness=lambda event: self.alive.append(event.alive_count),
            incompatible_qos=self.refused.append,
        )
        rig.robot.create_subscription(ActionLabel, "action_label", self.labels.append, profile, event_callbacks=events)


def test_those_who_ask_are_told_that_labels_cease(rig: Rig) -> None:
    offered_s = deadline_s(make_card().streams)
    asks, asks_too_much = Listener(rig, offered_s, LEASE_S), Listener(rig, offered_s / 2, LEASE_S)
    node = rig.active()
    rig.until(lambda: asks.alive and asks.alive[-1] == 1)
    rig.until(lambda: asks_too_much.refused)
    rig.show("red", 0)
    rig.until(lambda: asks.labels)
    rig.until(lambda: asks.missed)
    assert not asks.refused and not asks_too_much.labels
    node.trigger_deactivate()
    node.trigger_cleanup()
    rig.until(lambda: asks.alive[-1] == 0)


def test_the_deadline_is_the_longest_gap_that_is_bridged() -> None:
    spec = make_card().streams
    assert deadline_s(spec) == pytest.approx((spec.max_held_ticks + 1) / spec.rate_hz)
