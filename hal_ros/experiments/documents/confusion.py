"""Which action is taken for which, as a picture and as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.metrics.answer_files import ClipAnswers
from hal_ros.metrics.confusion import count_confusions, worst_pairs
from hal_ros.metrics.predictions import OutputStream
from hal_ros.metrics.segmentation import Pair
from hal_ros.report import plots

INCHES_PER_ACTION, MARGIN_INCHES = 0.42, 2.4
MOST_NUMBERED = 24
"""With more actions the cells are too small for numbers."""


def confusions(
    clips: Sequence[ClipAnswers], outputs: Sequence[Mapping[str, OutputStream]], output: str, actions: int
) -> NDArray[np.int64]:
    """Return how many ticks of each true action (K) were answered how (K + 1), by one output over all clips."""
    pairs = [Pair(clip.truth, said[output].labels) for clip, said in zip(clips, outputs, strict=True)]
    return count_confusions(pairs, actions)


def worst_lines(counts: NDArray[np.int64], vocabulary: Sequence[str]) -> list[str]:
    """Return a line for each of the five worst pairs; one line where nothing was confused."""
    found = worst_pairs(counts)
    if not found:
        return ["no tick was confused"]
    return [
        f"{vocabulary[pair.true]} taken for {'nothing' if pair.said == NO_ACTION else vocabulary[pair.said]}: "
        f"{pair.ticks} ticks, {pair.percent:.1f} % of its own"
        for pair in found
    ]


@plots.styled
def draw(counts: NDArray[np.int64], vocabulary: Sequence[str], title: str, path: Path) -> None:
    """Write a table whose rows are true actions that happened, each in percent of its ticks; PNG or SVG by the name."""
    happened = np.flatnonzero(counts.sum(1))
    said = np.flatnonzero(counts.sum(0))
    columns = np.union1d(happened, said)
    shares = 100 * counts[np.ix_(happened, columns)] / np.maximum(counts[happened].sum(1, keepdims=True), 1)
    width, height = (MARGIN_INCHES + INCHES_PER_ACTION * count for count in (len(columns), len(happened)))
    figure, axes = plots.figure(width, height)
    axis = axes[0][0]
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=100, aspect="equal")
    names = [*vocabulary, "no answer"]
    axis.set_xticks(range(len(columns)), [names[index] for index in columns], rotation=60, ha="right")
    axis.set_yticks(range(len(happened)), [f"{names[index]} ({counts[index].sum()})" for index in happened])
    axis.grid(visible=False)
    axis.set_xlabel("answered")
    axis.set_ylabel("true (ticks)")
    axis.set_title(f"{title}, % of each row")
    if len(columns) <= MOST_NUMBERED:
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.5:
                colour = "white" if share > 55 else "black"
                axis.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=7, color=colour)
    plots.write(figure, path)
