"""Accuracy against minutes of a person: what some annotations or marks beside the transcripts buy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hal_ros.datasets.config import TRAINING
from hal_ros.experiments.blocks import ANNOTATED, WEAK, TableBlock
from hal_ros.experiments.documents.markdown import (
    ALL_SPLITS,
    BOUNDARY_ERROR_MEDIAN,
    BOUNDARY_ERROR_P90,
    COLUMNS,
    MODEL,
    RowIndex,
    SystemScores,
    rows_of,
)
from hal_ros.experiments.documents.results import Results
from hal_ros.experiments.files import MINUTES
from hal_ros.experiments.plan import MAIN, NAMES, REFERENCES
from hal_ros.metrics.decoded import ALIGNED
from hal_ros.metrics.predictions import CONFIRMED
from hal_ros.metrics.scores import Row
from hal_ros.report import plots

SHOWN = ("MoF", "Edit", "F1@50", "boundary F1@0.25s", "boundary F1@0.5s")
DRAWN = ("MoF", "F1@50", "boundary F1@0.25s")
TARGETS = {"MoF": 1, BOUNDARY_ERROR_MEDIAN: 2, BOUNDARY_ERROR_P90: 2}
"""What is said of the targets of training clips, with its digits."""
ASSUMED = (
    "Minutes of a person beside writing transcripts, assumed (hal_ros/labels/doubtful.py): an annotation takes three"
    " times the episode's length and half a minute, a mark ten seconds. Which episodes are annotated, or boundaries"
    " marked, is drawn by the seed, more of them holding all of fewer; all other annotations of training and validation"
    " are hidden. *Targets*: right ticks (%) of training episodes, what was shown included, and by how much their"
    " boundaries are off (s). Confirmed answers."
)


@dataclass(frozen=True)
class ToldPoint:
    """One system under one block."""

    block: TableBlock
    scores: SystemScores
    targets: SystemScores | None  # the teacher's, whose targets it learns; None where they are the annotations


def points(results: Results) -> list[ToldPoint]:
    """Return the systems of blocks that show a share, under these and under all or none of the annotations."""
    blocks = results.experiment.plan.blocks
    shares = [block for block in blocks.values() if block.is_told and not block.mixed]
    systems = {NAMES[system] for block in shares for system in block.systems}
    compared = [block for block in blocks.values() if block in shares or block.name in (WEAK, ANNOTATED)]
    lines, teachers = results.entries(MAIN), results.entries(REFERENCES)
    found = []
    for block in sorted(compared, key=_order):
        targets = next((e for e in teachers if (e.system, e.supervision) == _teacher(block)), None)
        own = [entry for entry in lines if entry.supervision == block.name and entry.system in systems]
        found += [ToldPoint(block, entry, targets) for entry in own]
    return found


def _order(block: TableBlock) -> tuple[bool, bool, float, int]:
    return block.teacher is None, bool(block.share.marks), block.share.marks, block.share.annotated


def _teacher(block: TableBlock) -> tuple[str, str]:
    return NAMES[block.teacher] if block.teacher else "", block.name


def table(results: Results, split: str) -> str:
    """Return a line for each system and block."""
    headings = {column.metric: column.heading for column in COLUMNS}
    columns = ["told", "minutes", "targets right", "error median", "error p90", "system"]
    columns += [headings[metric] for metric in SHOWN]
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "--:|" * 4 + "---|" + "--:|" * len(SHOWN)]
    for point in points(results):
        rows = RowIndex(rows_of(point.scores))
        minutes = _cell(rows.get(point.scores.key(ALL_SPLITS, MODEL, MINUTES)), 1)
        scores = [_cell(rows.get(point.scores.key(split, CONFIRMED, metric)), 1) for metric in SHOWN]
        lines.append(
            "| " + " | ".join([point.block.name, minutes, *_targets(point), point.scores.system, *scores]) + " |"
        )
    return "\n".join(lines)


def _targets(point: ToldPoint) -> list[str]:
    if point.block.teacher is None:
        return ["annotations", "–", "–"]
    if point.targets is None:
        return ["–"] * len(TARGETS)
    rows = RowIndex(rows_of(point.targets))
    return [_cell(rows.get(point.targets.key(TRAINING, ALIGNED, metric)), digits) for metric, digits in TARGETS.items()]


def _cell(row: Row | None, digits: int) -> str:
    if row is None or row.mean is None:
        return "–"
    return f"{row.mean:.{digits}f}" + ("" if row.std is None else f" ± {row.std:.{digits}f}")


# --- the picture ------------------------------------------------------------------------------------------------------


@plots.styled
def draw(results: Results, split: str, path: Path) -> None:
    """Write one panel for each metric of DRAWN: annotated episodes as a line, marks as another, for each system."""
    found = points(results)
    figure, axes = plots.figure(11, 4.2, 1, len(DRAWN))
    for axis, metric in zip(axes[0], DRAWN, strict=True):
        for index, system in enumerate(dict.fromkeys(point.scores.system for point in found)):
            own = [point for point in found if point.scores.system == system]
            for what, chosen, style in (
                ("annotated episodes", [point for point in own if not point.block.share.marks], "-"),
                ("marks", [p for p in own if p.block.share.marks or p.block.name == WEAK], "--"),
            ):
                places = [place for point in chosen if (place := _place(point, split, metric))]
                if len(places) > 1:
                    x, y, spread = zip(*sorted(places), strict=True)
                    look = {"color": plots.hue(index), "marker": plots.MARKERS[index % len(plots.MARKERS)]}
                    label = f"{system}, {what}"
                    axis.errorbar(x, y, spread, label=label, linestyle=style, linewidth=1.2, elinewidth=0.7, **look)
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xlim(left=0)
        axis.set_xlabel("minutes of a person")
        axis.set_ylabel(f"{metric} (%)")
    plots.write_with_legend(figure, axes[0][0], f"{split}, {CONFIRMED}", path)


def _place(point: ToldPoint, split: str, metric: str) -> tuple[float, float, float] | None:
    rows = RowIndex(rows_of(point.scores))
    minutes, row = (
        rows.get(point.scores.key(*key)) for key in ((ALL_SPLITS, MODEL, MINUTES), (split, CONFIRMED, metric))
    )
    if minutes is None or row is None or minutes.mean is None or row.mean is None:
        return None
    return minutes.mean, row.mean, row.std or 0.0


def section(results: Results, split: str, folder: Path, picture: str) -> Sequence[str]:
    """Return the parts of a document, the picture written; nothing without blocks that show a share."""
    if not any(block.is_told and not block.mixed for block in results.experiment.plan.blocks.values()):
        return []
    draw(results, split, folder / picture)
    what = f"Accuracy against minutes of a person, {split}"
    return [ASSUMED, table(results, split), f"![{what}]({picture})"]
