"""New episodes beside old ones: those with a new action are played oftener, lest they drown."""

from __future__ import annotations

from dataclasses import replace

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.work import Report
from hal_ros.datasets.clips import Clip
from hal_ros.train.clips import Supervised

NEW_SHARE = 0.3
"""How much of what is played has a new action in it."""


def rehearsed(supervised: Supervised, known: int, report: Report = print) -> Supervised:
    """Return the clips, those with an action from `known` on several times, and tell how they are played.

    Where all clips are new, or none is, each is played once.
    """

    def is_new(clip: Clip) -> bool:
        ids = supervised.labels(clip)
        return bool(((ids >= known) & (ids != NO_ACTION)).any())

    told = [clip for clip in supervised.clips if clip.name in supervised.targets]
    new = [clip for clip in told if is_new(clip)]
    new_ticks = sum(clip.ticks for clip in new)
    old_ticks = sum(clip.ticks for clip in told) - new_ticks
    times = max(1, round(NEW_SHARE / (1 - NEW_SHARE) * old_ticks / new_ticks)) if new_ticks else 1
    often = f", played {times} times an epoch" if times > 1 else ""
    report(f"{len(new)} clips with a new action{often}; {len(told) - len(new)} without")
    return replace(supervised, clips=[*supervised.clips, *new * (times - 1)])
