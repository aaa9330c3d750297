"""Which topics the streams of a model come from: those of its card, unless the user says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

from hal_ros.bags.sensors import COMPRESSED, IMAGE
from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.spec import CAMERA, JOINT_STATE, JOINTS, CameraSpec, StateSpec, StreamSpec
from hal_ros.ros.params import TOPICS_PREFIX, SegmenterParameters

CAMERA_TOPIC, JOINT_TOPIC = "camera/color/image_raw", "joint_states"
"""Where cards of format 1, which name no topics, find their two streams; relative, so that namespaces hold."""
SUFFIX = "/compressed"
DESCRIPTION = "Topic or topics of this stream, in place of those in the card. Empty: those in the card."


class WantedTopic(NamedTuple):
    """One topic to subscribe to, by full name and type, and the streams that take its messages."""

    topic: str
    type_name: str
    streams: tuple[str, ...]


class OpenTopic(NamedTuple):
    """A topic whose transport or type only its publishers can tell."""

    stream: str
    candidates: tuple[tuple[str, str], ...]  # full names and types, the most wanted first; '' for any type


def all_streams(spec: StreamSpec) -> dict[str, CameraSpec | StateSpec]:
    """Return cameras and states by name."""
    return {**spec.cameras, **spec.states}


def declare_topics(node: Node, spec: StreamSpec) -> None:
    """Declare topics.<stream> for each stream; raises ConfigError for one that is given and not a stream."""
    # rclpy keeps what YAML and command line gave for this node in one place, which has no public name.
    for given in node._parameter_overrides:
        if given.startswith(TOPICS_PREFIX) and given.removeprefix(TOPICS_PREFIX) not in spec.names:
            names = ", ".join(TOPICS_PREFIX + name for name in spec.names)
            raise ConfigError(f"unknown parameter {given!r}: the model has no such stream; expected one of {names}")
    for stream in spec.names:
        name = TOPICS_PREFIX + stream
        if not node.has_parameter(name):
            descriptor = ParameterDescriptor(description=DESCRIPTION, dynamic_typing=True)
            node.declare_parameter(name, "", descriptor)


def chosen_topics(node: Node, spec: StreamSpec, parameters: SegmenterParameters) -> dict[str, tuple[str, ...]]:
    """Return the topics of each stream as they were named; raises ConfigError where a parameter can't be followed."""
    chosen: dict[str, tuple[str, ...]] = {}
    aliases = _aliases(spec, parameters)
    for stream, one in all_streams(spec).items():
        given = _given(node, stream)
        if given and stream in aliases:
            raise ConfigError(f"topics.{stream} and its older name are both set; expected one of them")
        chosen[stream] = given or aliases.get(stream) or one.topic or _usual(stream, one)
    return chosen


def _given(node: Node, stream: str) -> tuple[str, ...]:
    name = TOPICS_PREFIX + stream
    value = node.get_parameter(name).value
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, Sequence) or not all(isinstance(topic, str) for topic in values):
        raise ConfigError(f"parameter {name} is {value!r}; expected a topic, or a list of topics")
    return tuple(topic for topic in values if topic)


def _aliases(spec: StreamSpec, parameters: SegmenterParameters) -> dict[str, tuple[str, ...]]:
    """Return what image_topic and joint_topic mean: the streams of these names, or else the only one of their kind."""
    found: dict[str, tuple[str, ...]] = {}
    asked = (("image_topic", parameters.image_topic, CAMERA, spec.cameras),)
    joints = {name: state for name, state in spec.states.items() if state.names}
    for key, topic, usual, streams in (*asked, ("joint_topic", parameters.joint_topic, JOINTS, joints)):
        if not topic:
            continue
        names = list(streams)
        if usual not in names and len(names) != 1:
            listed = ", ".join(f"topics.{name}" for name in names) or f"none, as it has no {usual}"
            raise ConfigError(f"{key} is {topic!r}, but the model has {len(names)} such streams; expected {listed}")
        found[usual if usual in names else names[0]] = (topic,)
    return found


def _usual(stream: str, one: CameraSpec | StateSpec) -> tuple[str, ...]:
    if isinstance(one, CameraSpec):
        return (CAMERA_TOPIC,)
    if one.names:
        return (JOINT_TOPIC,)
    raise ConfigError(f"the model names no topic for its stream {stream}; expected parameter topics.{stream}")


# --- names and types --------------------------------------------------------------------------------------------------


def candidates(node: Any, topic: str, one: CameraSpec | StateSpec, transport: str) -> tuple[tuple[str, str], ...]:
    """Return under which full names and types a stream's topic may be there, the most wanted first."""
    if isinstance(one, StateSpec):
        return ((node.resolve_topic_name(topic), JOINT_STATE if one.names else one.type),)
    raw, packed = (_resolved(node, topic, kind == COMPRESSED) for kind in (IMAGE, COMPRESSED))
    both = ((raw, IMAGE), (packed, COMPRESSED))
    if transport == "auto":
        return both[::-1] if topic.endswith(SUFFIX) else both
    return both[:1] if transport == "raw" else both[1:]


def _resolved(node: Any, topic: str, compressed: bool) -> str:
    """Return a camera topic's full name with its transport's suffix; remappings of either name hold."""
    if not compressed:
        return str(node.resolve_topic_name(topic.removesuffix(SUFFIX)))
    if topic.endswith(SUFFIX):
        return str(node.resolve_topic_name(topic))
    base = node.resolve_topic_name(topic)
    return str(base if base.endswith(SUFFIX) else node.resolve_topic_name(base + SUFFIX))


def published(node: Any, opened: OpenTopic) -> tuple[str, str] | None:
    """Return the most wanted candidate that somebody publishes now, with its type; None while there is none."""
    for topic, type_name in opened.candidates:
        kinds = sorted({info.topic_type for info in node.get_publishers_info_by_topic(topic)})
        if type_name in kinds or (kinds and not type_name):
            return topic, type_name or kinds[0]
    return None
