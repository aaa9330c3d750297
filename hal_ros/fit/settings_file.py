"""A YAML file of settings, read strictly: each key once, and numbers with the text that they were written as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hal_ros.core.errors import ConfigError
from hal_ros.outside.reading import Expected, read_text, reading
from hal_ros.outside.yaml_text import SETTINGS_BYTES, EachKeyOnce, check_size

SETTINGS = Expected(ConfigError, "a YAML file of settings", SETTINGS_BYTES)


@dataclass(frozen=True)
class WrittenNumber:
    """A number or a date, and how it was written: the name of an action or of a split may look like one."""

    value: object
    text: str

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return repr(self.value)


class _Settings(EachKeyOnce):
    """Reads what people write; numbers and dates keep their text."""


def _with_text(construct: Callable[[Any, Any], object]) -> Callable[[Any, Any], WrittenNumber]:
    return lambda loader, node: WrittenNumber(construct(loader, node), node.value)


for _kind in ("int", "float", "timestamp"):
    _made = _with_text(getattr(_Settings, f"construct_yaml_{_kind}"))
    _Settings.add_constructor(f"tag:yaml.org,2002:{_kind}", _made)


def read_settings(path: Path) -> Any:
    """Return what a file says, {} if nothing; numbers and dates are `WrittenNumber`. Raises ConfigError."""
    text = read_text(path, SETTINGS)
    with reading(path, SETTINGS):
        check_size(text)
        return yaml.load(text, _Settings) or {}
