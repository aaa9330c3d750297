"""The first labels, before there is any model: Gaussian actions with learned durations, fitted to transcripts by EM.

From a flat start (every segmentation in the transcript's order, weighed by length alone) each round estimates a
Gaussian for each action and how long it lasts, and lays the transcripts over the clips again. A simple model that
averages over all clips finds the changes that a network, which can also fit wrong labels, does not (docs/log.md).

Everything runs on a coarse grid, so the cost doesn't depend on the tick rate. A clip whose segments are much shorter
than the others' has a finer grid of its own. Pins hold at every tick all the same, and where they show that boundaries
of a kind are found too early or too late throughout, all of that kind are moved (`labels.transcripts.conventions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.clips import Clip
from hal_ros.labels.transcripts.align import fit_into, most_correct
from hal_ros.labels.transcripts.conventions import (
    Conventions,
    KnownOffset,
    boundaries_of,
    exact,
    known_offsets,
    learn_conventions,
    moved_boundaries,
    warped,
)
from hal_ros.labels.transcripts.durations import Durations, Placed, estimate
from hal_ros.labels.transcripts.grids import Grids, make_grids
from hal_ros.labels.transcripts.learned_actions import best_states, hard_labels, learn, learned_from, of_actions
from hal_ros.labels.transcripts.pins import Pins, allowed_actions, checked_pins, constrained, order_of

Array = NDArray[np.float64]
FOLDS = 5
"""Clips with pins are left out in so many parts to see where their known boundaries would be found without them."""
NO_PINS: Pins = MappingProxyType({})
NO_CONVENTIONS = Conventions()


@dataclass(frozen=True)
class FirstLabels:
    """Clips laid under their transcripts, by clip name.

    Where nothing tells a clip's order (pinned in part, no transcript), unpinned ticks are NO_ACTION and rows of zeros.
    """

    hard: dict[str, NDArray[np.int64]]  # (T,)
    soft: dict[str, NDArray[np.float32]]  # (T, K); rows sum to 1
    durations: Durations  # in ticks
    conventions: Conventions = NO_CONVENTIONS  # by which boundaries were moved
    states: int = 1  # of an action, which it was found by


def first_labels(clips: Sequence[Clip], actions: int, pins: Pins = NO_PINS) -> FirstLabels:
    """Return labels of clips with transcripts over K actions, which pass through the `pins`, known ticks by clip name.

    A clip that is pinned throughout needs no transcript. One that is pinned in part and has none keeps its pins, and
    nothing is said of its other ticks. Raises DatasetError for an empty transcript without pins, an action outside the
    vocabulary, and pins that contradict the transcript.
    """
    known = known_ticks(clips, actions, pins)
    ordered = with_orders(clips, known)
    laid = laid_clips(ordered, known, actions)
    grids = make_grids(laid, actions, known, best_states(laid, actions, known))
    placed = learn(grids, actions)[1]
    found = _labels_of(grids, placed, actions)
    if not known:
        return found
    held = _through_pins(found, ordered, known, actions)
    conventions = _conventions(held, grids, placed, known)
    return _through_pins(_moved(held, grids, conventions, known), ordered, known, actions)


def known_ticks(clips: Sequence[Clip], actions: int, pins: Pins) -> dict[str, NDArray[np.int64]]:
    """Return the pins of clips that have any or lack a transcript; DatasetError for what can't be kept."""
    named = {clip.name: clip for clip in clips}
    if strangers := sorted(pins.keys() - named.keys()):
        raise DatasetError(f"known ticks of {strangers[0]}, which is none of {len(named)} clips; expected clips' names")
    checked = {name: checked_pins(named[name], known, actions) for name, known in pins.items()}
    return {name: known for name, known in checked.items() if not named[name].transcript or (known != NO_ACTION).any()}


def with_orders(clips: Sequence[Clip], known: Pins) -> list[Clip]:
    """Return the clips; one that is known throughout gets the transcript it lacks."""
    return [
        clip if clip.transcript or clip.name not in known else replace(clip, transcript=order_of(known[clip.name]))
        for clip in clips
    ]


def check_transcripts(clips: Sequence[Clip], actions: int) -> None:
    """Raise DatasetError for a clip that can't be laid under its transcript."""
    if not clips:
        raise DatasetError("there is no clip to learn from; expected at least one")
    for clip in clips:
        if not clip.transcript:
            raise DatasetError(f"clip {clip.name} has an empty transcript; expected at least one action")
        if wrong := [action for action in clip.transcript if not 0 <= action < actions]:
            raise DatasetError(f"clip {clip.name}: transcript holds action {wrong[0]}; expected ids below {actions}")
        if not clip.ticks:
            raise DatasetError(f"clip {clip.name} has no ticks; expected at least one")


def laid_clips(clips: Sequence[Clip], known: Pins, actions: int) -> list[Clip]:
    """Return those that are to be laid under their transcripts; DatasetError for one that can't be."""
    laid = [clip for clip in with_orders(clips, known) if clip.transcript or clip.name not in known]
    check_transcripts(laid, actions)
    return laid


# --- steps to ticks ---------------------------------------------------------------------------------------------------


def _labels_of(grids: Grids, placed: Sequence[Placed], actions: int) -> FirstLabels:
    """Return labels over K actions for every tick from steps as they are laid, each repeated `step` times."""
    hard, soft = {}, {}
    whole = [of_actions(result, grids.states) for result in placed]
    for grid, result in zip(grids.of_clips, whole, strict=True):
        labels = most_correct(result.soft, grid.clip.transcript).labels
        hard[grid.clip.name] = np.repeat(labels, grid.step)[: grid.clip.ticks]
        soft[grid.clip.name] = np.repeat(result.soft.astype(np.float32), grid.step, 0)[: grid.clip.ticks]
    return FirstLabels(hard, soft, estimate(actions, whole).scaled(grids.step), states=grids.states)


def _through_pins(found: FirstLabels, clips: Sequence[Clip], known: Pins, actions: int) -> FirstLabels:
    """Return labels that hold at every pinned tick, where those of the steps may have cut corners."""
    hard, soft = dict(found.hard), dict(found.soft)
    for clip in clips:
        if clip.name not in known:
            continue
        pinned, allowed = known[clip.name], allowed_actions(known[clip.name], actions)
        if clip.transcript:
            segments = fit_into(clip.transcript, clip.ticks)[0]
            kept = constrained(soft[clip.name], allowed, segments)
            soft[clip.name] = kept.astype(np.float32)
            hard[clip.name] = most_correct(kept, clip.transcript, allowed).labels
        else:
            hard[clip.name] = pinned.copy()
            soft[clip.name] = np.where((pinned == NO_ACTION)[:, None], 0.0, allowed).astype(np.float32)
    return replace(found, hard=hard, soft=soft)


# --- conventions ------------------------------------------------------------------------------------------------------


def _conventions(held: FirstLabels, grids: Grids, placed: Sequence[Placed], known: Pins) -> Conventions:
    """Return what known boundaries show when they are laid once more as if they were not known.

    That is by actions learnt from the other clips: from its own, a clip finds its known boundaries again.
    """
    names = [grid.clip.name for grid in grids.of_clips]
    pinned = [index for index, name in enumerate(names) if name in known]
    offsets: list[KnownOffset] = []
    for fold in range(min(FOLDS, len(pinned))):
        left_out = pinned[fold::FOLDS]
        rest = [index for index in range(len(names)) if index not in left_out] or pinned
        learned = learned_from([grids.of_clips[index] for index in rest], [placed[index] for index in rest])
        for index in left_out:
            grid = replace(grids.of_clips[index], allowed=None)
            free = hard_labels(grid, learned.lay(grid))
            offsets += known_offsets(known[names[index]], held.hard[names[index]], free)
    return learn_conventions(offsets, grids.segment * grids.step)


def _moved(held: FirstLabels, grids: Grids, conventions: Conventions, known: Pins) -> FirstLabels:
    """Return labels whose boundaries, but for known ones, lie where the conventions say."""
    if not conventions.pairs:
        return held
    hard, soft, placed = dict(held.hard), dict(held.soft), []
    for grid in grids.of_clips:
        name, labels = grid.clip.name, held.hard[grid.clip.name]
        old = boundaries_of(labels)
        new = moved_boundaries(labels, conventions, exact(known[name], old) if name in known else None)
        lengths = np.diff(new, prepend=0, append=len(labels))
        actions = labels[np.append(0, old)]
        hard[name], soft[name] = np.repeat(actions, lengths), warped(held.soft[name], old, new)
        placed.append(Placed(soft[name].astype(np.float64), actions, lengths.astype(np.float64)))
    durations = estimate(len(held.durations.mean), placed)
    return replace(held, hard=hard, soft=soft, durations=durations, conventions=conventions)
