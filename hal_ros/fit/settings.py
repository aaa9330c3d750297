"""Settings: what a file says, read into frozen dataclasses; an unknown or mistyped key is an error with a hint."""

from __future__ import annotations

import dataclasses
import difflib
import re
import sys
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from hal_ros.core.errors import ConfigError
from hal_ros.fit.settings_file import WrittenNumber

NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""What no file's name and no message may hold: NUL, and halves of characters."""


class Names(NamedTuple):
    """What settings were called before, and those that there are no longer."""

    renamed: Mapping[str, str]  # <section>.<old> to the new name
    retired: Collection[str]


def merged(base: Any, own: Any) -> Any:
    """Return `own`, completed by `base` wherever both are mappings."""
    if not (isinstance(base, dict) and isinstance(own, dict)):
        return own
    return {**base, **{key: merged(base.get(key), value) for key, value in own.items()}}


# --- dataclasses ------------------------------------------------------------------------------------------------------


def build(kind: type, mapping: Any, names: Names, prefix: str = "") -> Any:
    """Return a dataclass of nested mappings. Raises ConfigError naming the key, and the nearest valid one."""
    if not isinstance(mapping, dict):
        raise ConfigError(f"{prefix.rstrip('.') or 'config'} is {mapping!r}; expected a mapping of settings")
    hints = typing.get_type_hints(kind)
    values = {}
    for given, value in mapping.items():
        key = names.renamed.get(f"{prefix}{given}", given)
        if key in values:
            old = next(name for name, new in names.renamed.items() if name.startswith(prefix) and new == key)
            raise ConfigError(f"{old} and {prefix}{key} are one setting; expected one of them")
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"expected one of {', '.join(hints)}"
            hint = "it is there no longer" if key in names.retired else hint
            raise ConfigError(f"{prefix}{key} is not a setting; {hint}")
        values[key] = _read_as(hints[key], value, names, f"{prefix}{key}")
    return kind(**values)


def _read_as(wanted: Any, value: Any, names: Names, key: str) -> Any:
    """Read a section, named sections of one kind, or a single value."""
    if dataclasses.is_dataclass(wanted):
        return build(typing.cast("type", wanted), value, names, f"{key}.")
    if typing.get_origin(wanted) is not Mapping:
        return _typed(value, wanted, key)
    _, item = typing.get_args(wanted)
    value = {} if value is None else value  # as it is left when the last of them is deleted
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ConfigError(f"{key} is {value!r}; expected names, each with settings")
    return {name: _read_as(item, each, names, f"{key}.{name}") for name, each in value.items()}


def _typed(value: Any, wanted: Any, key: str) -> Any:
    """Check one value's type; whole numbers pass as float, lists as tuple, a single topic as a list of one.

    A number of a file passes as the text that it was written as.
    """
    if isinstance(value, WrittenNumber):
        value = value.text if wanted is str or isinstance(wanted, types.UnionType) else value.value
    if isinstance(wanted, types.UnionType):
        text, several = typing.get_args(wanted)
        if not isinstance(value, str | list | tuple):
            raise ConfigError(f"{key} is {value!r}; expected a word or a list")
        return _typed(value, text if isinstance(value, str) else several, key)
    if isinstance(wanted, types.GenericAlias):
        value = [value] if isinstance(value, str) and key.endswith(".topic") else value
        (item, _) = typing.get_args(wanted)
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{key} is {value!r}; expected a list of {item.__name__}")
        return tuple(_typed(entry, item, f"{key}[{index}]") for index, entry in enumerate(value))
    if wanted is float and type(value) in (int, float):
        if not -sys.float_info.max <= value <= sys.float_info.max:  # YAML knows .nan, and whole numbers of any size
            raise ConfigError(f"{key} is {_shortly(value)}; expected a finite number")
        return float(value)
    if type(value) is not wanted:
        quotes = "; on, off, yes and no are words only in quotes" if wanted is str and type(value) is bool else ""
        raise ConfigError(f"{key} is {_shortly(value)}; expected {wanted.__name__}{quotes}")
    if isinstance(value, str) and NO_TEXT.search(value):
        raise ConfigError(f"{key} is {_shortly(value)}; expected whole characters, none of them NUL")
    return value


def _shortly(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
