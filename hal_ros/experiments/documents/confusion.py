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
from hal_ros.report.confusion import confusion_svg
from hal_ros.report.svg_files import write_svg


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


def draw(counts: NDArray[np.int64], vocabulary: Sequence[str], title: str, path: Path) -> None:
    """Write the table as a picture; see `report.confusion`."""
    write_svg(path, confusion_svg(counts, vocabulary, f"{title}, % of each row's ticks"))
