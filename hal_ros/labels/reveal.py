"""Part of a data set's annotations shown to what learns, the rest hidden; and what that part costs a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hal_ros.core import segments
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import ConfigError, DatasetError
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.encoded_clips import EncodedClip
from hal_ros.datasets.look.known_ticks import boundaries, is_full
from hal_ros.labels.doubtful import ANNOTATING, MARK_S, OPENING_S

DRAW = 11
"""Sets the draw of what is shown apart from whatever else is drawn by the same seed."""
AnyClip = TypeVar("AnyClip", Clip, EncodedClip)


@dataclass(frozen=True)
class Share:
    """How much is shown of some clips' annotations; all keep their transcripts."""

    annotated: int = 0  # clips that are annotated throughout
    marks: float = 0.0  # percent of all boundaries, each known on either side

    def __post_init__(self) -> None:
        """Raise ConfigError for what is no share."""
        annotated: Any = self.annotated
        if isinstance(annotated, bool) or not isinstance(annotated, int) or annotated < 0:
            raise ConfigError(f"annotated is {annotated!r}; expected a number of episodes")
        marks: Any = self.marks
        if isinstance(marks, bool) or not isinstance(marks, int | float) or not 0 <= marks <= 100:
            raise ConfigError(f"marks is {marks!r}; expected percent of the boundaries, within 0 to 100")


NOTHING = Share()
"""Transcripts alone."""


def reveal(clips: Sequence[AnyClip], share: Share, seed: int) -> list[AnyClip]:
    """Return the clips with a share of their annotations; a seed shows the same, and more of it all of less.

    Labels of tools are hidden too. Raises DatasetError where more clips are to be annotated than there are.
    """
    if share.annotated > len(clips):
        raise DatasetError(f"{share.annotated} annotated episodes of {len(clips)}; expected that many at most")
    random = np.random.default_rng([seed, DRAW])
    annotated = {int(index) for index in random.permutation(len(clips))[: share.annotated]}
    places = [(index, int(tick)) for index, clip in enumerate(clips) for tick in boundaries(clip.actions)]
    count = int(np.ceil(share.marks / 100 * len(places)))
    marks: dict[int, list[int]] = {}
    for at in random.permutation(len(places))[:count]:
        marks.setdefault(places[at][0], []).append(places[at][1])
    return [
        _annotated(clip) if index in annotated else _marked(clip, marks.get(index, []))
        for index, clip in enumerate(clips)
    ]


def _annotated(clip: Any) -> Any:
    return replace(clip, annotated=True, claims={}) if isinstance(clip, EncodedClip) else clip


def _marked(clip: Any, ticks: Sequence[int]) -> Any:
    """Return a clip of which the boundaries at some ticks are known, and nothing else."""
    shown = np.full(clip.ticks, NO_ACTION)
    for tick in ticks:
        shown[tick - 1 : tick + 1] = clip.actions[tick - 1 : tick + 1]
    hidden: Mapping[str, Any] = {"annotated": False, "claims": {}} if isinstance(clip, EncodedClip) else {}
    return replace(clip, actions=shown, **hidden)


# --- what it costs ----------------------------------------------------------------------------------------------------


def person_minutes(told: Sequence[Clip] | Sequence[EncodedClip], period_s: float) -> float:
    """Return what the known ticks of clips cost a person, as `labels.doubtful` assumes: annotations, or single marks.

    Writing down transcripts is not counted: every clip has one.
    """
    return sum(_seconds(clip, period_s) for clip in told) / 60


def _seconds(clip: Clip | EncodedClip, period_s: float) -> float:
    actions = clip.actions
    if is_full(actions) or (isinstance(clip, EncodedClip) and clip.annotated):
        return OPENING_S + ANNOTATING * len(actions) * period_s
    return MARK_S * _marks(actions)


def _marks(actions: NDArray[np.int64]) -> int:
    """Return how many marks tell as much: one for each boundary, or for each known stretch where these are more."""
    stretches = len(segments.without(segments.runs(np.where(actions == NO_ACTION, NO_ACTION, 0))))
    return max(len(boundaries(actions)), stretches)
