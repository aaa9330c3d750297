"""Who is seen in which clip: a file that gives each clip or episode its group, as a user, a session or a recipe.

Two forms. With a head: a CSV file, `clip,user,recipe` and a line for each clip; a column is chosen by its name.
Without: a name and its group a line, by a blank or a comma, where the group is the last word.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from hal_ros.core.errors import DatasetError
from hal_ros.datasets.formats.layout_files import read_lines, shown
from hal_ros.outside.reading import Expected, reading

TABLE = Expected(DatasetError, "a table of names and groups")
HEADS = ("clip", "episode", "bag", "video", "name")
"""What stands first in a head."""


def read_groups(path: Path, column: str = "") -> dict[str, str]:
    """Return the group of each name; `column`: which one, "" for the first one.

    Raises DatasetError naming file and line: a name without a group, or with two different ones, a column that there is
    not.
    """
    lines = read_lines(path)
    if not lines:
        raise DatasetError(f"{path}: is empty; expected a name and its group a line")
    head = [cell.strip() for cell in lines[0].split(",")]
    if head[0].casefold() in HEADS and len(head) > 1:
        return _gathered(path, _of_table(path, head, lines[1:], column))
    if column:
        raise DatasetError(f"{path}: has no column {column!r} (no head {HEADS[0]},…); expected one in its first line")
    return _gathered(path, _of_pairs(lines))


def check_groups_of(names: Iterable[str], groups: Mapping[str, str], path: Path) -> None:
    """Raise DatasetError where a name has no group."""
    wanted = list(names)
    if lacking := [name for name in wanted if name not in groups]:
        raise DatasetError(f"{path}: {len(lacking)} of {len(wanted)} have no group: {shown(lacking)}")


def _of_table(path: Path, head: list[str], lines: list[str], column: str) -> Iterable[tuple[int, str, str]]:
    if column and column not in head[1:]:
        raise DatasetError(f"{path}: has no column {column!r}; expected one of {', '.join(head[1:])}")
    place = head.index(column) if column else 1
    with reading(path, TABLE):
        rows = list(csv.reader(lines))
    for number, cells in enumerate(rows, 2):
        if len(cells) != len(head):
            raise DatasetError(f"{path}:{number}: {len(cells)} cells; expected {len(head)}, as in the head")
        yield number, cells[0].strip(), cells[place].strip()


def _of_pairs(lines: list[str]) -> Iterable[tuple[int, str, str]]:
    for number, line in enumerate(lines, 1):
        words = line.rsplit("," if "," in line else None, 1)
        yield number, words[0].strip(), words[1].strip() if len(words) > 1 else ""


def _gathered(path: Path, rows: Iterable[tuple[int, str, str]]) -> dict[str, str]:
    groups: dict[str, str] = {}
    for number, written, group in rows:
        name = written.removesuffix(".txt").removesuffix(".npy")
        if not (name and group):
            raise DatasetError(f"{path}:{number}: '{written or group}' alone; expected a name and its group")
        if groups.setdefault(name, group) != group:
            raise DatasetError(f"{path}:{number}: {name} is of {group} and of {groups[name]}; expected one group")
    return groups
