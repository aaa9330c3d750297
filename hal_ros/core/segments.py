"""Labels per tick, and the runs and segments that they are made of.

Labels are (T,) integers, one action id per tick; `NO_ACTION` marks a tick without an answer or without an annotation.
A run is a stretch of equal labels; a segment is a run that carries an action and times.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION, Segment
from hal_ros.core.errors import DatasetError

Labels = NDArray[np.integer]
"""(T,) action ids."""


class Run(NamedTuple):
    """One action over [start, end), counted in ticks or in nanoseconds, whichever the caller counts in."""

    action: int
    start: int
    end: int


def runs(labels: Labels) -> list[Run]:
    """Return the maximal stretches of equal labels in order; together they cover every tick exactly once."""
    labels = np.asarray(labels)
    if not len(labels):
        return []
    starts = np.concatenate(([0], np.flatnonzero(labels[1:] != labels[:-1]) + 1))
    ends = np.append(starts[1:], len(labels))
    return [Run(int(labels[start]), int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


def without(sequence: Sequence[Run], background: Collection[int] = ()) -> list[Run]:
    """Drop the runs of background actions and of NO_ACTION; what stood on either side stays two runs."""
    return [run for run in sequence if run.action != NO_ACTION and run.action not in background]


def sample_segments(segments: Sequence[Segment], stamp_ns: NDArray[np.int64], vocabulary: Sequence[str]) -> Labels:
    """Return (T,) labels: the action that each stamp falls into, NO_ACTION outside every segment.

    Raises DatasetError for an action outside the vocabulary and for empty, unsorted or overlapping segments.
    """
    stamps = np.asarray(stamp_ns, np.int64)
    labels = np.full(len(stamps), NO_ACTION, np.int64)
    ids = {action: index for index, action in enumerate(vocabulary)}
    previous_end_ns = np.iinfo(np.int64).min
    for segment in segments:
        if segment.action not in ids:
            raise DatasetError(f"action '{segment.action}' is not in the vocabulary ({', '.join(vocabulary)})")
        if not previous_end_ns <= segment.start_ns < segment.end_ns:
            times = f"{segment.start_ns} to {segment.end_ns} ns"
            raise DatasetError(
                f"segment '{segment.action}', {times}, is empty, unsorted or overlaps the one before it; expected "
                "segments in the order of time"
            )
        labels[(stamps >= segment.start_ns) & (stamps < segment.end_ns)] = ids[segment.action]
        previous_end_ns = segment.end_ns
    return labels


def transcript(labels: Labels, background: Collection[int] = ()) -> list[int]:
    """Return the ordered actions without times, background and NO_ACTION left out."""
    return [run.action for run in without(runs(labels), background)]
