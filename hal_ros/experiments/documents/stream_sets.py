"""What each stream adds, as files: rows, tables, differences to today's model, verdicts and a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hal_ros.experiments.blocks import WEAK
from hal_ros.experiments.documents import aims
from hal_ros.experiments.documents.aims import Verdict
from hal_ros.experiments.documents.markdown import (
    COLUMNS,
    RECALL,
    SEGMENTS,
    TICKS,
    RowIndex,
    SystemScores,
    markdown,
    pooled,
    rows_of,
    unfinished,
)
from hal_ros.experiments.documents.results import Results
from hal_ros.experiments.documents.rows import write_document, write_records
from hal_ros.experiments.plan import MAIN, STREAMS
from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL
from hal_ros.metrics.scores import Row, RowKey
from hal_ros.report import plots

COMMAND = "hal tables --dataset streams"
TODAY, BEST = "front + joints", "front + wrist + joints"
"""The set that others are compared with, and the one that is to be ahead of it."""
COMPARED = ("MoF", "Edit", "F1@50", "boundary F1@0.5s")
AIMED, AIMED_SPLIT, LEAST_POINTS = ("MoF", "F1@50"), "unseen", 4.0
LEAST_RECALL = 60.0
"""Percent of an action's ticks."""


class Difference(NamedTuple):
    """How far one set is ahead of another, in points: mean and standard deviation over the seeds of both."""

    mean: float
    std: float | None  # None for a single seed
    seeds: int


@dataclasses.dataclass(frozen=True)
class Recalled:
    """Which actions are scored by themselves, and what the splits are called of which that is done."""

    actions: tuple[str, ...] = ()
    split: str = ""


def write(folder: Path, parts: Sequence[Results]) -> None:
    """Write streams.json, streams.md and streams.svg of as much as is done; print the verdicts."""
    entries = entries_of(parts)
    rows = [row for entry in entries for row in rows_of(entry)]
    write_records(folder / f"{STREAMS}.json", [record(row) for row in rows])
    recalled = _recalled(parts)
    verdicts = judge(entries, recalled)
    picture = f"{STREAMS}.svg"
    draw(entries, folder / picture)
    text = _document(entries, parts[0].splits, recalled, verdicts, picture)
    write_document(folder / f"{STREAMS}.md", text)
    print(f"{STREAMS}: {len(rows)} rows in {folder / STREAMS}.json, tables in {STREAMS}.md")
    for line in aims.verdict_lines(verdicts):
        print(line)


def entries_of(parts: Sequence[Results]) -> list[SystemScores]:
    """Return a line for each supervision and set, under the set's name."""
    found = [dataclasses.replace(entry, system=part.experiment.part) for part in parts for entry in part.entries(MAIN)]
    order = list(dict.fromkeys(entry.supervision for entry in found))
    return sorted(found, key=lambda entry: order.index(entry.supervision))


def record(row: Row) -> dict[str, Any]:
    """Return a row in which the set of streams stands for the system."""
    fields = dataclasses.asdict(row)
    return {STREAMS: fields.pop("system"), **fields}


def _recalled(parts: Sequence[Results]) -> Recalled:
    settings = next((job.settings for job in parts[0].graph.jobs.values() if "recall" in job.settings), None)
    if settings is None:
        return Recalled()
    return Recalled(tuple(settings["recall"]["actions"]), pooled(settings["recall"]["splits"]))


# --- figures ----------------------------------------------------------------------------------------------------------


def difference(ours: SystemScores, other: SystemScores, split: str, metric: str) -> Difference | None:
    """Return how far one entry's confirmed answers are ahead of another's, seed by seed; None without a common seed."""
    pairs = [
        (value(mine, split, metric), value(theirs, split, metric))
        for mine, theirs in zip(ours.runs, other.runs, strict=True)
    ]
    ahead = [mine - theirs for mine, theirs in pairs if mine is not None and theirs is not None]
    if not ahead:
        return None
    return Difference(float(np.mean(ahead)), float(np.std(ahead, ddof=1)) if len(ahead) > 1 else None, len(ahead))


def value(run: Mapping[str, Any] | None, split: str, metric: str) -> float | None:
    """Return one run's score of confirmed answers; None where it was not measured."""
    found: float | None = (run or {}).get(split, {}).get(CONFIRMED, {}).get(metric)
    return found


def judge(entries: Sequence[SystemScores], recalled: Recalled) -> list[Verdict]:
    """Tell whether the set that is to be ahead is far enough, under transcripts, and finds the rare actions."""
    weak = {entry.system: entry for entry in entries if entry.supervision == WEAK}
    best, today = weak.get(BEST), weak.get(TODAY)
    found = []
    for metric in AIMED:
        text = f"{metric}, {AIMED_SPLIT}: {BEST} at least {LEAST_POINTS:g} points above {TODAY}"
        ahead = difference(best, today, AIMED_SPLIT, metric) if best and today else None
        found.append(Verdict(text, _signed(ahead), None if ahead is None else ahead.mean >= LEAST_POINTS))
    index = RowIndex(rows_of(best) if best else [])
    for action in recalled.actions:
        text = f"{RECALL} of {action}, {recalled.split}: at least {LEAST_RECALL:g} % of its ticks, {BEST}"
        key = RowKey(BEST, WEAK, recalled.split, CONFIRMED, f"{RECALL} {action}")
        row = index.get(key)
        mean = None if row is None else row.mean
        segments = _count(index, dataclasses.replace(key, metric=f"{SEGMENTS} {action}"))
        found.append(
            Verdict(text, f"{_figure(row)}; {segments} segments", None if mean is None else mean >= LEAST_RECALL)
        )
    return found


# --- the document -----------------------------------------------------------------------------------------------------


def _document(
    entries: Sequence[SystemScores],
    splits: Sequence[str],
    recalled: Recalled,
    verdicts: Sequence[Verdict],
    picture: str,
) -> str:
    title = "Confirmed answers by set of streams, mean and standard deviation over seeds"
    parts = [
        "# What each stream adds",
        f"Made by `{COMMAND}`, written again by the same with `--report`. The student on five sets of the simulated"
        f" robot's streams; *all* adds the wrench at the wrist and the tool's pose; *{TODAY}* is models/tabletop,"
        " *all* models/tabletop_all. Each set has its own eyes, teacher, student and decoder, the last fitted to the"
        " validation targets. Mean ± standard deviation over seeds; scores in percent, latencies in seconds;"
        " definitions in [metrics.md](../metrics.md).",
        "## What was aimed at",
        "\n".join(aims.verdict_lines(verdicts)),
        f"![{title}]({picture})",
    ]
    for split in splits:
        parts += [f"## Scores, {split}", markdown(entries, split, (PROVISIONAL, CONFIRMED), title="streams")]
    parts += [f"## Ahead of {TODAY}, confirmed", _differences(entries, splits)]
    if recalled.actions:
        parts += [f"## Rare actions, {recalled.split} as one, confirmed", _recall_table(entries, recalled)]
    if missing := unfinished(entries):
        parts += ["## Not finished", "\n".join(f"- {line}" for line in missing)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _differences(entries: Sequence[SystemScores], splits: Sequence[str]) -> str:
    """Return a table in points: of each seed's difference the mean and the standard deviation."""
    headings = [next(column.heading for column in COLUMNS if column.metric == metric) for metric in COMPARED]
    today = {entry.supervision: entry for entry in entries if entry.system == TODAY}
    lines = []
    for entry in entries:
        other = today.get(entry.supervision)
        if other is None or entry.system == TODAY:
            continue
        for split in splits:
            cells = [_signed(difference(entry, other, split, metric)) for metric in COMPARED]
            lines.append([entry.system, entry.supervision, split, *cells])
    return _table(["streams", "supervision", "split", *headings], lines, left=3)


def _recall_table(entries: Sequence[SystemScores], recalled: Recalled) -> str:
    lines = []
    for entry in entries:
        index = RowIndex(rows_of(entry))
        cells = []
        for action in recalled.actions:
            keys = [entry.key(recalled.split, CONFIRMED, f"{what} {action}") for what in (RECALL, SEGMENTS, TICKS)]
            cells += [_figure(index.get(keys[0])), _count(index, keys[1]), _count(index, keys[2])]
        lines.append([entry.system, entry.supervision, *cells])
    headings = [text for action in recalled.actions for text in (f"{action}, % of ticks", "segments", "ticks")]
    return _table(["streams", "supervision", *headings], lines, left=2)


def _table(headings: Sequence[str], lines: Sequence[Sequence[str]], left: int) -> str:
    rule = "|" + "---|" * left + "--:|" * (len(headings) - left)
    return "\n".join(["| " + " | ".join(headings) + " |", rule, *("| " + " | ".join(line) + " |" for line in lines)])


def _signed(found: Difference | None) -> str:
    if found is None:
        return "–"
    return f"{found.mean:+.1f}" + ("" if found.std is None else f" ± {found.std:.1f}")


def _figure(row: Row | None) -> str:
    if row is None or row.mean is None:
        return "–"
    return f"{row.mean:.1f}" + ("" if row.std is None else f" ± {row.std:.1f}")


def _count(index: RowIndex, key: RowKey) -> str:
    row = index.get(key)
    return "–" if row is None or row.mean is None else f"{row.mean:.0f}"


# --- the picture ------------------------------------------------------------------------------------------------------


@plots.styled
def draw(entries: Sequence[SystemScores], path: Path) -> None:
    """Write one panel for each metric that was aimed at: a point with its spread for each set and supervision."""
    figure, axes = plots.figure(10, 3.6, 1, len(AIMED), sharey=True)
    names = list(dict.fromkeys(entry.system for entry in entries))
    supervisions = list(dict.fromkeys(entry.supervision for entry in entries))
    for axis, metric in zip(axes[0], AIMED, strict=True):
        for number, supervision in enumerate(supervisions):
            rows = [
                (names.index(row.system) + 0.15 * number, row)
                for entry in entries
                if entry.supervision == supervision
                for row in rows_of(entry)
                if (row.split, row.output, row.metric) == (AIMED_SPLIT, CONFIRMED, metric)
            ]
            axis.errorbar(
                [row.mean for _, row in rows],
                [place for place, _ in rows],
                xerr=[row.std or 0.0 for _, row in rows],
                label=supervision,
                color=plots.hue(number),
                marker=plots.MARKERS[number],
                linestyle="none",
                markersize=5,
                elinewidth=0.8,
            )
        axis.set_yticks(range(len(names)), names)
        axis.set_xlabel(f"{metric}, {AIMED_SPLIT} (%)")
    axes[0][0].invert_yaxis()  # once: the panels share it
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    plots.write(figure, path)
