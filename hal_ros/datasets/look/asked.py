"""Streams that a person asks for by name on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.spec import CAMERA, JOINTS


@dataclass(frozen=True)
class AskedState:
    """Topics of a state and, where they are named, its fields."""

    topics: tuple[str, ...]
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class AskedStreams:
    """What is asked for. `only` that is taken, or else what is likely of the kind that nothing is asked of."""

    cameras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    states: Mapping[str, AskedState] = field(default_factory=dict)
    only: bool = False

    @property
    def topics(self) -> frozenset[str]:
        """All topics that are asked for."""
        states = [topic for state in self.states.values() for topic in state.topics]
        return frozenset([*(topic for topics in self.cameras.values() for topic in topics), *states])


def read_asked(
    cameras: Sequence[str] = (), states: Sequence[str] = (), camera_topic: str = "", joint_topic: str = ""
) -> AskedStreams:
    """Read --camera [NAME=]TOPIC, --state NAME=TOPIC[:FIELD,...] and the older --camera-topic and --joint-topic.

    Raises ConfigError for what is not written so. A name that comes again has several topics.
    """
    found_cameras: dict[str, tuple[str, ...]] = {}
    for text in [*cameras, *[f"{CAMERA}={camera_topic}"] * bool(camera_topic)]:
        name, topic = _split(text if "=" in text else f"{CAMERA}={text}", "--camera front=/topic")
        found_cameras[name] = (*found_cameras.get(name, ()), topic)
    found_states: dict[str, AskedState] = {}
    for text in [*states, *[f"{JOINTS}={joint_topic}"] * bool(joint_topic)]:
        name, rest = _split(text, "--state gripper=/topic or --state wrench=/topic:wrench.force.x,wrench.force.z")
        topic, _, listed = rest.partition(":")
        fields = tuple(each.strip() for each in listed.split(",")) if listed else ()
        before = found_states.get(name, AskedState((), fields))
        if before.fields != fields:
            raise ConfigError(f"--state {text}: {name} has fields {_listed(before.fields)} before; expected the same")
        found_states[name] = AskedState((*before.topics, topic), fields)
    return AskedStreams(found_cameras, found_states, only=bool(cameras or states))


def _split(text: str, expected: str) -> tuple[str, str]:
    name, _, rest = text.partition("=")
    if not name or not rest or rest.startswith(":"):
        raise ConfigError(f"{expected.split()[0]} {text}: has no name or no topic; expected {expected}")
    return name, rest


def _listed(fields: Sequence[str]) -> str:
    return ",".join(fields) or "of its own"
