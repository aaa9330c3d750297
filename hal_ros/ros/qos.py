"""Quality of service that a user may override by parameter: which policies, and whether what is given can be."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from rclpy.qos import QoSDurabilityPolicy, QoSHistoryPolicy, QoSLivelinessPolicy, QoSPolicyKind, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

PREFIX = "qos_overrides."
CHOICES: dict[str, Any] = {
    "history": QoSHistoryPolicy,
    "reliability": QoSReliabilityPolicy,
    "durability": QoSDurabilityPolicy,
    "liveliness": QoSLivelinessPolicy,
}
NUMBERS = ("depth", "deadline", "liveliness_lease_duration")
"""Whole numbers; the last two are in nanoseconds."""
POLICIES = (*CHOICES, *NUMBERS)
ENDS = ("publisher", "subscription")
FORM = re.compile(r"qos_overrides\.(?P<topic>.+)\.(?P<end>[^.]+)\.(?P<policy>[^.]+)")
OF_ROS = ("/clock", "/parameter_events", "/rosout")
"""Topics that rclpy opens itself."""


def overridable() -> QoSOverridingOptions:
    """Return the policies that parameters qos_overrides.<topic>.<publisher or subscription>.<policy> override."""
    return QoSOverridingOptions([QoSPolicyKind[name.upper()] for name in POLICIES])


def override_faults(given: Mapping[str, Any], topics: Mapping[str, Collection[str]]) -> Iterator[tuple[str, str]]:
    """Yield parameter and reason of the overrides that can't be: of a topic, end, policy or value that is not there.

    `given` are values by parameter, `topics` full names by end, "publisher" or "subscription".
    """
    for name, value in given.items():
        if fault := name.startswith(PREFIX) and _fault(name, value, topics):
            yield name, fault


def _fault(name: str, value: Any, topics: Mapping[str, Collection[str]]) -> str:
    found = FORM.fullmatch(name)
    if found is None:
        return "expected qos_overrides.<topic>.<publisher or subscription>.<policy>"
    topic, end, policy = found.groups()
    if policy not in POLICIES:
        return f"{policy!r} is no policy; {_expected(policy, POLICIES)}"
    if end not in ENDS:
        return f"{end!r} is no end of a topic; {_expected(end, ENDS)}"
    known = sorted(topics.get(end, ()))
    if topic not in known and topic not in OF_ROS:
        return f"the node has no {end} on {topic}; {_expected(topic, known)}"
    if policy in NUMBERS:
        good = isinstance(value, int) and not isinstance(value, bool) and value >= (policy == "depth")
        return "" if good else f"it is {value!r}; expected a whole number of 1 or more"
    choices = [one.lower() for one in CHOICES[policy].__members__ if one.islower() or one.isupper()]
    return "" if str(value).lower() in choices else f"it is {value!r}; {_expected(str(value), choices)}"


def _expected(given: str, choices: Collection[str]) -> str:
    near = difflib.get_close_matches(given, choices, n=1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(choices) or 'none'}"
