"""The results of robots that others modelled, as files: rows, and a table for each robot."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hal_ros.experiments.documents import learning_curves, minutes
from hal_ros.experiments.documents.markdown import markdown, rows_of, unfinished
from hal_ros.experiments.documents.report import OFFLINE_NOTE
from hal_ros.experiments.documents.results import Results
from hal_ros.experiments.documents.rows import write_document, write_records
from hal_ros.experiments.plan import MAIN, OTHER_ROBOTS, REFERENCES
from hal_ros.metrics.decoded import OFFLINE
from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL
from hal_ros.metrics.scores import Row

COMMAND = "hal tables --dataset other_robots"


def write(folder: Path, parts: Sequence[Results]) -> None:
    """Write other_robots.json and other_robots.md of as much as is done."""
    records = [record(part.experiment.part, row) for part, *_ in by_robot(parts) for row in _rows(part)]
    write_records(folder / f"{OTHER_ROBOTS}.json", records)
    write_document(folder / f"{OTHER_ROBOTS}.md", _document(folder, parts))
    print(f"{OTHER_ROBOTS}: {len(records)} rows in {folder / OTHER_ROBOTS}.json, tables in {OTHER_ROBOTS}.md")


def by_robot(parts: Sequence[Results]) -> list[list[Results]]:
    """Return the experiments of each robot, the one on all its episodes first."""
    found: dict[str, list[Results]] = {}
    for part in parts:
        found.setdefault(part.experiment.part, []).append(part)
    return [sorted(each, key=lambda part: -learning_curves.episodes(part)) for each in found.values()]


def _told_and_fewer(folder: Path, part: Results, fewer: Sequence[Results]) -> list[str]:
    """Return tables and pictures of what some annotations buy, and of what fewer episodes cost."""
    robot, split = part.experiment.part, part.splits[-1]
    found = [*minutes.section(part, split, folder, f"{OTHER_ROBOTS}-{robot}-minutes.svg")]
    found = [f"## {robot}, {split}: minutes of a person", *found] if found else []
    if fewer:
        title, *curve = learning_curves.section([*fewer[::-1], part], folder, f"{OTHER_ROBOTS}-{robot}-episodes.svg")
        found += [title.replace("## By", f"## {robot}: by"), *curve]
    return found


def record(dataset: str, row: Row) -> dict[str, Any]:
    """Return a row that says of which robot it is."""
    return {"dataset": dataset, **dataclasses.asdict(row)}


def _rows(part: Results) -> list[Row]:
    return [row for entry in part.entries(MAIN, REFERENCES) for row in rows_of(entry)]


def _document(folder: Path, parts: Sequence[Results]) -> str:
    text = [
        "# Results on other robots",
        f"Made by `{COMMAND}`, written again by the same with `--report`; the bags are made by `make other-robots`."
        " Mean ± standard deviation over seeds; scores in percent, latencies in seconds; definitions in"
        " [metrics.md](../metrics.md). Half of the test episodes have an order of phases that training never shows."
        " All systems under one supervision learn the same targets from the same inputs, and have the same kind of"
        " decoder, fitted to the validation targets. " + cost_notes(parts),
    ]
    missing = []
    for part, *fewer in by_robot(parts):
        robot, entries, references = part.experiment.part, part.entries(MAIN), part.entries(REFERENCES)
        for split in part.splits:
            text += [f"## {robot}, {split}: {_size(part)}", markdown(entries, split, (PROVISIONAL, CONFIRMED))]
            text += [OFFLINE_NOTE, markdown(references, split, (OFFLINE,))] if references else []
        text += _told_and_fewer(folder, part, fewer)
        missing += [f"- {robot}: {line}" for line in unfinished([*entries, *references])]
    if missing:
        text += ["## Not finished", "\n".join(missing)]
    return "\n\n".join(each.rstrip("\n") for each in text) + "\n"


def cost_notes(parts: Sequence[Results]) -> str:
    """Return what the times of ticks are, in the tables of several experiments."""
    return " ".join(dict.fromkeys(part.cost_note for part in parts))


def _size(part: Results) -> str:
    """Return how many episodes there are of each split, and how many actions."""
    episodes = part.experiment.places["episodes"]
    counts = ", ".join(f"{len(folders)} {split}" for split, folders in episodes.items())
    return f"{len(part.experiment.vocabulary)} actions, episodes: {counts}"
