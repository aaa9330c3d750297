"""Known ticks, and what they leave of a transcript's segmentations: the aligned path passes through every one of them.

Pins are what a person has marked of some clips: single ticks, stretches, both sides of a boundary, a whole annotation.
They are handed over by themselves, never taken from a clip's own `actions`: under transcripts alone nobody reads those.

Every aligner takes `allowed` (T, K), which actions a tick may have. A segment [s, t) of action a is forbidden where it
holds a tick that may not have a; with running counts of such ticks that is a difference of two numbers, which the
aligners charge so high a price for that no evidence pays it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.datasets.clips import Clip

Pins = Mapping[str, NDArray[np.int64]]
"""By clip name: (T,) action ids, NO_ACTION where nothing is known."""
Allowed = NDArray[np.bool_]
"""(T, K): which actions a tick may have."""
UNKNOWN_ENDS = 0.05
"""A clip without a transcript is known throughout if at most this share of its ticks, all at its ends, is not."""
WIDENINGS = 4
"""How often what a step may be is widened by its neighbours', where a coarse grid can't hold the order."""


def allowed_actions(known: NDArray[np.int64], actions: int) -> Allowed:
    """Return which of K actions each tick may have, (T, K): one where it is known (T,), every one elsewhere."""
    free = known == NO_ACTION
    allowed = np.repeat(free[:, None], actions, 1)
    allowed[~free, known[~free]] = True
    return allowed


def violations(allowed: Allowed, segments: ArrayLike) -> NDArray[np.float64]:
    """Return for each of S segments' actions how many ticks before tick t may not have it, (T + 1, S)."""
    wrong = ~allowed[:, np.asarray(segments, np.int64)]
    return np.concatenate([np.zeros((1, wrong.shape[1])), np.cumsum(wrong, 0)])


def reachable(allowed: Allowed, segments: ArrayLike) -> NDArray[np.bool_]:
    """Return which of S segments a tick can be in, (T, S), with each of them, in their order, a tick long or more.

    Raises DatasetError where the order leaves nothing.
    """
    may = allowed[:, np.asarray(segments, np.int64)]
    forward = _forward(may)
    if not forward[-1, -1]:
        stuck = np.flatnonzero(~forward.any(1))
        where = f"at known tick {stuck[0]}" if len(stuck) else "after the last known tick"
        raise DatasetError(f"known ticks contradict the transcript {where}; expected its actions in its order")
    return forward & _forward(may[::-1, ::-1])[::-1, ::-1]


def constrained(soft: NDArray[np.floating], allowed: Allowed, segments: ArrayLike) -> NDArray[np.float64]:
    """Return probabilities (T, K) of those actions alone that a tick can have in some allowed segmentation.

    Rows sum to 1. Raises DatasetError as `reachable` does.
    """
    may: NDArray[np.float64] = np.zeros(soft.shape)
    np.maximum.at(may.T, np.asarray(segments, np.int64), reachable(allowed, segments).T)
    kept = np.where(may > 0, soft, 0.0)
    kept = np.where(kept.sum(1, keepdims=True) > 1e-9, kept, may)  # nothing is left of what was thought: all alike
    return kept / kept.sum(1, keepdims=True)


def on_steps(allowed: Allowed, segments: ArrayLike, step: int) -> Allowed:
    """Return what steps of `step` ticks may be, (ceil(T / step), K): any of the actions known in them.

    Where S segments find no room that way, as when one is shorter than a step, steps may also be what their
    neighbours may; the ticks themselves are held to their pins later.
    """
    starts = np.arange(0, len(allowed), step)
    known = ~allowed.all(1, keepdims=True)
    coarse = np.logical_or.reduceat(allowed & known, starts, 0)
    coarse |= ~np.logical_or.reduceat(known, starts, 0)
    for _ in range(WIDENINGS):
        if _forward(coarse[:, np.asarray(segments, np.int64)])[-1, -1]:
            return coarse
        wider = coarse.copy()
        wider[1:] |= coarse[:-1]
        wider[:-1] |= coarse[1:]
        coarse = wider
    return np.ones_like(coarse)


def order_of(known: NDArray[np.int64]) -> tuple[int, ...]:
    """Return the transcript of a clip that is known throughout, but for a few ticks at its ends; () of another one."""
    whole = filled_ends(known)
    if (whole == NO_ACTION).any() or np.mean(known == NO_ACTION) > UNKNOWN_ENDS:
        return ()
    return tuple(int(action) for action, _ in groupby(whole.tolist()))


def filled_ends(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return labels (T,) in which the first and the last one reach to the clip's ends."""
    there = np.flatnonzero(labels != NO_ACTION)
    if not len(there):
        return labels
    filled = labels.copy()
    filled[: there[0]], filled[there[-1] :] = labels[there[0]], labels[there[-1]]
    return filled


def checked_pins(clip: Clip, known: NDArray[np.int64], actions: int) -> NDArray[np.int64]:
    """Return the pins (T,) of a clip over K actions, or refuse those that can't be kept with a DatasetError."""
    known = np.asarray(known)
    if known.shape != (clip.ticks,) or known.dtype.kind not in "iu":
        raise DatasetError(
            f"clip {clip.name}: known ticks have shape {known.shape} of {known.dtype}; expected {clip.ticks} action ids"
        )
    known = known.astype(np.int64)
    if len(wrong := np.flatnonzero((known != NO_ACTION) & ((known < 0) | (known >= actions)))):
        raise DatasetError(
            f"clip {clip.name}: tick {wrong[0]} is known as action {known[wrong[0]]}; expected ids below {actions}"
        )
    segments = [action for action, _ in groupby(clip.transcript)]
    if not segments or not clip.ticks or (known == NO_ACTION).all():
        return known
    if len(segments) > clip.ticks:
        raise DatasetError(
            f"clip {clip.name}: a transcript of {len(segments)} actions, known ticks, and {clip.ticks} ticks in all; "
            "expected a tick for each action at least"
        )
    outside = set(known[known != NO_ACTION].tolist()) - set(segments)
    if outside:
        raise DatasetError(
            f"clip {clip.name}: tick {int(np.argmax(known == min(outside)))} is known as action {min(outside)}, "
            "which its transcript lacks; expected an action of the transcript"
        )
    try:
        reachable(allowed_actions(known, actions), segments)
    except DatasetError as error:
        raise DatasetError(f"clip {clip.name}: {error}") from None
    return known


def _forward(may: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which segments (T, S) a tick can be in as far as it and the ticks before it tell."""
    found = np.zeros_like(may)
    row: NDArray[np.bool_] = np.zeros(may.shape[1], np.bool_)
    row[0] = True
    for tick, allowed in enumerate(may):
        if tick:
            row[1:] |= row[:-1]
        row &= allowed
        found[tick] = row
    return found
