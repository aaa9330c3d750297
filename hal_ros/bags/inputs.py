"""Where a model's streams lie in a bag: which topics carry them, and how their messages are read.

Nothing is guessed where the model names topics. A card of format 1 names none: the usual ones are taken then, or else
the only one of its type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from hal_ros.bags.definitions import BagTypes
from hal_ros.bags.reader import topic_types
from hal_ros.bags.sensors import COMPRESSED, IMAGE, SUFFIX
from hal_ros.core.errors import BagError, HalError
from hal_ros.core.streams.readers import StateReader, make_reader
from hal_ros.core.streams.spec import CAMERA, JOINT_STATE, JOINTS, CameraSpec, StateSpec, StreamSpec

CAMERA_TOPIC = "/camera/color/image_raw"
JOINT_TOPIC = "/joint_states"
IMAGES = (IMAGE, COMPRESSED)
PIXELS = {IMAGE: ("height", "width", "encoding", "is_bigendian", "step", "data"), COMPRESSED: ("format", "data")}
"""What pictures are made of."""

AskedTopics = Mapping[str, tuple[str, ...]]
"""Topics that a person names for streams, in place of the model's."""
AS_IN_THE_CARD: AskedTopics = {}


@dataclass(frozen=True)
class BagInputs:
    """The streams of a model in one bag. A stream that the bag does not hold has no topics."""

    spec: StreamSpec
    types: BagTypes
    topics: Mapping[str, tuple[str, ...]]  # by stream
    cameras: Mapping[str, tuple[str, ...]]  # by topic: the cameras that take its pictures
    readers: Mapping[str, Mapping[str, StateReader]]  # by topic: who reads it for which state
    problems: tuple[str, ...] = ()  # one line for each stream that can't be read, or is not there
    headed: frozenset[str] = field(default_factory=frozenset)  # topics whose messages are stamped by the sender
    type_names: Mapping[str, str] = field(default_factory=dict)  # by topic: of all topics of the bag
    remarks: tuple[str, ...] = ()  # one line for each state of whose topics some are not there; others may do

    @property
    def all_topics(self) -> set[str]:
        """Every topic that is read."""
        return {*self.cameras, *self.readers}

    @cached_property
    def clock_topics(self) -> frozenset[str]:
        """The topics whose stamps make the tick grid."""
        return frozenset(self.topics[self.spec.clock])

    def __str__(self) -> str:
        """Return which topic each stream comes from, in one line."""
        return ", ".join(f"{name} {' and '.join(topics) or 'none'}" for name, topics in self.topics.items())


def find_inputs(bag: Path, spec: StreamSpec, name: str, asked: AskedTopics = AS_IN_THE_CARD) -> BagInputs:
    """Return where the streams of the model `name` lie in a bag.

    Raises BagError when the clock is not there or can't be read, when several topics may be meant, for a topic or a
    stream that is asked for and not there, and when the bag can't be read.
    """
    types = topic_types(bag)
    if not types:
        raise BagError(f"{bag}: holds no topics: nothing was recorded in it yet; expected messages")
    return inputs_among(types, BagTypes.of(bag), spec, name, asked)


def inputs_among(
    types: Mapping[str, str], known: BagTypes, spec: StreamSpec, name: str, asked: AskedTopics = AS_IN_THE_CARD
) -> BagInputs:
    """Do as find_inputs does, with the types of a bag's topics and what is known of these types."""
    asked = resolve_asked(spec, name, asked)
    topics = {camera: find_camera(types, one, asked.get(camera)) for camera, one in spec.cameras.items()}
    topics |= {state: find_state(types, one, asked.get(state)) for state, one in spec.states.items()}
    read, problems = _readers(spec, types, topics, known)
    unlike = _unlike(spec, types, topics, known)
    problems += unlike.values()
    problems += [_absent(name, stream, spec, types) for stream, found in topics.items() if not found]
    partly = [_partly(stream, one.topic, topics[stream]) for stream, one in spec.states.items() if stream not in asked]
    kept = {name: tuple(t for t in topics[name] if t not in unlike) for name in spec.cameras}
    kept |= {name: tuple(t for t in topics[name] if name in read.get(t, {})) for name in spec.states}
    if not kept[spec.clock]:
        told = [line for line in problems if line.startswith(f"{spec.clock}: ")]
        option = "--camera" if spec.clock in spec.cameras else "--state"
        how = f": if another topic is meant, {option} {spec.clock}=TOPIC, or in data.streams of a dataset's settings"
        raise BagError(
            f"{told[0] if told else spec.clock}; {name} takes its ticks from it{'' if topics[spec.clock] else how}"
        )
    cameras: dict[str, tuple[str, ...]] = {}
    for camera in spec.cameras:
        for topic in kept[camera]:
            cameras[topic] = (*cameras.get(topic, ()), camera)
    headed = frozenset(topic for topic in {*cameras, *read} if known.has_header(types[topic]))
    return BagInputs(spec, known, kept, cameras, read, tuple(problems), headed, types, tuple(filter(None, partly)))


def resolve_asked(spec: StreamSpec, name: str, asked: AskedTopics) -> AskedTopics:
    """Return the topics that are asked for by the model's own streams; BagError for a stream that it does not take.

    `camera` and `joints` are what a robot with one of each calls them: they stand for the only one, whatever its name.
    """
    only = {CAMERA: list(spec.cameras), JOINTS: list(spec.states)}
    resolved = {}
    for stream, topics in asked.items():
        meant = stream if stream in spec.names else next(iter(only.get(stream, [])), "")
        if not meant or (meant != stream and len(only[stream]) > 1):
            raise BagError(f"{name} takes no stream {stream!r}; expected one of {', '.join(spec.names)}")
        resolved[meant] = topics
    return resolved


def evidence(inputs: BagInputs, asked: AskedTopics) -> bool:
    """Whether a bag has a topic that the model or a person names, or a usual one."""
    known = {*expected_topics(inputs.spec), *(topic for topics in asked.values() for topic in topics)}
    return bool({transport_base(topic) for topic in inputs.all_topics} & {transport_base(topic) for topic in known})


def expected_topics(spec: StreamSpec) -> set[str]:
    """Return the topics that streams name; for a stream that names none, the usual one."""
    topics = {topic for one in spec.cameras.values() for topic in one.topic or (CAMERA_TOPIC,)}
    return topics | {topic for one in spec.states.values() for topic in one.topic or (JOINT_TOPIC,)}


# --- one stream -------------------------------------------------------------------------------------------------------


def find_camera(types: Mapping[str, str], camera: CameraSpec, asked: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the topic of a camera, raw or compressed, whichever the bag holds; () where it holds none.

    Raises BagError for a topic that is asked for and carries no images, and where several may be meant.
    """
    carrying = sorted(topic for topic, kind in types.items() if kind in IMAGES)
    if asked:
        return tuple(_asked_camera(topic, carrying) for topic in asked)
    if camera.topic:
        return tuple(filter(None, (_transport(topic, carrying) for topic in camera.topic)))[:1]
    usual = _transport(CAMERA_TOPIC, carrying)
    return (usual,) if usual else _only(carrying, " or ".join(IMAGES))


def find_state(types: Mapping[str, str], state: StateSpec, asked: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the topics of a state; () where the bag holds none. Raises BagError as find_camera does."""
    wanted = JOINT_STATE if state.names else state.type
    carrying = sorted(topic for topic, kind in types.items() if kind == wanted)
    if asked:
        for topic in asked:
            if topic not in types:
                raise BagError(f"topic {topic!r} is not in the bag, which has {listed(types)}")
            if state.names and topic not in carrying:
                raise BagError(f"topic {topic!r} is not one of {listed(carrying)}, which carry {wanted}")
        return tuple(asked)
    if state.topic:
        return tuple(topic for topic in state.topic if topic in types)
    return (JOINT_TOPIC,) if JOINT_TOPIC in carrying else _only(carrying, wanted)


def transport_base(topic: str) -> str:
    """Return a camera topic without the suffix of its transport."""
    return topic.removesuffix(SUFFIX)


def listed(topics: Iterable[str]) -> str:
    """Return topics in words."""
    return ", ".join(sorted(topics)) or "no topics"


def _asked_camera(topic: str, carrying: Sequence[str]) -> str:
    if topic in carrying:
        return topic
    found = _transport(topic, carrying)
    if found is None:
        raise BagError(f"topic {topic!r} is not one of {listed(carrying)}, which carry {' or '.join(IMAGES)}")
    return found


def _transport(topic: str, carrying: Sequence[str]) -> str | None:
    base = transport_base(topic)
    return next((one for one in (topic, base, base + SUFFIX) if one in carrying), None)


def _only(carrying: Sequence[str], kinds: str) -> tuple[str, ...]:
    if len(carrying) > 1:
        raise BagError(f"several topics carry {kinds}: {listed(carrying)}; name the one to take")
    return tuple(carrying)


def _readers(
    spec: StreamSpec, types: Mapping[str, str], topics: Mapping[str, Sequence[str]], known: BagTypes
) -> tuple[dict[str, dict[str, StateReader]], list[str]]:
    """Return who reads which topic, and a line for each that can't be read as the model wants it."""
    readers: dict[str, dict[str, StateReader]] = {}
    problems = []
    for name, state in spec.states.items():
        for topic in topics[name]:
            try:
                made = make_reader(state, types[topic], partial(known.describe, of=types[topic]))
            except HalError as error:
                problems.append(f"{name}: {topic} {_carries(types[topic], str(error))}")
                continue
            readers.setdefault(topic, {})[name] = made
    return readers, problems


def _unlike(
    spec: StreamSpec, types: Mapping[str, str], topics: Mapping[str, Sequence[str]], known: BagTypes
) -> dict[str, str]:
    """Return, by topic, a line for each whose pictures can't be read, as the bag has its own form of their type."""
    found = {}
    for name in spec.cameras:
        for topic in topics[name]:
            if fault := known.lacking(types[topic], PIXELS[types[topic]]):
                found[topic] = f"{name}: {topic} {_carries(types[topic], fault)}"
    return found


def _carries(type_name: str, fault: str) -> str:
    return fault if fault.startswith("carries ") else f"carries {type_name}: {fault}"


def _partly(stream: str, wanted: Sequence[str], found: Sequence[str]) -> str:
    """Say which of a state's topics are not there though others are; '' where all are."""
    absent = [topic for topic in wanted if topic not in found]
    return f"{stream}: {listed(absent)} is not in the bag; taken from {listed(found)} alone" if found and absent else ""


def _absent(name: str, stream: str, spec: StreamSpec, types: Mapping[str, str]) -> str:
    camera = spec.cameras.get(stream)
    topic = spec.states[stream].topic if camera is None else camera.topic
    kinds = " or ".join(IMAGES) if camera else (JOINT_STATE if spec.states[stream].names else spec.states[stream].type)
    for other in (one for one in topic if one in types):
        return f"{stream}: {other} carries {types[other]}; expected {kinds}"
    wanted = listed(topic) if topic else f"a topic of {kinds or 'its type'}"
    return f"{stream}: {name} expects {wanted}; the bag has {listed(types)}"
