"""All that is told of an episode beside its transcript, tick by tick: annotation, and marks of persons and tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.episodes import ANNOTATION, TRANSCRIPT, Episode, read_annotation
from hal_ros.datasets.look.known_ticks import first_misfit
from hal_ros.datasets.look.marks import MARKS, MarkedTicks, Marks, on_ticks, read_marks


@dataclass(frozen=True)
class ToldTicks(MarkedTicks):
    """What is told of an episode's ticks."""

    whole: bool  # the annotation has all that the transcript has: where it says nothing, there is no action


def read_told(bag: Path, episode: Episode, vocabulary: Sequence[str]) -> ToldTicks:
    """Return what persons tell of an episode's ticks, and what tools claim.

    Raises DatasetError for broken marks, and where annotation, marks and transcript contradict each other.
    """
    whole = annotates_all(bag, episode.transcript)
    nothing = np.full(len(episode.stamp_ns), NO_ACTION, np.int64)
    annotated = nothing if episode.actions is None else episode.actions
    marks = read_marks(bag / MARKS)
    if marks is None:
        return ToldTicks(annotated, {}, whole)
    marked = on_ticks(marks, episode.stamp_ns, vocabulary)
    _check_annotated(marks, marked.actions, annotated, vocabulary)
    actions = np.where(annotated == NO_ACTION, marked.actions, annotated)
    if not whole and int(episode.fresh.sum()) == 1:
        order = [vocabulary.index(action) for action in episode.transcript]
        _check_order(marks, (order, actions), episode.stamp_ns, vocabulary)
    return ToldTicks(actions, marked.claims, whole)


def annotates_all(bag: Path, transcript: Sequence[str]) -> bool:
    """Whether an annotation beside a bag has every action of its transcript; of one without, whether there is one.

    Raises DatasetError for one that has others, or another order.
    """
    segments = read_annotation(bag)
    if not segments or not transcript:
        return bool(segments)
    found, wanted = ([action for action, _ in groupby(names)] for names in ((s.action for s in segments), transcript))
    rest = iter(wanted)
    for number, action in enumerate(found, 1):
        if action not in rest:
            raise DatasetError(f"{bag / ANNOTATION}: {action!r}, action {number}, is not in the order of {TRANSCRIPT}")
    return found == wanted


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
