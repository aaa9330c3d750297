"""From a user's bags to the streams of a dataset: the settings' own, or those that are chosen for new settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hal_ros.bags.inputs import expected_topics, listed
from hal_ros.core.errors import HalError
from hal_ros.datasets.config import DataConfig, asked_topics, streams_of
from hal_ros.datasets.look.asked import AskedStreams
from hal_ros.datasets.look.candidates import Candidate, find_candidates
from hal_ros.datasets.look.choice import choose
from hal_ros.datasets.look.fit import Contents, about, fit, nowhere, stream_warnings, unreadable
from hal_ros.datasets.look.topics import BagLook, look_at
from hal_ros.datasets.pool import in_order

FEW_BAGS = 8
NOTHING = "the bags hold nothing that a model could take; expected cameras or joint states"


@dataclass(frozen=True)
class FoundStreams:
    """What the bags hold of the streams: of those in the settings, or of those that are chosen now."""

    data: DataConfig
    contents: Mapping[str, Contents]
    problems: tuple[str, ...]
    candidates: tuple[Candidate, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def find_streams(bags: Mapping[str, Path], data: DataConfig, asked: AskedStreams | None) -> FoundStreams:
    """Look at bags; where there are no settings yet streams are chosen, those `asked` for or the likely ones."""
    named = asked.topics if asked else expected_topics(streams_of(data))
    processes = data.processes if len(bags) > FEW_BAGS else 1  # to start some takes as long as to look at a few
    looked = dict(zip(bags, in_order(partial(_look, topics=named), list(bags.values()), processes), strict=True))
    joints = {joint for state in streams_of(data).states.values() for joint in state.names} if asked is None else set()
    looked |= {name: _look(bags[name], named, whole=True) for name in _without_some_joints(looked, joints)}
    looks = {name: found for name, found in looked.items() if not isinstance(found, str)}
    problems = [found for found in looked.values() if isinstance(found, str)]
    candidates = tuple(find_candidates(looks))
    choice = None if asked is None or not looks else choose(candidates, len(looks), asked)
    if choice is not None:
        if not (choice.problems or choice.streams.cameras or choice.streams.states):
            held = listed({topic for look in looks.values() for topic in look})
            return FoundStreams(data, {}, (*problems, f"{NOTHING}; they have {held}"))
        if choice.problems:
            return FoundStreams(data, {}, (*problems, *choice.problems))
        data = dataclasses.replace(data, streams=choice.streams)
    spec, topics = streams_of(data), asked_topics(data)
    fitted = {name: fit(bags[name], look, spec, topics) for name, look in looks.items()}
    contents = {name: found for name, found in fitted.items() if isinstance(found, Contents)}
    problems += [found for found in fitted.values() if isinstance(found, str)]
    problems += unreadable(contents, spec)
    if len(contents) == len(bags):  # else what no bag has may be in one of the others
        problems += nowhere(contents, spec)
    reasons = {} if choice is None else choice.reasons
    warnings = tuple(stream_warnings(contents, spec))
    return FoundStreams(data, contents, tuple(problems), candidates, reasons, warnings)


def _without_some_joints(looked: Mapping[str, BagLook | str], expected: Collection[str]) -> list[str]:
    """Return the bags in whose beginnings a topic names fewer joints than in others, or than are expected.

    A driver may speak up later.
    """
    looks = {name: look for name, look in looked.items() if not isinstance(look, str)}
    named: dict[str, set[str]] = {}
    for look in looks.values():
        for topic, one in look.items():
            named.setdefault(topic, set()).update(one.joints)
    lacking = []
    for name, look in looks.items():
        seen = {joint for one in look.values() for joint in one.joints}
        if set(expected) - seen or any(named[topic] - set(one.joints) for topic, one in look.items()):
            lacking.append(name)
    return lacking


def _look(path: Path, topics: Collection[str], whole: bool = False) -> BagLook | str:
    try:
        return look_at(path, topics, whole)
    except HalError as error:
        return about(path, str(error))
