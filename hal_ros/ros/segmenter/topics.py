"""Which topics the streams of a model come from: those of its card, unless the user says otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

from hal_ros.bags.sensors import COMPRESSED, IMAGE, SUFFIX
from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.spec import CAMERA, JOINT_STATE, JOINTS, CameraSpec, StateSpec, StreamSpec
from hal_ros.ros.params import given_values, refuse, resolve_topic, value_of
from hal_ros.ros.segmenter_parameters import TOPICS_PREFIX, SegmenterParameters

CAMERA_TOPIC, JOINT_TOPIC = "camera/color/image_raw", "joint_states"
"""Where cards of format 1, which name no topics, find their two streams; relative, so that namespaces hold."""
DESCRIPTION = "Topic or topics of this stream, in place of those in the card. Empty: those in the card."


class Form(NamedTuple):
    """One way in which a stream's topic may be there."""

    name: str  # as ROS is to be asked for it: a second remapping of a full name could lead elsewhere
    topic: str  # full name, remapped
    type_name: str  # '': whatever it carries


class WantedTopic(NamedTuple):
    """One topic to subscribe to, and the streams that take its messages."""

    form: Form
    streams: tuple[str, ...]


class OpenTopic(NamedTuple):
    """A topic whose transport or type only its publishers can tell."""

    stream: str
    forms: tuple[Form, ...]  # the most wanted first


def declare_topics(node: Node, spec: StreamSpec) -> None:
    """Declare topics.<stream> for each stream; raises ConfigError for one that is given and not a stream."""
    for given in given_values(node):
        if given.startswith(TOPICS_PREFIX) and given.removeprefix(TOPICS_PREFIX) not in spec.names:
            names = ", ".join(TOPICS_PREFIX + name for name in spec.names)
            reason = f"unknown parameter {given!r}: the model has no such stream; expected one of {names}"
            refuse(node, given, reason)
    for name in node.get_parameters_by_prefix(TOPICS_PREFIX.rstrip(".")):
        if name not in spec.names:  # of the model before
            node.undeclare_parameter(TOPICS_PREFIX + name)
    for stream in spec.names:
        name = TOPICS_PREFIX + stream
        if not node.has_parameter(name):
            descriptor = ParameterDescriptor(description=DESCRIPTION, dynamic_typing=True)
            node.declare_parameter(name, "", descriptor)


def chosen_topics(node: Node, spec: StreamSpec, parameters: SegmenterParameters) -> dict[str, tuple[str, ...]]:
    """Return the topics of each stream as they were named; raises ConfigError where a parameter can't be followed."""
    chosen: dict[str, tuple[str, ...]] = {}
    aliases = _aliases(spec, parameters)
    for stream, one in spec.streams.items():
        given, (older, alias) = _given(node, stream), aliases.get(stream, ("", ""))
        if given and alias:
            raise ConfigError(f"topics.{stream} and its older name are both set; expected one of them")
        chosen[stream] = given or ((alias,) if alias else one.topic or _usual(stream, one))
        source = (
            f"parameter {TOPICS_PREFIX}{stream}" if given else f"parameter {older}" if alias else "the model's card"
        )
        for topic in chosen[stream]:
            resolve_topic(node, topic, f"{source}, stream {stream}")
    return chosen


def _given(node: Node, stream: str) -> tuple[str, ...]:
    name = TOPICS_PREFIX + stream
    value = value_of(node, name, ())  # an empty list, too, leaves the card its say
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, Sequence) or not all(isinstance(topic, str) for topic in values):
        raise ConfigError(f"parameter {name} is {value!r}; expected a topic, or a list of topics")
    return tuple(topic for topic in values if topic)


def _aliases(spec: StreamSpec, parameters: SegmenterParameters) -> dict[str, tuple[str, str]]:
    """Return what image_topic and joint_topic mean, by stream: of these names, or else the only one of their kind.

    Each is the parameter's name and the topic.
    """
    found: dict[str, tuple[str, str]] = {}
    asked = (("image_topic", parameters.image_topic, CAMERA, spec.cameras),)
    joints = {name: state for name, state in spec.states.items() if state.names}
    for key, topic, usual, streams in (*asked, ("joint_topic", parameters.joint_topic, JOINTS, joints)):
        if not topic:
            continue
        names = list(streams)
        if not names:
            continue  # files of parameters name both, also for a model that takes one of them
        if usual not in names and len(names) != 1:
            listed = ", ".join(TOPICS_PREFIX + name for name in names)
            raise ConfigError(f"{key} is {topic!r}, but the model has {len(names)} such streams; expected {listed}")
        found[usual if usual in names else names[0]] = key, topic
    return found


def _usual(stream: str, one: CameraSpec | StateSpec) -> tuple[str, ...]:
    if isinstance(one, CameraSpec):
        return (CAMERA_TOPIC,)
    if one.names:
        return (JOINT_TOPIC,)
    raise ConfigError(f"the model names no topic for its stream {stream}; expected parameter topics.{stream}")


# --- names and types --------------------------------------------------------------------------------------------------


def open_topics(node: Node, spec: StreamSpec, topics: Mapping[str, tuple[str, ...]], transport: str) -> list[OpenTopic]:
    """Return the forms in which the streams' topics may be there.

    Several topics of a state are all of it; of a camera they are its possible names, of which the first one counts.
    """
    opened = []
    for stream, named in topics.items():
        if stream in spec.cameras:
            forms = [form for topic in named for form in _camera_forms(node, topic, transport)]
            opened.append(OpenTopic(stream, tuple(dict.fromkeys(forms))))
        else:
            state = spec.states[stream]
            type_name = JOINT_STATE if state.names else state.type
            opened += [OpenTopic(stream, (_form(node, topic, type_name),)) for topic in named]
    return opened


def all_names(node: Node, spec: StreamSpec, topics: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Return the full names of all topics that the node may subscribe to, a camera's in both transports."""
    opened = open_topics(node, spec, topics, "auto")
    return {form.topic for one in opened for form in one.forms}


def _form(node: Node, name: str, type_name: str) -> Form:
    return Form(name, str(node.resolve_topic_name(name)), type_name)


def _camera_forms(node: Node, topic: str, transport: str) -> list[Form]:
    base = topic.removesuffix(SUFFIX)
    raw, packed = _form(node, base, IMAGE), _packed(node, base)
    if transport != "auto":
        return [raw if transport == "raw" else packed]
    own = [_form(node, topic, kind) for kind in (IMAGE, COMPRESSED)]  # the name itself says nothing for sure
    return [*own, raw, packed] if topic == base else [own[1], raw, packed]


def _packed(node: Node, base: str) -> Form:
    """Return the compressed form of a camera's topic; it follows where its own name, or else the raw one, leads."""
    own = _form(node, base + SUFFIX, COMPRESSED)
    remapped_base = str(node.resolve_topic_name(base))
    expanded = str(node.resolve_topic_name(base, only_expand=True))
    if remapped_base == expanded or own.topic != expanded + SUFFIX:
        return own
    name = remapped_base.removesuffix(SUFFIX) + SUFFIX
    return _form(node, name, COMPRESSED)


def published(node: Node, forms: Iterable[Form]) -> Form | None:
    """Return the most wanted form that somebody publishes now, with its type; None while there is none."""
    for form in forms:
        kinds = sorted({info.topic_type for info in node.get_publishers_info_by_topic(form.name)})
        if form.type_name in kinds or (kinds and not form.type_name):
            return form._replace(type_name=form.type_name or kinds[0])
    return None
