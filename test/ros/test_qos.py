"""Overrides of quality of service: all policies that matter, and none that does not exist."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("rclpy")

from hal_ros.ros.qos import OF_ROS, POLICIES, overridable, override_faults

TOPICS = {"subscription": {"/camera/color/image_raw"}, "publisher": {"/action_label", "/left/action_boundary"}}


def fault(name: str, value: Any) -> str:
    return next((text for _, text in override_faults({name: value}, TOPICS)), "")


@pytest.mark.parametrize(
    ("policy", "value"),
    [("durability", "volatile"), ("deadline", 10**8), ("liveliness", "automatic"), ("reliability", "reliable")],
)
def test_what_can_be_overridden_is_no_fault(policy: str, value: Any) -> None:
    for end, topics in TOPICS.items():
        assert not any(fault(f"qos_overrides.{topic}.{end}.{policy}", value) for topic in topics)
    assert not fault(f"qos_overrides.{OF_ROS[0]}.subscription.{policy}", value)
    assert not fault("threads", 1)
    assert {kind.name.lower() for kind in overridable().policy_kinds} == set(POLICIES)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("/action_label.publisher.durabilty", "volatile", "did you mean durability?"),
        ("/action_label.publisher.durability", "latched", "it is 'latched'; expected one of"),
        ("/action_label.publisher.deadline", "1s", "it is '1s'; expected a whole number"),
        ("/action_label.publisher.depth", 0, "expected a whole number of 1 or more"),
        ("/action_label.publishers.depth", 5, "did you mean publisher?"),
        (
            "/action_labels.publisher.depth",
            5,
            "no publisher on /action_labels; did you mean /action_label?",
        ),
        ("/action_label.subscription.depth", 5, "the node has no subscription on /action_label"),
        ("/action_label", 5, "expected qos_overrides.<topic>"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_was_expected(name: str, value: Any, words: str) -> None:
    assert words in fault(f"qos_overrides.{name}", value)
