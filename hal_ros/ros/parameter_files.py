"""Which parameters a file gives to all nodes alike: what such a file holds for others is no reason to refuse."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

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
            for node, name in _names(Path(value)):
                (shared if node.rpartition("/")[2] in WILD else own).add(name)
        elif flag in VALUE_FLAGS:
            own.add(value.partition(":=")[0].rpartition(":")[2])
    return shared - own


def _names(path: Path) -> Iterator[tuple[str, str]]:
    """Yield node and parameter of all that a file gives."""
    content: Any = None
    with contextlib.suppress(OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    yield from _nodes("", content)


def _nodes(node: str, content: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(content, Mapping):
        return
    for key, value in content.items():
        if key == PARAMETERS:
            yield from ((node, name) for name in _flat("", value))
        else:
            yield from _nodes(f"{node}/{key}".replace("//", "/"), value)


def _flat(prefix: str, values: Any) -> Iterator[str]:
    for key, value in values.items() if isinstance(values, Mapping) else ():
        name = f"{prefix}{key}"
        yield from _flat(f"{name}.", value) if isinstance(value, Mapping) else (name,)
