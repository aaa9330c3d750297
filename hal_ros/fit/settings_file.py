"""A YAML file of settings, read strictly: each key once, and numbers with the text that they were written as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hal_ros.core.errors import ConfigError


@dataclass(frozen=True)
class WrittenNumber:
    """A number or a date, and how it was written: the name of an action or of a split may look like one."""

    value: object
    text: str

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return repr(self.value)


class _EachKeyOnce(yaml.SafeLoader):
    """Reads YAML; of a key that comes twice it would keep the last and say nothing."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        """Return a mapping; ComposerError for a key that it has twice."""
        node = super().compose_mapping_node(anchor)
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for place, key in enumerate(keys):
            if any(key.value == other.value for other in keys[:place]):
                raise yaml.composer.ComposerError(None, None, f"key {key.value!r} comes twice", key.start_mark)
        return node


def _with_text(construct: Callable[[Any, Any], object]) -> Callable[[Any, Any], WrittenNumber]:
    return lambda loader, node: WrittenNumber(construct(loader, node), node.value)


for _kind in ("int", "float", "timestamp"):
    _made = _with_text(getattr(_EachKeyOnce, f"construct_yaml_{_kind}"))
    _EachKeyOnce.add_constructor(f"tag:yaml.org,2002:{_kind}", _made)


def read_settings(path: Path) -> Any:
    """Return what a file says, {} if nothing; numbers and dates are `WrittenNumber`. Raises ConfigError."""
    try:
        return yaml.load(path.read_text(), _EachKeyOnce) or {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"config {path}: {' '.join(str(error).split())}; expected a readable YAML file") from error
