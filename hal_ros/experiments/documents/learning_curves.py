"""Learning curves: accuracy against the number of episodes to learn from, the smaller numbers within the larger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hal_ros.experiments.documents.markdown import COLUMNS, RowIndex, rows_of
from hal_ros.experiments.documents.results import Results
from hal_ros.experiments.plan import MAIN
from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL
from hal_ros.metrics.scores import Row, RowKey
from hal_ros.report import plots

SHOWN = ("MoF", "Edit", "F1@50")


class Learner(NamedTuple):
    """What learns, and from what."""

    system: str
    supervision: str


def learners(parts: Sequence[Results]) -> list[Learner]:
    """Return the lines of the main table that stand in the experiment on the fewest episodes."""
    first = min(parts, key=episodes)
    return [Learner(line.system, line.supervision) for line in first.lines if line.section == MAIN]


def episodes(part: Results) -> int:
    """Return how many there are to learn from, those to choose by included."""
    return part.experiment.episodes


def section(parts: Sequence[Results], folder: Path, picture: str) -> list[str]:
    """Return the parts of a document, the picture written: of experiments on growing numbers of episodes."""
    split = parts[-1].splits[-1]
    found = [f"## By episodes, {split}, {CONFIRMED}", table(parts, split)]
    measured = [part for part in parts if any(_row(part, learner, split, SHOWN[0]) for learner in learners(parts))]
    if len(measured) < 2:
        return found  # points are no curve
    draw(measured, split, folder / picture)
    return [*found, f"![Scores by episodes]({picture})"]


def table(parts: Sequence[Results], split: str) -> str:
    """Return a line for each learner and number of episodes."""
    headings = {column.metric: column.heading for column in COLUMNS}
    lines = [
        "| system | supervision | episodes | " + " | ".join(headings[metric] for metric in SHOWN) + " |",
        "|---|---|--:|" + "--:|" * len(SHOWN),
    ]
    for learner in learners(parts):
        for part in parts:
            cells = [_cell(_row(part, learner, split, metric)) for metric in SHOWN]
            lines.append(f"| {learner.system} | {learner.supervision} | {episodes(part)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _row(part: Results, learner: Learner, split: str, metric: str) -> Row | None:
    entries = [entry for entry in part.entries(MAIN) if (entry.system, entry.supervision) == learner]
    rows = RowIndex([row for entry in entries for row in rows_of(entry)])
    found = (rows.get(RowKey(*learner, split, output, metric)) for output in (CONFIRMED, PROVISIONAL))
    return next((row for row in found if row is not None), None)


def _cell(row: Row | None) -> str:
    if row is None or row.mean is None:
        return "–"
    return f"{row.mean:.1f}" + ("" if row.std is None else f" ± {row.std:.1f}")


@plots.styled
def draw(parts: Sequence[Results], split: str, path: Path) -> None:
    """Write one panel for each metric of SHOWN, a line for each learner."""
    figure, axes = plots.figure(11, 4.2, 1, len(SHOWN))
    found = learners(parts)
    several = len({learner.supervision for learner in found}) > 1
    for axis, metric in zip(axes[0], SHOWN, strict=True):
        for index, learner in enumerate(found):
            points = [(episodes(part), _row(part, learner, split, metric)) for part in parts]
            known = [(count, row.mean, row.std or 0.0) for count, row in points if row and row.mean is not None]
            if known:
                counts, means, stds = zip(*known, strict=True)
                look = {"color": plots.hue(index), "marker": plots.MARKERS[index % len(plots.MARKERS)]}
                label = ", ".join(learner) if several else learner.system
                axis.errorbar(counts, means, stds, label=label, linewidth=1.2, elinewidth=0.7, **look)
        axis.set_xlabel("episodes to learn from, those to choose by included")
        axis.set_ylabel(f"{metric} (%)")
    plots.write_with_legend(figure, axes[0][0], f"{split}, {CONFIRMED}", path)
