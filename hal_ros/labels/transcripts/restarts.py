"""How far an alignment is to be trusted, without any annotation: halves of the clips that do not know of each other.

Each restart divides the clips at random, learns the actions from either half alone, and lays all clips by both. Where
the halves put a boundary in different places, the evidence does not say where it is. What all of them get wrong alike
stays hidden; of that `labels.transcripts.separability` warns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.datasets.clips import Clip
from hal_ros.labels.transcripts.conventions import Conventions, boundaries_of, exact, moved_boundaries
from hal_ros.labels.transcripts.first_labels import NO_CONVENTIONS, NO_PINS, FirstLabels, known_ticks, laid_clips
from hal_ros.labels.transcripts.grids import make_grids
from hal_ros.labels.transcripts.learned_actions import best_states, gain, halves, hard_labels, learn
from hal_ros.labels.transcripts.pins import UNKNOWN_ENDS, Pins

RESTARTS = 2
GUESSED_SHARE = 0.25
"""An alignment guesses when half of its boundaries are spread over more than this share of a mean segment: training
episodes of three robots have 0 to 0.08, those of gesture phases 0.9 to 2.5."""
NO_GAIN = 0.0
"""An alignment guesses when of held-out steps it knows no more than one Gaussian for all does."""


@dataclass(frozen=True)
class Restarts:
    """Alignments of the same clips, learnt from different halves of them."""

    versions: dict[str, list[NDArray[np.int64]]]  # by clip name: of each half, (T,); of clips not known throughout
    held_out_nats: float  # how much likelier each action's Gaussian makes a step than one for all, of the other half
    mean_segment_ticks: float

    @property
    def spread_share(self) -> float:
        """The median spread of boundaries over the halves, as a share of the mean segment; 0 without any boundary."""
        spreads = [spread for versions in self.versions.values() for spread in _spreads(versions)]
        return float(np.median(spreads)) / self.mean_segment_ticks if spreads else 0.0

    def guess(self) -> str:
        """Return how the alignment itself knows that it is guessing; "" where it does not.

        Its restarts disagree, or what they learnt of the actions does not hold for other clips: restarts that see
        nothing at all agree as well, on the lengths.
        """
        if self.held_out_nats <= NO_GAIN:
            return f"what half of the episodes show of the actions does not hold for the others ({self._nats()})"
        if self.spread_share > GUESSED_SHARE:
            return f"two halves of the episodes put most boundaries {self.spread_share:.2f} of a mean segment apart"
        return ""

    def _nats(self) -> str:
        return f"{self.held_out_nats:+.1f} nats a step"


def restarts(
    clips: Sequence[Clip],
    actions: int,
    pins: Pins = NO_PINS,
    judged: FirstLabels | None = None,
    *,
    seed: int = 0,
) -> Restarts | None:
    """Learn K actions from RESTARTS times two halves of the clips, and lay those by each that are not known throughout.

    Actions have as many states as in the first labels that are to be `judged`, and boundaries are moved by the same
    conventions. None for a single clip, which has no halves. Raises DatasetError as `first_labels` does.
    """
    known = known_ticks(clips, actions, pins)
    laid = laid_clips(clips, known, actions)
    states = best_states(laid, actions, known) if judged is None else judged.states
    conventions = NO_CONVENTIONS if judged is None else judged.conventions
    grids = make_grids(laid, actions, known, states)
    doubtful = [grid for grid in grids.of_clips if not _is_known(known.get(grid.clip.name))]
    versions: dict[str, list[NDArray[np.int64]]] = {grid.clip.name: [] for grid in doubtful}
    gains = []
    for half, others in halves(len(grids.of_clips), seed, RESTARTS):
        part = replace(grids, of_clips=[grids.of_clips[index] for index in half])
        learned, _ = learn(part, actions)
        for grid in doubtful:
            labels = hard_labels(grid, learned.lay(grid))
            versions[grid.clip.name].append(_moved(labels, conventions, known.get(grid.clip.name)))
        gains += [gain(learned, part, grids.of_clips[index]) for index in others]
    if not gains:
        return None
    return Restarts(versions, float(np.mean(np.concatenate(gains))), grids.segment * grids.step)


def _is_known(known: NDArray[np.int64] | None) -> bool:
    """Whether known ticks (T,) are the whole clip, but for a few: there is nothing to doubt."""
    return known is not None and bool(np.mean(known == NO_ACTION) <= UNKNOWN_ENDS)


def _moved(labels: NDArray[np.int64], conventions: Conventions, known: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Return labels (T,) with their boundaries, but for known ones, where the conventions say."""
    if not conventions.pairs:
        return labels
    old = boundaries_of(labels)
    new = moved_boundaries(labels, conventions, None if known is None else exact(known, old))
    return np.repeat(labels[np.append(0, old)], np.diff(new, prepend=0, append=len(labels)))


def _spreads(versions: Sequence[NDArray[np.int64]]) -> list[float]:
    """Return each boundary's standard deviation over the halves, in ticks; none where one left out a segment."""
    at = [boundaries_of(labels) for labels in versions]
    return np.std(at, axis=0).tolist() if len({len(one) for one in at}) == 1 else []
