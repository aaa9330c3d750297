"""Which of the topics in a user's bags become streams: those that are asked for, or else the likely ones.

Cameras: all. States: all topics of joints that repeat nothing, all wrenches, and numbers of a gripper. What looks like
a command is no state: live it may be of a teleoperator who is away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hal_ros.bags.inputs import CAMERA_TOPIC, JOINT_TOPIC, transport_base
from hal_ros.core.streams.check import STREAM_NAME, streams_fault
from hal_ros.core.streams.spec import (
    CAMERA,
    JOINT_FIELDS,
    JOINT_STATE,
    JOINTS,
    CameraSpec,
    StateSpec,
    StreamSpec,
)
from hal_ros.datasets.config import NamedStreams
from hal_ros.datasets.look.asked import AskedState, AskedStreams
from hal_ros.datasets.look.candidates import CAMERA_KIND, JOINTS_KIND, Candidate, repeats
from hal_ros.datasets.look.names import stream_names
from hal_ros.datasets.look.topics import WRENCH

COMMAND = re.compile(r"(?<![a-z])(commands?|cmd|desired|references?|targets?|goals?|setpoints?|actions?|leader|master)")
OF_ONE_CAMERA = ("image_raw", "image_color", "image_rect_color", "image_rect", "image_mono", "image")
"""How image_proc and drivers call the pictures of one camera, the most telling first."""
NEARLY_AS_FAST = 0.8
FEWEST_BAGS = 0.5


@dataclass(frozen=True)
class Choice:
    """The streams that were chosen, and why the other topics were not; problems because of which nothing can be."""

    streams: NamedStreams
    reasons: Mapping[str, str] = field(default_factory=dict)  # by topic
    problems: tuple[str, ...] = ()


def choose(candidates: Sequence[Candidate], bags: int, asked: AskedStreams) -> Choice:
    """Choose among the candidates of so many bags."""
    reasons, problems = dict[str, str](), list[str]()
    by_topic = {candidate.topic: candidate for candidate in candidates}
    usable = [candidate for candidate in candidates if not _no_stream(candidate, bags, reasons)]
    cameras = _asked_cameras(asked, by_topic, problems)
    states = _asked_states(asked, by_topic, problems)
    if not asked.only and not asked.cameras:
        cameras = _likely_cameras([one for one in usable if one.kind == CAMERA_KIND], bags, reasons)
    if not asked.only and not asked.states:
        states = _likely_states([one for one in usable if one.kind != CAMERA_KIND], bags, reasons, tuple(cameras))
    topics = {name: one.topic for parts in (cameras, states) for name, one in parts.items()}
    driving = {name: topics[name] for name in cameras or states}
    clock = next(iter(asked.cameras if cameras else ()), "") or _clock(driving, by_topic)
    streams = NamedStreams(clock, cameras, states)
    if not problems and (cameras or states):
        problems += _faults(streams)
    taken = {topic for each in topics.values() for topic in each}
    told = {one.topic: reasons.get(one.topic, "not asked for") for one in candidates if one.topic not in taken}
    return Choice(streams, told, tuple(problems))


def _no_stream(candidate: Candidate, bags: int, reasons: dict[str, str]) -> str:
    """Return, and note, why a topic is not taken unless it is asked for; "" where it may be."""
    reason = candidate.fault
    if not reason and candidate.kind != CAMERA_KIND and COMMAND.search(candidate.topic.lower()):
        reason = "looks like a command"
    if not reason and len(candidate.bags) < FEWEST_BAGS * bags:
        reason = f"only in {len(candidate.bags)} of {bags} bags"
    if reason:
        reasons[candidate.topic] = reason
    return reason


def _faults(streams: NamedStreams) -> Iterator[str]:
    for name in (*streams.cameras, *streams.states):
        if not STREAM_NAME.fullmatch(name):
            yield f"{name}: is no stream's name; expected a letter, then letters, digits and '_'"
            return
    if fault := streams_fault(StreamSpec(streams.clock, streams.cameras, streams.states)):
        yield fault


# --- what is likely ---------------------------------------------------------------------------------------------------


def _likely_cameras(usable: Sequence[Candidate], bags: int, reasons: dict[str, str]) -> dict[str, CameraSpec]:
    if together := _one_in_each(usable, bags):
        return {CAMERA: CameraSpec(together)}
    kept: list[Candidate] = []
    for one in sorted(usable, key=_telling):
        first = next((other for other in kept if _of_one_camera(one, other)), None)
        if first is None:
            kept.append(one)
        else:
            reasons[one.topic] = f"the camera of {first.topic}"
    names = stream_names([one.topic for one in kept], CAMERA)
    return {names[one.topic]: _camera((one.topic,), [one]) for one in sorted(kept, key=lambda one: one.topic)}


def _telling(candidate: Candidate) -> tuple[int, str]:
    last = transport_base(candidate.topic).rpartition("/")[2]
    return OF_ONE_CAMERA.index(last) if last in OF_ONE_CAMERA else len(OF_ONE_CAMERA), candidate.topic


def _of_one_camera(one: Candidate, other: Candidate) -> bool:
    (above, _, last), (above_too, _, last_too) = (transport_base(each.topic).rpartition("/") for each in (one, other))
    return above == above_too and last in OF_ONE_CAMERA and last_too in OF_ONE_CAMERA


def _likely_states(
    usable: Sequence[Candidate], bags: int, reasons: dict[str, str], taken: Sequence[str]
) -> dict[str, StateSpec]:
    joints = [one for one in usable if one.kind == JOINTS_KIND]
    if together := _one_in_each(joints, bags):
        common = _in_all([one.joints for one in joints])
        chosen = [replace(joints[0], joints=common)] if common else []
    else:
        together, chosen = (), _joints_once(joints, reasons)
    names = stream_names([one.topic for one in chosen], JOINTS, taken)
    wrenches = [one for one in usable if one.type_name == WRENCH]
    names |= stream_names([one.topic for one in wrenches], "wrench", [*taken, *names.values()])
    grippers = [one for one in usable if _of_a_gripper(one)]
    names |= stream_names([one.topic for one in grippers], "gripper", [*taken, *names.values()])
    for one in usable:
        if one.topic not in names and one.topic not in reasons:
            reasons[one.topic] = "not taken; it can be added under states: in the settings"
    if together:
        return {JOINTS: _state(together, chosen, ())} if chosen else {}
    return {names[one.topic]: _state((one.topic,), [one], ()) for one in (*chosen, *wrenches, *grippers)}


def _of_a_gripper(one: Candidate) -> bool:
    return one.kind not in (CAMERA_KIND, JOINTS_KIND) and one.type_name != WRENCH and "gripper" in one.topic.lower()


def _joints_once(joints: Sequence[Candidate], reasons: dict[str, str]) -> list[Candidate]:
    """Return the topics of joints, those with most joints first, each without the joints that came before."""
    kept: list[Candidate] = []
    for one in sorted(joints, key=lambda one: (-len(one.bags), -len(one.joints), one.topic != JOINT_TOPIC, one.topic)):
        again = {joint: other.topic for other in kept for joint in repeats(one, other)}
        own = tuple(joint for joint in one.joints if joint not in again)
        if own:
            kept.append(replace(one, joints=own))
        else:
            reasons[one.topic] = f"repeats joints of {next(iter(again.values()))}"
    return sorted(kept, key=lambda one: one.topic)


def _one_in_each(usable: Sequence[Candidate], bags: int) -> tuple[str, ...]:
    """Return the topics where each bag has one of a kind, but not all the same; else none."""
    held = [bag for one in usable for bag in one.bags]
    apart = len(usable) > 1 and len(held) == len(set(held)) == bags
    return tuple(one.topic for one in usable) if apart else ()


def _in_all(lists: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(each for each in lists[0] if all(each in others for others in lists))


def _clock(streams: Mapping[str, tuple[str, ...]], by_topic: Mapping[str, Candidate]) -> str:
    """Return the usual one if most bags have it; else the first of those in most bags that are nearly the fastest.

    `streams` are the topics of cameras or, without any, of states.
    """
    of_stream = {name: [by_topic[topic] for topic in topics if topic in by_topic] for name, topics in streams.items()}
    bags = {name: len({bag for one in found for bag in one.bags}) for name, found in of_stream.items()}
    most = [name for name, count in bags.items() if count == max(bags.values())]
    for name in most:
        if any(transport_base(one.topic) in (CAMERA_TOPIC, JOINT_TOPIC) for one in of_stream[name]):
            return name
    rates = {name: max((one.rate_hz for one in of_stream[name]), default=0.0) for name in most}
    return next((name for name in most if rates[name] >= NEARLY_AS_FAST * max(rates.values())), "")


# --- what is asked for ------------------------------------------------------------------------------------------------


def _asked_cameras(
    asked: AskedStreams, by_topic: Mapping[str, Candidate], problems: list[str]
) -> dict[str, CameraSpec]:
    carrying = {name: one for name, one in by_topic.items() if one.kind == CAMERA_KIND}
    bases = {transport_base(topic): one for topic, one in carrying.items()}
    found = {}
    for name, topics in asked.cameras.items():
        kept = [carrying.get(topic) or bases.get(transport_base(topic)) for topic in topics]
        for topic, one in zip(topics, kept, strict=True):
            if one is None:
                held = by_topic.get(topic)
                carries = f"carries {held.type_name}" if held else "is in no bag"
                usable = ", ".join(each for each, camera in carrying.items() if not camera.fault) or "none"
                problems.append(f"{name}: {topic} {carries}; expected a camera's topic, of which there are {usable}")
            elif one.fault:
                problems.append(f"{name}: {topic} carries {one.type_name}: {one.fault}; expected a colour picture")
        found[name] = _camera(topics, [one for one in kept if one is not None])
    return found


def _asked_states(asked: AskedStreams, by_topic: Mapping[str, Candidate], problems: list[str]) -> dict[str, StateSpec]:
    found = {}
    for name, state in asked.states.items():
        kept = [by_topic[topic] for topic in state.topics if topic in by_topic]
        fault = _asked_fault(state, kept, by_topic)
        if fault:
            problems.append(f"{name}: {fault}")
        else:
            found[name] = _state(state.topics, kept, state.fields)
    return found


def _asked_fault(state: AskedState, kept: Sequence[Candidate], by_topic: Mapping[str, Candidate]) -> str:
    known = ", ".join(topic for topic, one in by_topic.items() if one.kind != CAMERA_KIND) or "none"
    for topic in state.topics:
        one = by_topic.get(topic)
        if one is None and not state.fields:
            return f"{topic} is in no bag or holds no numbers; expected a state's topic, of which there are {known}"
        if one is not None and one.kind == CAMERA_KIND:
            return f"{topic} carries {one.type_name}; expected a state's topic, of which there are {known}"
        if one is not None and one.fault and not (one.kind == JOINTS_KIND and one.fields and state.fields):
            return f"{topic} carries {one.type_name}: {one.fault}; expected messages of one type, with stamps"
    if len({one.type_name for one in kept}) > 1:
        types = ", ".join(f"{one.topic} carries {one.type_name}" for one in kept)
        return f"{types}; expected one type for all topics of a state"
    return ""


# --- specs ------------------------------------------------------------------------------------------------------------


def _camera(topics: tuple[str, ...], found: Sequence[Candidate]) -> CameraSpec:
    return CameraSpec(topics, max_age_s=max((one.max_age_s for one in found), default=CameraSpec.max_age_s))


def _state(topics: tuple[str, ...], found: Sequence[Candidate], fields: tuple[str, ...]) -> StateSpec:
    """Return a state: of joints by their names, unless its fields are paths."""
    max_age_s = max((one.max_age_s for one in found), default=StateSpec.max_age_s)
    type_name = found[0].type_name if found else ""
    if type_name == JOINT_STATE and set(fields) <= set(JOINT_FIELDS):
        joints = tuple(dict.fromkeys(joint for one in found for joint in one.joints))
        filled = {each for one in found for each in one.fields}
        fields = fields or tuple(each for each in JOINT_FIELDS if each in filled)
        return StateSpec(topics, type_name, joints, fields, max_age_s)
    return StateSpec(topics, type_name, (), fields or found[0].fields, max_age_s)
