"""All that is told of an episode beside its transcript, tick by tick: annotation, and marks of persons and tools."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.episodes import ANNOTATION, TRANSCRIPT, Episode, read_annotation
from hal_ros.datasets.known_ticks import first_misfit
from hal_ros.datasets.marks import MARKS, MarkedTicks, Marks, on_ticks, read_marks


def read_told(bag: Path, episode: Episode, vocabulary: Sequence[str]) -> MarkedTicks:
    """Return what persons tell of an episode's ticks, and what tools claim.

    Raises DatasetError for broken marks, and where annotation, marks and transcript contradict each other.
    """
    check_annotation(bag, episode.transcript)
    marks = read_marks(bag / MARKS)
    nothing = np.full(len(episode.stamp_ns), NO_ACTION, np.int64)
    annotated = nothing if episode.actions is None else episode.actions
    if marks is None:
        return MarkedTicks(annotated, {})
    marked = on_ticks(marks, episode.stamp_ns, vocabulary)
    _check_annotated(marks, marked.actions, annotated, vocabulary)
    actions = np.where(annotated == NO_ACTION, marked.actions, annotated)
    if episode.actions is None and int(episode.fresh.sum()) == 1:
        order = [vocabulary.index(action) for action in episode.transcript]
        _check_order(marks, (order, actions), episode.stamp_ns, vocabulary)
    return MarkedTicks(actions, marked.claims)


def check_annotation(bag: Path, transcript: Sequence[str]) -> None:
    """Raise DatasetError where an annotation beside a bag has other actions than its transcript, or another order."""
    segments = read_annotation(bag)
    if segments is None or not transcript:
        return
    found, wanted = ([action for action, _ in groupby(names)] for names in ((s.action for s in segments), transcript))
    if found == wanted:
        return
    at = next((i for i, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(found), len(wanted)) if at is None else at
    ours, theirs = (repr(names[at]) if at < len(names) else "its end" for names in (found, wanted))
    raise DatasetError(f"{bag / ANNOTATION}: segment {at + 1} is {ours}; expected {theirs}, as {TRANSCRIPT} has it")


def _check_annotated(
    marks: Marks, marked: NDArray[np.int64], annotated: NDArray[np.int64], vocabulary: Sequence[str]
) -> None:
    wrong = np.flatnonzero((marked != NO_ACTION) & (annotated != NO_ACTION) & (marked != annotated))
    if len(wrong):
        said, there = (vocabulary[int(ids[wrong[0]])] for ids in (marked, annotated))
        raise DatasetError(f"{marks.path}: says {said} of tick {wrong[0]}; expected {there}, as {ANNOTATION} has it")


def _check_order(
    marks: Marks, told: tuple[list[int], NDArray[np.int64]], stamp_ns: NDArray[np.int64], vocabulary: Sequence[str]
) -> None:
    """Refuse marks that no segmentation in the transcript's order has."""
    order, actions = told
    tick = first_misfit(order, actions)
    if tick is None:
        return
    if tick == len(actions):
        raise DatasetError(f"{marks.path}: leave no room for the end of {TRANSCRIPT}; expected all its actions to fit")
    seconds, action = (stamp_ns[tick] - stamp_ns[0]) / 1e9, vocabulary[int(actions[tick])]
    raise DatasetError(f"{marks.path}: {action} at {seconds:.2f} s; expected the order of {TRANSCRIPT}")
