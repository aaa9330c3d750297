"""From one message to the numbers of a state, whichever library read the message.

A reader is made once for each topic, from the state's description and the type that the topic carries. Messages need
fields as attributes and arrays that numpy takes; ROS's own classes and those of bag readers both have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.arrays import FloatArray
from hal_ros.core.errors import ConfigError
from hal_ros.core.streams import counts
from hal_ros.core.streams.paths import NUMBERS, Describe, compile_path, read_all
from hal_ros.core.streams.spec import JOINT_STATE, StateSpec

MOST_LAYOUTS = 64
"""Orders of names that are remembered for one topic; drivers have one each."""
MOST_NAMES = 1024
"""Names of an order that is remembered: of longer ones 64 would fill the memory."""


@dataclass(frozen=True)
class Reading:
    """What one message says of a state of N values."""

    values: FloatArray  # (N,) NaN where the message says that a value is not known
    present: NDArray[np.bool_] | None = None  # (N,) which values it speaks of; None: all


class StateReader(Protocol):
    """Reads the messages of one topic."""

    def read(self, message: Any) -> Reading | str:
        """Return what a message says, or the cause of `counts` for which it is refused."""
        ...


def make_reader(spec: StateSpec, type_name: str, describe: Describe) -> StateReader:
    """Return the reader of a state for messages of a type.

    Raises ConfigError where the type is not the state's, or a field path does not lead to a number in it.
    """
    expected = JOINT_STATE if spec.names else spec.type
    if expected and type_name != expected:
        raise ConfigError(f"carries {type_name}; expected {expected}")
    if not spec.names:
        return PathReader(spec, type_name, describe)
    if fault := joints_fault(type_name, spec.fields, describe):
        raise ConfigError(fault)
    return JointReader(spec)


def joints_fault(type_name: str, fields: Sequence[str], describe: Describe) -> str:
    """Say why joints can't be read off messages of a type, which a bag may define in its own way; "" where they can.

    Raises what `describe` raises.
    """
    held = describe(type_name)
    for field in ("name", *fields):
        kind = held.get(field)
        words = ("string",) if field == "name" else NUMBERS
        if kind is None or kind.length is None or kind.base not in words:
            wanted = f"a list of {'names' if field == 'name' else 'numbers'}"
            return f"{field} is {'of another kind' if kind else 'not there'}; expected {wanted}"
    return ""


class PathReader:
    """Numbers at field paths: each message has all of them, but where an array is too short."""

    def __init__(self, spec: StateSpec, type_name: str, describe: Describe) -> None:
        """Resolve all paths; raises ConfigError for one that leads to no number."""
        self._readers = [compile_path(path, type_name, describe) for path in spec.fields]

    def read(self, message: Any) -> Reading | str:
        """Return all numbers; every path is of the type, so that no message is refused."""
        return Reading(read_all(self._readers, message))


class _JointLayout:
    """Where messages with certain names have a state's joints: place `to` of the state is entry `of` of the message."""

    def __init__(self, to: list[int], of: list[int], joints: int) -> None:
        self.to, self.of = np.array(to, np.intp), np.array(of, np.intp)
        self.entries = max(of) + 1  # how long a field must be to hold all of them
        self.as_they_are = to == of == list(range(joints))
        self._joints = joints
        self._present: dict[tuple[int, ...], NDArray[np.bool_] | None] = {}

    def present(self, lengths: tuple[int, ...]) -> NDArray[np.bool_] | None:
        """Return which values a message speaks of whose fields are so long, at most `entries`; None: all."""
        if lengths not in self._present:
            if len(self._present) >= MOST_LAYOUTS:
                self._present.clear()
            found = np.zeros((len(lengths), self._joints), bool)
            for row, length in enumerate(lengths):
                found[row, self.to[self.of < length]] = True  # beyond a short field's end it says nothing
            self._present[lengths] = None if found.all() else found.reshape(-1)
        return self._present[lengths]


class JointReader:
    """Joints by name from sensor_msgs/JointState, in any order and among others.

    A message speaks of the joints that it names, and of those fields that it fills: a driver that leaves efforts empty
    says nothing of them. A message that names a joint twice contradicts itself and is refused.
    """

    def __init__(self, spec: StateSpec) -> None:
        self._names, self._fields = spec.names, spec.fields
        self._layouts: dict[tuple[str, ...], _JointLayout | str] = {}

    def read(self, message: Any) -> Reading | str:
        """Return the values of the joints that a message names, or why it is refused."""
        layout = self._layout(message.name)
        if isinstance(layout, str):
            return layout
        values = np.full((len(self._fields), len(self._names)), np.nan, np.float32)
        lengths = []
        with np.errstate(over="ignore"):  # a number that is too large becomes infinite, and so is not valid
            for row, field in zip(values, self._fields, strict=True):
                given = np.asarray(getattr(message, field))
                lengths.append(min(len(given), layout.entries))
                if len(given) < layout.entries:
                    there = layout.of < len(given)
                    row[layout.to[there]] = given[layout.of[there]]
                elif layout.as_they_are:
                    row[:] = given[: len(row)]
                else:
                    row[layout.to] = given.take(layout.of)
        return Reading(values.reshape(-1), layout.present(tuple(lengths)))

    def _layout(self, names: Sequence[str]) -> _JointLayout | str:
        key = tuple(names)
        found = self._layouts.get(key)
        if found is None:
            if len(self._layouts) >= MOST_LAYOUTS:
                self._layouts.clear()
            found = self._lay_out(key)
            if len(key) <= MOST_NAMES:
                self._layouts[key] = found
        return found

    def _lay_out(self, names: tuple[str, ...]) -> _JointLayout | str:
        known = [name for name in names if name in self._names]
        if not known:
            return counts.UNNAMED
        if len(set(known)) < len(known):
            return counts.REFUSED
        of = [names.index(name) for name in known]
        return _JointLayout([self._names.index(name) for name in known], of, len(self._names))
