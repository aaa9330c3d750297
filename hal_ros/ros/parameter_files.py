"""Which parameters a file gives to all nodes alike: what such a file holds for others is no reason to refuse."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from hal_ros.core.errors import ConfigError
from hal_ros.outside.reading import Expected
from hal_ros.outside.yaml_text import SETTINGS_BYTES, read_yaml

PARAMETER_FILE = Expected(ConfigError, "a file of parameters", SETTINGS_BYTES)
PARAMETERS = "ros__parameters"
FILE_FLAGS, VALUE_FLAGS = ("--params-file",), ("-p", "--param")
WILD = ("*", "**")
"""Last parts of a node's name in a file that are no node's own."""


def for_all_nodes(arguments: Sequence[str]) -> set[str]:
    """Return the names that files of parameters give under `/**` or the like, and nothing gives to a node by name.

    `arguments` are those of the process, as ROS takes them. A file that can't be read says nothing: rcl refuses it.
    """
    shared, own = set[str](), set[str]()
    for flag, value in pairwise(arguments):
        if flag in FILE_FLAGS:
            for node, name, _ in _entries(Path(value)):
                (shared if node.rpartition("/")[2] in WILD else own).add(name)
        elif flag in VALUE_FLAGS:
            own.add(value.partition(":=")[0].rpartition(":")[2])
    return shared - own


def given_to(node: str, namespace: str, path: Path) -> dict[str, Any]:
    """Return the values by name that a file gives to a node, in the order in which later ones win."""
    full = f"{namespace.strip('/')}/{node}".strip("/")
    return {name: value for pattern, name, value in _entries(path) if _is_meant(full, pattern.strip("/"))}


def _is_meant(full: str, pattern: str) -> bool:
    """Whether a pattern with * for one part of a name, and ** for any number, stands for a node."""
    parts = (".*" if part == "**" else "[^/]*" if part == "*" else re.escape(part) for part in pattern.split("/"))
    return re.fullmatch("/".join(parts).replace(".*/", "(.*/)?"), full) is not None


def _entries(path: Path) -> Iterator[tuple[str, str, Any]]:
    """Yield node, parameter and value of all that a file gives."""
    content: Any = None
    with contextlib.suppress(ConfigError, RuntimeError):  # the latter where there is no such user's home
        content = read_yaml(path.expanduser(), PARAMETER_FILE, by_people=False)
    yield from _nodes("", content)


def _nodes(node: str, content: Any) -> Iterator[tuple[str, str, Any]]:
    if not isinstance(content, Mapping):
        return
    for key, value in content.items():
        if key == PARAMETERS:
            yield from ((node, *entry) for entry in _flat("", value))
        else:
            yield from _nodes(f"{node}/{key}".replace("//", "/"), value)


def _flat(prefix: str, values: Any) -> Iterator[tuple[str, Any]]:
    for key, value in values.items() if isinstance(values, Mapping) else ():
        name = f"{prefix}{key}"
        yield from _flat(f"{name}.", value) if isinstance(value, Mapping) else ((name, value),)
