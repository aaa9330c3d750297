"""The results on one's own data, as files: rows, tables, a learning curve, and which action is taken for which."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hal_ros.core.errors import ConfigError
from hal_ros.experiments.documents import confusion, learning_curves
from hal_ros.experiments.documents.markdown import markdown, rows_of, unfinished
from hal_ros.experiments.documents.report import answers_of
from hal_ros.experiments.documents.results import Results
from hal_ros.experiments.documents.rows import write_document, write_records
from hal_ros.experiments.plan import MAIN, NAMES, REFERENCES
from hal_ros.metrics.decoded import OFFLINE
from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL
from hal_ros.metrics.scores import Row

STUDENT = NAMES["student"]


def write(folder: Path, parts: Sequence[Results]) -> None:
    """Write <name>.json, <name>.md and pictures of as much as is done; print who is taken for whom.

    `parts` are experiments on growing numbers of episodes, all of them last.
    """
    name, _, _ = parts[-1].experiment.name.rpartition(": ")
    folder.mkdir(parents=True, exist_ok=True)
    records = [record(part.experiment.part, row) for part in parts for row in _rows(part)]
    write_records(folder / f"{name}.json", records)
    text = [_head(name), *_tables(parts[-1])]
    if len(parts) > 1:
        text += learning_curves.section(parts, folder, f"{name}-episodes.svg")
    lines = _confusions(parts[-1], folder / f"{name}-confusion.svg")
    if lines:
        text += [
            "## Who is taken for whom",
            f"![Confusions]({name}-confusion.svg)",
            "\n".join(f"- {li}" for li in lines),
        ]
    missing = [
        f"- {part.experiment.part} episodes, {line}" for part in parts for line in unfinished(part.entries(MAIN))
    ]
    text += ["## Not finished", "\n".join(missing)] if missing else []
    write_document(folder / f"{name}.md", "\n\n".join(part.rstrip("\n") for part in text) + "\n")
    print(*lines, f"{name}: {len(records)} rows in {folder / name}.json, tables in {name}.md", sep="\n")


def record(episodes: str, row: Row) -> dict[str, Any]:
    """Return a row that says of how many episodes to learn from it is."""
    return {"episodes": int(episodes), **dataclasses.asdict(row)}


def _rows(part: Results) -> list[Row]:
    return [row for entry in part.entries(MAIN, REFERENCES) for row in rows_of(entry)]


def _head(name: str) -> str:
    return (
        f"# Results on {name}\n\nMade by `hal tables --config` from the settings of that name, written again by the"
        " same with `--report`. Mean ± standard deviation over seeds; folds are pooled. Scores in percent, latencies in"
        " seconds, lag counted. All systems learn the same targets from the same clips and have the same kind of"
        " decoder, fitted to the validation targets; with `decoder: auto` the kind that these prefer."
    )


def _tables(part: Results) -> list[str]:
    entries, episodes = part.entries(MAIN, REFERENCES), part.experiment.part
    found = []
    for split in part.splits:
        shown = (PROVISIONAL, CONFIRMED, OFFLINE)
        found += [f"## {split}, {episodes} episodes to learn from", markdown(entries, split, shown)]
    return found


# --- who is taken for whom --------------------------------------------------------------------------------------------


def _confusions(part: Results, picture: Path) -> list[str]:
    """Draw the student's confusions, first seed, all folds; returns the worst pairs, nothing if it isn't done."""
    line = next((line for line in part.lines if (line.section, line.system) == (MAIN, STUDENT)), None)
    if line is None:
        raise ConfigError(f"{part.experiment.name}: has no {STUDENT}; expected one, whose confusions are drawn")
    if not part.store.done(part.graph, line.scores[0]):
        return []
    clips, outputs = answers_of(part, line, part.splits[-1])
    counts = confusion.confusions(clips, outputs, CONFIRMED, len(part.experiment.vocabulary))
    confusion.draw(counts, part.experiment.vocabulary, f"{STUDENT}, {part.splits[-1]}, {CONFIRMED}", picture)
    return confusion.worst_lines(counts, part.experiment.vocabulary)
