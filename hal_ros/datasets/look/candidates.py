"""What several bags' looks say together of each topic that could be a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from hal_ros.bags.inputs import IMAGES, transport_base
from hal_ros.bags.sensors import SUFFIX
from hal_ros.core.image import ENCODINGS
from hal_ros.core.streams.spec import JOINT_FIELDS, JOINT_STATE
from hal_ros.datasets.look.topics import BagLook, TopicLook

CAMERA_KIND, JOINTS_KIND, NUMBERS_KIND = "camera", "joints", "numbers"
PERIODS = 3  # a value is used until so many messages have failed to come
LEAST_AGE_S = 0.1
USUAL_CAMERA_AGE_S = 0.2


@dataclass(frozen=True)
class Candidate:
    """A topic that a camera or a state could come from; raw and compressed pictures of a name are one."""

    topic: str
    kind: str
    type_name: str
    rate_hz: float  # 0: not known
    slowest_s: float
    skew_s: float | None
    bags: tuple[str, ...]  # in which it has messages
    fault: str = ""  # why it can't be taken
    joints: tuple[str, ...] = ()  # that all of these bags name
    left_out: tuple[str, ...] = ()  # that only some name
    fields: tuple[str, ...] = ()  # of joints, or paths to numbers
    size_px: tuple[int, int] = (0, 0)  # of its pictures in the first of the bags
    ranges: tuple[Mapping[str, tuple[float, float]], ...] = ()  # of the joints' positions, by bag

    @property
    def max_age_s(self) -> float:
        """After how long a value is too old: some periods of the slowest who writes it, and never too soon."""
        least = USUAL_CAMERA_AGE_S if self.kind == CAMERA_KIND else LEAST_AGE_S
        return max(least, round(PERIODS * self.slowest_s, 2))


def find_candidates(looks: Mapping[str, BagLook]) -> list[Candidate]:
    """Return the candidates of all bags, by topic; those without messages in any bag are none."""
    topics = sorted({topic for look in looks.values() for topic in look})
    found = [_candidate(topic, {n: look[topic] for n, look in looks.items() if topic in look}) for topic in topics]
    return _one_transport([candidate for candidate in found if candidate is not None])


def _candidate(topic: str, by_bag: Mapping[str, TopicLook]) -> Candidate | None:
    seen = {name: look for name, look in by_bag.items() if look.messages}
    seen = {name: look for name, look in seen.items() if not look.fault} or seen
    types = [look.type_name for look in seen.values()]
    if not types:
        return None
    type_name = max(types, key=types.count)
    alike = {name: look for name, look in seen.items() if look.type_name == type_name}
    kind = CAMERA_KIND if type_name in IMAGES else JOINTS_KIND if type_name == JOINT_STATE else NUMBERS_KIND
    fields = _common([look.fields for look in alike.values()])
    fault = next((look.fault for look in alike.values() if look.fault), "")
    if kind == NUMBERS_KIND and not fields and not fault:
        return None
    joints = _common([tuple(look.joints) for look in alike.values()])
    named = {joint for look in alike.values() for joint in look.joints}
    if kind == JOINTS_KIND and not fault and not (joints and fields):
        fault = "names no joint that all bags have" if not joints else "gives no position, velocity or effort"
    skews = [look.skew_s for look in alike.values() if look.skew_s is not None]
    return Candidate(
        topic,
        kind,
        type_name,
        median(look.rate_hz for look in alike.values()),
        max(look.slowest_s for look in alike.values()),
        median(skews) if skews else None,
        tuple(alike),
        _shortly(fault),
        joints,
        tuple(sorted(named - set(joints))),
        fields,
        next(iter(alike.values())).size_px,
        tuple(look.joints for look in alike.values()),
    )


def _common(lists: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return what is in all lists, in the first one's order."""
    return tuple(each for each in lists[0] if all(each in others for others in lists))


def _shortly(fault: str) -> str:
    """Return a fault without the list of all encodings, which would fill the screen."""
    return fault.partition(f"; expected one of {', '.join(ENCODINGS)}")[0]


def _one_transport(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Put raw and compressed pictures of one name together: the raw ones name it, as the model takes either."""
    kept: dict[str, Candidate] = {}
    for candidate in candidates:  # a name comes before what it is the beginning of
        other = kept.get(transport_base(candidate.topic)) if candidate.topic.endswith(SUFFIX) else None
        if other is None or other.kind != CAMERA_KIND or candidate.kind != CAMERA_KIND or other.fault:
            kept[candidate.topic] = candidate
        elif not candidate.fault:
            kept[other.topic] = replace(other, bags=tuple(sorted({*other.bags, *candidate.bags})))
    return list(kept.values())


def repeats(candidate: Candidate, other: Candidate) -> set[str]:
    """Return the joints of a candidate that are the other one's too: of the same names, and of like positions.

    Two arms of one make often name their joints alike, in namespaces of their own: these do not repeat each other.
    """
    same = set(candidate.joints) & set(other.joints)
    mine, theirs = (_extent(each, same) for each in (candidate, other))
    if not same or JOINT_FIELDS[0] not in candidate.fields or JOINT_FIELDS[0] not in other.fields:
        return same
    apart = [abs(a - b) for name in same for a, b in zip(mine[name], theirs[name], strict=True)]
    widest = max((high - low for low, high in mine.values()), default=0.0)
    return same if np.nanmax([0.0, *apart]) <= 0.01 + 0.1 * widest else set()


def _extent(candidate: Candidate, names: set[str]) -> dict[str, tuple[float, float]]:
    found = {}
    for name in names:
        pairs = [ranges[name] for ranges in candidate.ranges if name in ranges]
        found[name] = min(low for low, _ in pairs), max(high for _, high in pairs)
    return found
