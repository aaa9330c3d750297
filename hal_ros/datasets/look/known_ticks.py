"""Which ticks of a clip somebody has told the action of, and whether they fit the clip's transcript.

Known ticks are (T,) action ids, NO_ACTION where nothing is known: an annotation, or some marks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hal_ros.core import segments
from hal_ros.core.answers import NO_ACTION

FULL = 0.9
"""Known ticks without a gap that are so large a share of a clip are a whole annotation; its ends may be over."""


def is_full(actions: NDArray[np.int64]) -> bool:
    """Whether known ticks (T,) are an annotation of the whole clip: no gap between them, few missing at the ends."""
    known = np.flatnonzero(actions != NO_ACTION)
    return bool(len(known) and len(known) == known[-1] - known[0] + 1 and len(known) >= FULL * len(actions))


def boundaries(actions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the ticks (N,) at which another action begins than that of the tick before, both known."""
    change = (actions[1:] != actions[:-1]) & (actions[1:] != NO_ACTION) & (actions[:-1] != NO_ACTION)
    return np.flatnonzero(change) + 1


def first_misfit(transcript: Sequence[int], actions: NDArray[np.int64]) -> int | None:
    """Return the tick from which on known ticks (T,) can't be in the transcript's order; None where they fit.

    Every action of the transcript is to have a tick at least, repeated neighbours together one: T where the ticks end
    before the transcript does. A transcript without actions fits everything.
    """
    order = np.asarray(segments.transcript(np.asarray(transcript, np.int64)), np.int64)
    if not len(order):
        return None
    reached = np.zeros(len(order) + 1, bool)  # which entries a tick may lie in; the first place is before all of them
    reached[0] = True
    for run in segments.runs(actions):
        ticks = run.end - run.start
        if run.action == NO_ACTION:
            last = np.maximum.accumulate(np.where(reached, np.arange(len(reached)), -len(reached) - ticks))
            reached = np.arange(len(reached)) - last <= ticks
        else:
            entered = np.append(False, reached[:-1]) | reached
            reached = entered & np.append(False, order == run.action)
        reached[0] = False
        if not reached.any():
            return run.start
    return None if reached[-1] else len(actions)
