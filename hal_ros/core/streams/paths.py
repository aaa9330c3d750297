"""Field paths: which number of a message is meant, as in wrench.force.x or data[3], and how it is read.

A path is resolved once against a description of the message's type, whoever gives it (a bag's own definitions, or the
installed class), and then reads messages of any library that has fields as attributes. So node and ingest read alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from operator import attrgetter
from typing import Any

import numpy as np

from hal_ros.core.errors import ConfigError, HalError

PART = re.compile(r"([A-Za-z]\w*)(?:\[(\d{1,9})\])?")
QUATERNION = "geometry_msgs/msg/Quaternion"
BYTES = ("byte", "octet")
"""One type: rclpy gives bytes of length one, readers of bags a number with a sign."""
_NUMBERS = """
bool boolean byte char octet uint8 int8 uint16 int16 uint32 int32 uint64 int64 float32 float64 float double
"""
NUMBERS = frozenset(_NUMBERS.split())
"""What the types of numbers are called, in .msg files and in generated classes."""


@dataclass(frozen=True)
class FieldType:
    """What a field of a message holds: `base` is a number's type or a message's; arrays have a length.

    `length` is None for a single value, -1 for a sequence of any length, else the fixed number of entries.
    """

    base: str
    length: int | None = None


Describe = Callable[[str], Mapping[str, FieldType]]
"""Returns the fields of a message type by name; raises HalError where the type is unknown."""

Read = Callable[[Any], float]
"""Reads one number off a message; NaN where the message's array is too short."""


def path_fault(path: str) -> str:
    """Say what is wrong with the way a path is written; "" where nothing is."""
    if all(PART.fullmatch(part) for part in path.split(".")):
        return ""
    return f"{path!r} is no path to a number; expected one as wrench.force.x, data[3] or position[2]"


def compile_path(path: str, type_name: str, describe: Describe) -> Read:
    """Return the reader of one number; raises ConfigError for a path that does not lead to one in messages of the type.

    Components of a quaternion are given for its representation with w >= 0, so that q and -q, which are one rotation,
    are one reading.
    """
    if fault := path_fault(path):
        raise ConfigError(fault)
    current, owner = type_name, type_name
    steps: list[tuple[str, int | None]] = []
    for part in path.split("."):
        found = PART.fullmatch(part)
        assert found is not None  # path_fault looked at it
        name, index = found[1], None if found[2] is None else int(found[2])
        owner = current
        current = _follow(path, name, index, current, describe)
        steps.append((attribute(name), index))
    if current not in NUMBERS:
        raise ConfigError(f"{path} of {type_name} is a {current}; expected a number or a boolean")
    if owner == QUATERNION:
        return _of_quaternion(steps)
    number = _byte if current in BYTES else _number
    if any(index is not None for _, index in steps):
        return lambda message: number(_walk(message, steps))
    get = attrgetter(".".join(name for name, _ in steps))
    return lambda message: number(get(message))


def attribute(field: str) -> str:
    """Return how messages hold a field: words of Python, as `class` and `from`, have an underscore behind."""
    return f"{field}_" if iskeyword(field) else field


def _follow(path: str, name: str, index: int | None, type_name: str, describe: Describe) -> str:
    """Return the type that one part of a path leads to."""
    if type_name in NUMBERS or type_name in ("string", "wstring"):
        raise ConfigError(f"{path}: {name} is asked of a {type_name}; expected a path that ends there")
    try:
        fields = describe(type_name)
    except HalError as error:
        raise ConfigError(f"{path}: {error}") from error
    if name not in fields:
        raise ConfigError(f"{path}: {type_name} has no field {name!r}; expected one of {', '.join(fields) or 'none'}")
    kind = fields[name]
    if index is None and kind.length is not None:
        raise ConfigError(f"{path}: {name} of {type_name} is an array; expected an index, as {name}[0]")
    if index is not None and kind.length is None:
        raise ConfigError(f"{path}: {name} of {type_name} is a single value; expected no index")
    if index is not None and kind.length is not None and kind.length >= 0 and index >= kind.length:
        raise ConfigError(f"{path}: {name} of {type_name} has {kind.length} entries; expected an index below that")
    return kind.base


def _walk(message: Any, steps: Sequence[tuple[str, int | None]]) -> Any:
    value = message
    for name, index in steps:
        value = getattr(value, name)
        if index is not None:
            if index >= len(value):
                return None
            value = value[index]
    return value


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _byte(value: Any) -> float:
    if value is None:
        return float("nan")
    return float(value[0] if isinstance(value, bytes) else int(value) & 0xFF)


def _of_quaternion(steps: Sequence[tuple[str, int | None]]) -> Read:
    above, component = steps[:-1], attrgetter(steps[-1][0])

    def read(message: Any) -> float:
        quaternion = _walk(message, above)
        if quaternion is None:
            return float("nan")
        value = float(component(quaternion))
        return -value if quaternion.w < 0 else value

    return read


def read_all(readers: Sequence[Read], message: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the numbers (N,) float32 that the readers read off a message; infinite where one is too large for that."""
    with np.errstate(over="ignore"):
        return np.array([read(message) for read in readers], np.float32)
