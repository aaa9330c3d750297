"""YAML of others: as deep and as large as settings are, each key once, and no aliases that multiply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hal_ros.outside.reading import Expected, read_text, reading

MOST_DEPTH = 50
MOST_NODES = 200_000
"""Aliases counted as often as they are used: a few lines of them can stand for more than fits into memory."""
LONGEST_NUMBER = 400
SETTINGS_BYTES = 256 * 1024
"""What a file of settings may have: PyYAML takes seconds for a megabyte."""
_Events: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Numbers:
    """Keeps numbers short, for a loader that stands behind it."""

    def construct_scalar(self, node: Any) -> Any:
        """Return a scalar; ConstructorError for a number of absurd length, which would take hours to compute."""
        number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        if number and len(node.value) > LONGEST_NUMBER:
            raise yaml.constructor.ConstructorError(None, None, "a number of too many digits", node.start_mark)
        return super().construct_scalar(node)  # type: ignore[misc]


class _FastLoader(_Numbers, _Events):  # type: ignore[misc]
    """Reads what programs write."""


class EachKeyOnce(_Numbers, yaml.SafeLoader):
    """Reads what people write; of a key that comes twice PyYAML would keep the last and say nothing."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Return a mapping; ComposerError for a key that it has twice."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.composer.ComposerError(None, None, f"key {key.value!r} comes twice", key.start_mark)
            seen |= {key.value} if isinstance(key, yaml.ScalarNode) else set()
        return node


def read_yaml(path: Path, expected: Expected, by_people: bool = True) -> Any:
    """Return the value in a YAML file; raises what `expected` says. What a program wrote is read ten times faster."""
    text = read_text(path, expected)
    with reading(path, expected):
        return parse_yaml(text, by_people)


def parse_yaml(text: str, by_people: bool = True) -> Any:
    """Return a YAML text's value, of plain types alone; ValueError or YAMLError for one that is none or too large."""
    check_size(text)
    return yaml.load(text, EachKeyOnce if by_people else _FastLoader)


def check_size(text: str) -> None:
    """Refuse what nests too deep or stands for too much, before anything is built of it; ValueError or YAMLError."""
    open_nodes: list[list[Any]] = []  # [anchor, nodes] of each list and mapping that is not closed yet
    sizes: dict[str, int] = {}
    total = 0
    for event in yaml.parse(text, _Events):
        size = 0
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"alias {event.anchor!r} stands for itself or for nothing")
            size = sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            size = 1
            if event.anchor:
                sizes[event.anchor] = size
        elif isinstance(event, yaml.CollectionStartEvent):
            sizes.pop(event.anchor or "", None)  # until it is closed, it may not be meant inside itself
            open_nodes.append([event.anchor, 1])
            if len(open_nodes) > MOST_DEPTH:
                raise ValueError(f"nested deeper than {MOST_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_nodes.pop()
            if anchor:
                sizes[anchor] = size
        if open_nodes:
            open_nodes[-1][1] += size
            total = max(total, open_nodes[-1][1])
        if total > MOST_NODES:
            raise ValueError(f"stands for more than {MOST_NODES} values")
