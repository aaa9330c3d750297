"""Jobs for pools of processes: a child imports them from here, where it can't import a test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from hal_ros.core.errors import DatasetError


def square(item: int) -> tuple[int, int]:
    """Return the square, and who worked on it."""
    return item * item, os.getpid()


def refuse_three(item: int, folder: Path) -> int:
    """Note in a folder what was worked on."""
    if item == 3:
        raise DatasetError("three; expected less")
    (folder / str(item)).touch()
    return item


def die(_: object) -> NoReturn:
    """End this process at once."""
    os._exit(1)
