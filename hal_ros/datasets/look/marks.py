"""Marks: what a person, or a tool, has told of some moments of an episode, in a table beside its bag, marks.csv.

    start_s,end_s,action            start_s,end_s,action,source
    0.5,2.1,reach                   3.0,5.2,grasp,vlm
    4.2,,grasp
    6.3,,grasp->lift

A line is a stretch; with no end a single moment; with two actions a boundary. Times are seconds after the episode's
first tick, or in columns start_ns and end_ns header stamps in nanoseconds, as in annotation.json. What names a source
comes from a tool of that name; the rest comes from a person, and is taken to be right.
"""

from __future__ import annotations

import csv
import difflib
import math
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.outside.reading import MIB, Expected, read_text, reading

MARKS = "marks.csv"
CHANGE = "->"
SECONDS, STAMPS = ("start_s", "end_s", "action"), ("start_ns", "end_ns", "action")
SOURCE = "source"
EXPECTED = f"a first line {','.join(SECONDS)} or {','.join(STAMPS)}, with or without {SOURCE} behind"
TABLE = Expected(DatasetError, f"a table of text with {EXPECTED}", 4 * MIB)


@dataclass(frozen=True)
class MarkLine:
    """One line."""

    line: int
    start_ns: int  # after the first tick, or a stamp
    end_ns: int | None  # of a stretch
    actions: tuple[str, ...]  # two of a boundary
    source: str = ""  # empty: a person


@dataclass(frozen=True)
class Marks:
    """A file."""

    path: Path
    stamped: bool  # times are stamps
    marks: tuple[MarkLine, ...]


def read_marks(path: Path) -> Marks | None:
    """Return what a file holds, None where there is no file. Raises DatasetError, naming the line.

    A link that leads nowhere is a file that can't be read, here as with annotations: somebody meant it to be there.
    """
    if not os.path.lexists(path):
        return None
    text = read_text(path, TABLE)
    with reading(path, TABLE):
        rows = list(_rows(text.splitlines()))
    numbered = [(line, [cell.strip() for cell in row]) for line, row in enumerate(rows, 1) if any(map(str.strip, row))]
    if not numbered:
        raise DatasetError(f"{path}: is empty; expected {EXPECTED}")
    (_, head), *lines = numbered
    columns = tuple(head[:3])
    if columns not in (SECONDS, STAMPS) or head[3:] not in ([], [SOURCE]):
        raise DatasetError(f"{path}: begins with {','.join(head)!r}; expected {EXPECTED}")
    if not lines:
        raise DatasetError(f"{path}: holds no mark; expected lines below the first one")
    stamped = columns == STAMPS
    return Marks(path, stamped, tuple(_mark(path, line, row, (stamped, len(head))) for line, row in lines))


def _rows(lines: Sequence[str]) -> Iterator[list[str]]:
    """Yield a table's rows; spreadsheets of many countries part columns by semicolons, and write commas in numbers."""
    head = next(filter(str.strip, lines), "")
    if ";" not in head or "," in head:
        yield from csv.reader(lines, skipinitialspace=True)
        return
    for row in csv.reader(lines, delimiter=";", skipinitialspace=True):
        yield [*(cell.replace(",", ".") for cell in row[:2]), *row[2:]]


def _mark(path: Path, line: int, row: Sequence[str], form: tuple[bool, int]) -> MarkLine:
    stamped, width = form
    if not 3 <= len(row) <= width:
        raise DatasetError(f"{path}:{line}: has {len(row)} columns; expected {width}")
    start, end = (_time(path, line, cell, stamped) if cell else None for cell in row[:2])
    actions = tuple(part.strip() for part in row[2].split(CHANGE))
    if start is None or not all(actions) or len(actions) > 2:
        raise DatasetError(f"{path}:{line}: {','.join(row)!r}; expected a start and an action, or two as grasp->lift")
    if end is not None and (len(actions) == 2 or end <= start):
        wanted = "no end, as a boundary is a moment" if len(actions) == 2 else "an end after its start"
        raise DatasetError(f"{path}:{line}: {','.join(row)!r}; expected {wanted}")
    if len(actions) == 2 and actions[0] == actions[1]:
        raise DatasetError(f"{path}:{line}: {row[2]!r} changes nothing; expected two actions")
    return MarkLine(line, start, end, actions, row[3] if len(row) > 3 else "")


def _time(path: Path, line: int, cell: str, stamped: bool) -> int:
    try:
        value_ns = float(cell) if stamped else 1e9 * float(cell)
        if not math.isfinite(value_ns) or (stamped and not cell.isdigit()):
            raise ValueError
        return int(cell) if stamped else round(value_ns)
    except ValueError:
        wanted = "nanoseconds, a whole number" if stamped else "seconds, a number"
        raise DatasetError(f"{path}:{line}: time {cell!r}; expected {wanted}") from None


def unknown_actions(marks: Marks, vocabulary: Collection[str]) -> Iterator[str]:
    """Yield a line for each action that is not in the vocabulary, once."""
    for action in dict.fromkeys(action for mark in marks.marks for action in mark.actions):
        if action not in vocabulary:
            line = next(mark.line for mark in marks.marks if action in mark.actions)
            near = difflib.get_close_matches(action, list(vocabulary), n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(vocabulary)}"
            yield f"{marks.path}:{line}: action {action!r} is in no transcript and not in data.actions; {hint}"


# --- on ticks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MarkedTicks:
    """What marks tell of ticks."""

    actions: NDArray[np.int64]  # (T,) by persons, NO_ACTION where they say nothing
    claims: dict[str, NDArray[np.int64]]  # (T,) likewise, by each tool


def on_ticks(marks: Marks, stamp_ns: NDArray[np.int64], vocabulary: Sequence[str]) -> MarkedTicks:
    """Return what marks tell of the ticks with these stamps (T,).

    A stretch holds the ticks in [start, end), one that is shorter than a tick the nearest; a moment is the nearest
    tick's; a boundary tells the ticks on either side. Raises DatasetError for an unknown action, a mark outside the
    episode and two that contradict each other.
    """
    for problem in unknown_actions(marks, vocabulary):
        raise DatasetError(problem)
    found: dict[str, NDArray[np.int64]] = {}
    told: dict[str, NDArray[np.int64]] = {}  # by which line
    for mark in marks.marks:
        labels = found.setdefault(mark.source, np.full(len(stamp_ns), NO_ACTION, np.int64))
        lines = told.setdefault(mark.source, np.zeros(len(stamp_ns), np.int64))
        for action, ticks in _ticks(marks, mark, stamp_ns):
            here = np.arange(len(stamp_ns))[ticks]
            identity = vocabulary.index(action)
            other = here[(labels[here] != NO_ACTION) & (labels[here] != identity)]
            if len(other):
                seconds, before = (stamp_ns[other[0]] - stamp_ns[0]) / 1e9, vocabulary[labels[other[0]]]
                raise DatasetError(
                    f"{marks.path}:{mark.line}: says {action} of {seconds:.2f} s, line {lines[other[0]]} says {before};"
                    " expected one action"
                )
            labels[here], lines[here] = identity, mark.line
    nothing = np.full(len(stamp_ns), NO_ACTION, np.int64)
    return MarkedTicks(found.pop("", nothing), found)


def _ticks(marks: Marks, mark: MarkLine, stamp_ns: NDArray[np.int64]) -> list[tuple[str, slice]]:
    """Return the ticks that a mark speaks of, with the action of each."""
    period = int(np.median(np.diff(stamp_ns))) if len(stamp_ns) > 1 else 0
    first, last = int(stamp_ns[0]), int(stamp_ns[-1])
    origin = 0 if marks.stamped else first
    start, end = origin + mark.start_ns, None if mark.end_ns is None else origin + mark.end_ns
    edge = period if marks.stamped else 0  # annotations begin with the recording, a little before its first tick
    if start < first - edge or start > last + period or (end is not None and end > last + 2 * period):
        length = f"lasts {(last - first) / 1e9:.2f} s"
        hint = "" if marks.stamped or mark.start_ns < 1e15 else "; stamps belong under start_ns,end_ns"
        where = f"stamps {first} to {last}" if marks.stamped else f"0 to {(last - first) / 1e9:.2f}"
        raise DatasetError(
            f"{marks.path}:{mark.line}: lies outside the episode, which {length}; expected {where}{hint}"
        )
    if len(mark.actions) == 2:
        after = int(np.searchsorted(stamp_ns, start))
        if not 0 < after < len(stamp_ns):
            raise DatasetError(f"{marks.path}:{mark.line}: has no tick on either side; expected a boundary between two")
        return [(mark.actions[0], slice(after - 1, after)), (mark.actions[1], slice(after, after + 1))]
    lowest, highest = np.searchsorted(stamp_ns, [start, start if end is None else end])
    if lowest == highest:
        nearest = int(np.argmin(np.abs(stamp_ns - start)))
        return [(mark.actions[0], slice(nearest, nearest + 1))]
    return [(mark.actions[0], slice(int(lowest), int(highest)))]
