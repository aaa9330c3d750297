"""A recording's report: the page is written, its numbers are printed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from rich.table import Table

from hal_ros.core.errors import ConfigError
from hal_ros.offline.recording import Recording, read_recording
from hal_ros.outside import outputs
from hal_ros.outside.console import PrintableConsole
from hal_ros.report.page import Summary, metric_table, render, shown_events, summarise
from hal_ros.report.streams import read_all_pictures

IS_REPORT = outputs.has_mark("· action segmentation report</title>")


def write_and_print(
    recording: Path, page: Path, namespace: str | None = None, annotation: Path | None = None
) -> Summary:
    """Write the report of a recording, of the robot in `namespace` where it holds several, and print its numbers.

    The truth is the recorded one, or that of an annotation: see `read_recording` for what it raises.
    Raises ConfigError without jinja2, when the page can't be written, or when something else than an earlier report has
    its name.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise ConfigError("the report needs jinja2, which is not installed; expected `pip install hal_ros[report]`")
    outputs.check_file(page, IS_REPORT, "a report")  # before the work
    read = read_recording(recording, namespace, annotation)
    summary = summarise(read)
    pictures = read_all_pictures(recording, read, shown_events(read))
    outputs.replace_text(page, render(read, summary, pictures), IS_REPORT, "a report")
    _print(read, summary, page)
    return summary


def _print(recording: Recording, summary: Summary, page: Path) -> None:
    labels, boundaries = len(recording.labels), len(recording.events)
    console = PrintableConsole()
    console.print(f"{recording.name}: {summary.duration_s:.1f} s, {labels} labels, {boundaries} boundaries")
    console.print(
        _table(summary)
        if summary.metrics
        else "no truth recorded, and no annotation.json beside it: nothing to score against"
    )
    if summary.latency_ms is not None:
        p50, p99 = np.percentile(summary.latency_ms, [50, 99])
        console.print(f"{summary.latency_from} to label received: median {p50:.1f} ms, p99 {p99:.1f} ms")
    elif recording.offline:
        console.print("labelled offline: there is no latency to tell")
    console.print(f"report: {page}", soft_wrap=True)


def _table(summary: Summary) -> Table:
    table = Table(title="against the truth", title_justify="left")
    table.add_column("metric")
    table.add_column("provisional", justify="right")
    table.add_column("confirmed", justify="right")
    for row in metric_table(summary):
        table.add_row(row.name, row.provisional, row.confirmed)
    return table
