"""What a model takes: cameras and states by name, the clock among them, and the rhythm of its ticks.

Dims: C cameras, V values of all states at one tick, S image side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

JOINT_STATE = "sensor_msgs/msg/JointState"
JOINT_FIELDS = ("position", "velocity", "effort")
"""What is known of a joint, in the order in which the step graph takes it: first all positions, and so on."""
CROPS = ("centre", "full")
CAMERA, JOINTS = "camera", "joints"
"""The streams of a robot that has one camera and one topic of joints."""


@dataclass(frozen=True)
class CameraSpec:
    """One camera: the part of its picture that the encoder gets, resized to (S, S, 3) uint8 RGB.

    `crop` is "centre" (the largest centred square), "full" (all of it, with black bars) or x, y, width and height in
    pixels of the camera. Without a topic the usual one is taken, or else the only one that carries images. A picture
    older than `max_age_s` is not used; that of the clock is new by definition.
    """

    topic: tuple[str, ...] = ()
    size_px: int = 128
    crop: str | tuple[int, ...] = "centre"
    max_age_s: float = 0.2


@dataclass(frozen=True)
class StateSpec:
    """Numbers of the robot's state, from all messages on all topics of the stream.

    With `names` they are of sensor_msgs/JointState: each field of each name. Otherwise `fields` are paths into messages
    of `type`, such as wrench.force.x or data[3]; an empty type is whatever the topic carries. A value older than
    `max_age_s` is not used.
    """

    topic: tuple[str, ...] = ()
    type: str = ""
    names: tuple[str, ...] = ()
    fields: tuple[str, ...] = JOINT_FIELDS
    max_age_s: float = 0.1

    @property
    def value_count(self) -> int:
        """How many values one tick has of this state: fields by fields, each with all names."""
        return len(self.fields) * max(1, len(self.names))


class ValueName(NamedTuple):
    """Which number of the robot one column of the step graph's state values is."""

    state: str
    name: str  # of the joint; '' where the state has no names
    field: str


@dataclass(frozen=True)
class StreamSpec:
    """All that a model takes. The clock, a camera or a state, drives the ticks: each of its stamps may be one.

    Cameras and states keep their order: that of the step graph's inputs.
    """

    clock: str
    cameras: Mapping[str, CameraSpec] = field(default_factory=dict)
    states: Mapping[str, StateSpec] = field(default_factory=dict)
    rate_hz: float = 10.0  # ticks per second of the model's time grid
    max_held_ticks: int = 5  # missing ticks that are bridged by holding the last input; a larger gap starts afresh

    @property
    def period_ns(self) -> int:
        """Nanoseconds between two ticks."""
        return round(1e9 / self.rate_hz)

    @property
    def size_px(self) -> int:
        """S, one for all cameras, which share the encoder; 0 without camera."""
        return next((camera.size_px for camera in self.cameras.values()), 0)

    @property
    def names(self) -> tuple[str, ...]:
        """All streams: cameras, then states."""
        return (*self.cameras, *self.states)

    @property
    def streams(self) -> dict[str, CameraSpec | StateSpec]:
        """Cameras and states by name."""
        return {**self.cameras, **self.states}

    @cached_property
    def values(self) -> tuple[ValueName, ...]:
        """The V columns of the step graph's state values: state by state, in each field by field, name by name."""
        return tuple(
            ValueName(state, name, each)
            for state, spec in self.states.items()
            for each in spec.fields
            for name in (spec.names or ("",))
        )

    @property
    def value_count(self) -> int:
        """V."""
        return sum(state.value_count for state in self.states.values())

    def columns(self, state: str) -> slice:
        """Return where a state's values lie among the V."""
        start = 0
        for name, spec in self.states.items():
            if name == state:
                return slice(start, start + spec.value_count)
            start += spec.value_count
        raise KeyError(state)


def single(
    camera: CameraSpec | None, joints: StateSpec | None, rate_hz: float = 10.0, max_held_ticks: int = 5
) -> StreamSpec:
    """Return the streams of a robot with one camera, one topic of joints, or both; the camera is the clock if any."""
    return StreamSpec(
        CAMERA if camera is not None else JOINTS,
        {} if camera is None else {CAMERA: camera},
        {} if joints is None else {JOINTS: joints},
        rate_hz,
        max_held_ticks,
    )
