"""Message types by name, as they are installed: their classes, and their fields for field paths."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any

from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.paths import FieldType

TYPE = re.compile(r"([A-Za-z]\w*)/msg/([A-Za-z]\w*)")
ARRAY = re.compile(r"(.+)\[(\d+)\]")
SEQUENCE = re.compile(r"sequence<(.+?)(?:, *\d+)?>")
HEADER = FieldType("std_msgs/msg/Header")


def message_class(type_name: str) -> Any:
    """Return the class of a type as sensor_msgs/msg/JointState; ConfigError where its package is not installed."""
    found = TYPE.fullmatch(type_name)
    if found is None:
        raise ConfigError(f"message type is {type_name!r}; expected one as sensor_msgs/msg/JointState")
    try:
        return getattr(importlib.import_module(f"{found[1]}.msg"), found[2])
    except (ImportError, AttributeError, SyntaxError) as error:  # generated code may have words of Python as names
        raise ConfigError(
            f"message type {type_name} can't be imported ({error}); expected its package to be installed here"
        ) from error


def describe(type_name: str) -> Mapping[str, FieldType]:
    """Return the fields of an installed type; raises ConfigError as message_class does."""
    fields = message_class(type_name).get_fields_and_field_types()
    return {name: _field_type(text) for name, text in fields.items()}


def has_header(type_name: str) -> bool:
    """Whether messages of an installed type are stamped by whoever sent them: they begin with a header, as in bags."""
    return next(iter(describe(type_name).items()), None) == ("header", HEADER)


def _field_type(text: str) -> FieldType:
    if found := ARRAY.fullmatch(text):
        return FieldType(_base(found[1]), int(found[2]))
    if found := SEQUENCE.fullmatch(text):
        return FieldType(_base(found[1]), -1)
    return FieldType(_base(text))


def _base(text: str) -> str:
    """Generated classes write geometry_msgs/Point where definitions say geometry_msgs/msg/Point."""
    package, slash, name = text.partition("/")
    return f"{package}/msg/{name}" if slash and not name.startswith("msg/") else text
