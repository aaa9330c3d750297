"""What may be wrong with the streams that a person wrote down, in a card or in settings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from hal_ros.core.streams.paths import path_fault
from hal_ros.core.streams.spec import CROPS, JOINT_FIELDS, JOINT_STATE, CameraSpec, StateSpec, StreamSpec

LIMITS: dict[str, tuple[float, float]] = {
    "rate_hz": (0.01, 1000.0),
    "max_held_ticks": (0, 10_000),
    "size_px": (1, 4096),
    "max_age_s": (0.0, 3600.0),
}
"""Closed ranges of values, wide enough for any robot; what lies outside is a slip of the pen."""
STREAM_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
"""Files are named after streams, so that they have an end."""
MESSAGE_TYPE = re.compile(r"[A-Za-z]\w*/msg/[A-Za-z]\w*")


def streams_fault(spec: StreamSpec) -> str:
    """Say in words what is wrong: the key, its value and what was expected; "" where nothing is."""
    return next(_faults(spec), "")


def _faults(spec: StreamSpec) -> Iterator[str]:
    if not spec.names:
        yield "names neither cameras nor states; expected at least one stream"
    yield from _outside("", spec, ("rate_hz", "max_held_ticks"))
    for name in spec.names:
        if not STREAM_NAME.fullmatch(name):
            yield f"stream {name!r} is no name; expected a letter, then letters, digits and '_', 128 in all at most"
    if both := set(spec.cameras) & set(spec.states):
        yield f"stream {min(both)!r} is both a camera and a state; expected names that are all different"
    if spec.clock not in spec.names:
        yield f"clock is {spec.clock!r}; expected one of {', '.join(spec.names)}"
    for name, camera in spec.cameras.items():
        yield from _camera_faults(f"cameras {name} ", camera)
    sizes = {camera.size_px for camera in spec.cameras.values()}
    if len(sizes) > 1:
        yield f"cameras have size_px {sorted(sizes)}; expected one size, as they share the encoder"
    for name, state in spec.states.items():
        yield from _state_faults(f"states {name} ", state)


def _camera_faults(where: str, camera: CameraSpec) -> Iterator[str]:
    yield from _topic_faults(where, camera.topic)
    yield from _outside(where, camera, ("size_px", "max_age_s"))
    crop = camera.crop
    if isinstance(crop, str):
        if crop not in CROPS:
            yield f"{where}crop is {crop!r}; expected {', '.join(CROPS)} or x, y, width and height in pixels"
    elif len(crop) != 4 or min(crop) < 0 or min(crop[2:]) < 1:
        yield f"{where}crop is {list(crop)}; expected x, y >= 0, width and height >= 1, in pixels of the camera"


def _state_faults(where: str, state: StateSpec) -> Iterator[str]:
    yield from _topic_faults(where, state.topic)
    yield from _outside(where, state, ("max_age_s",))
    if state.type and not MESSAGE_TYPE.fullmatch(state.type):
        yield f"{where}type is {state.type!r}; expected one as {JOINT_STATE}"
    if not state.fields:
        yield f"{where}fields is empty; expected at least one"
    yield from _repeated(f"{where}fields", state.fields)
    yield from _repeated(f"{where}names", state.names)
    if state.names and state.type not in ("", JOINT_STATE):
        yield f"{where}type is {state.type} beside names; expected {JOINT_STATE}, whose values have names"
    for field in state.fields:
        if state.names and field not in JOINT_FIELDS:
            yield f"{where}fields has {field!r}; expected some of {', '.join(JOINT_FIELDS)}, as it has names"
        elif fault := "" if state.names else path_fault(field):
            yield f"{where}fields: {fault}"
    if not state.names and state.type in ("", JOINT_STATE) and set(state.fields) <= set(JOINT_FIELDS):
        yield f"{where}names is empty; expected the joints' names, fields as position[2], or the type of the messages"


def _topic_faults(where: str, topics: tuple[str, ...]) -> Iterator[str]:
    for topic in topics:
        if not topic.strip():
            yield f"{where}topic is {topic!r}; expected a topic's name"
    yield from _repeated(f"{where}topic", topics)


def _repeated(what: str, values: Iterable[str]) -> Iterator[str]:
    counts = Counter(values)
    if any(not value.strip() for value in counts):
        yield f"{what} has an empty entry; expected names"
    if twice := [value for value, count in counts.items() if count > 1]:
        yield f"{what} has {twice[0]!r} {counts[twice[0]]} times; expected each once"


def _outside(where: str, part: object, keys: Iterable[str]) -> Iterator[str]:
    for key in keys:
        least, most = LIMITS[key]
        value = getattr(part, key)
        if not least <= value <= most:
            yield f"{where}{key} is {value!r}; expected {least:g} to {most:g}"
