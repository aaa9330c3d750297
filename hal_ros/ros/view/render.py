"""Draws a ViewState for a terminal: full screen, or one plain line. Pure: one state, always the same characters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.align import Align
from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hal_ros.core.palette import DARK, HUES, SHADES
from hal_ros.ros.view.state import WINDOW_S, Mark, ViewState, cells

COLOURS = (*HUES, *SHADES)
_NAME_WIDTH = 12
TALL = 34  # lines from which on everything is drawn larger


def colour(action: str, vocabulary: Sequence[str]) -> str:
    """Return the style of an action: its colour by id as background, the report's own, and a readable foreground."""
    index = vocabulary.index(action) if action in vocabulary else sum(action.encode())
    background = COLOURS[index % len(COLOURS)]
    return f"{'#ffffff' if background in DARK else '#000000'} on {background}"


def render(state: ViewState, width: int, height: int) -> RenderableType:
    """Return the whole screen, for a terminal of width x height characters (80x24 or more looks best)."""
    thickness = 2 if height >= TALL else 1
    rows = 4 if state.options else 3
    fixed = (1, 4 + 2 * thickness, 3 + rows * thickness, 1)  # header, action, timeline, footer
    layout = Layout()
    layout.split_column(
        Layout(_header(state, width), size=fixed[0]),
        Layout(_action_panel(state, width, thickness), size=fixed[1]),
        Layout(_timeline_panel(state, width, thickness), size=fixed[2]),
        Layout(name="details", minimum_size=4),
        Layout(_footer(state), size=fixed[3]),
    )
    rows = max(height - sum(fixed) - 2, 2)  # what is left within the panel's own border
    layout["details"].split_row(
        Layout(_boundaries_panel(state, rows), ratio=5), Layout(_figures_panel(state), ratio=4, minimum_size=34)
    )
    return layout


def plain_line(state: ViewState) -> str:
    """Return one line for a log or a pipe."""
    parts = [f"{state.elapsed_s:6.1f} s", f"{state.action or '-':<18} {state.confidence:4.2f}"]
    parts.append(f"confirmed {state.confirmed_action or '-':<18}")
    if state.truth:
        parts.append(f"truth {_last(state.truth):<18}")
    parts.append(f"{_streams(state) or f'images {_hz(state.image_hz)}'}, labels {_hz(state.label_hz)}")
    parts.append(f"latency {_ms(state.latency_p50_ms)}/{_ms(state.latency_p99_ms)} ms")
    parts.append(f"dropped {sum(state.dropped.values())}")
    if state.notice:
        parts.append(state.notice)
    return " | ".join(parts)


def timeline_row(marks: Sequence[Mark], state: ViewState, width: int, named: bool = True) -> Text:
    """Return one row of the timeline: coloured runs of the window, each with its action's name where that fits."""
    row = Text(no_wrap=True)
    for action, run in groupby(cells(marks, state.now_ns, WINDOW_S, width)):
        length = len(list(run))
        if not action:
            row.append("·" * length, style="dim")
            continue
        name = action.replace("_", " ")
        shown = f" {name}" if length > len(name) + 1 else f" {name[: length - 2]}…" if length > 4 else ""
        row.append((shown if named else "").ljust(length), style=colour(action, state.vocabulary))
    return row


def _header(state: ViewState, width: int) -> Text:
    left = Text.assemble((" hal_ros ", "bold #000000 on #dddddd"), f" {state.title}")
    clock = _clock(state.elapsed_s) + (f" / {_clock(state.duration_s)} " if state.duration_s is not None else " ")
    left.truncate(max(width - len(clock) - 1, 1), overflow="ellipsis")
    return left + Text(" " * max(width - left.cell_len - len(clock), 0)) + Text(clock, style="bold")


def _action_panel(state: ViewState, width: int, thickness: int) -> Panel:
    inner = width - 4
    name = state.action.replace("_", " ") or "waiting for the first label"
    spaced = " ".join(name.upper()).replace("     ", "   ")  # letters apart, words further apart
    shown = spaced if len(spaced) + 2 <= inner else name.upper()
    style = f"bold {colour(state.action, state.vocabulary)}" if state.action else "dim"
    band = Text(shown[:inner].center(inner), style=style)
    blanks = [Text(" " * inner, style=style)] * thickness
    return Panel(Group(*blanks, band, *blanks, _confidence_line(state, inner)), title="action now", title_align="left")


def _confidence_line(state: ViewState, width: int) -> Text:
    confirmed = ""
    if state.confirmed_action:
        lag = "" if state.lag_s is None else f" {state.lag_s:.1f} s ago"
        name = state.confirmed_action.replace("_", " ")
        confirmed = f"confirmed{lag}: {name} {state.confirmed_confidence:.2f}"
    bar = max(width - len(confirmed) - 20, 10)
    filled = round(state.confidence * bar)
    style = "green" if state.confidence >= 0.7 else "yellow" if state.confidence >= 0.4 else "red"
    line = Text.assemble(
        "confidence ", ("█" * filled, style), ("░" * (bar - filled), "dim"), f" {state.confidence:.2f}"
    )
    line.append(" " * max(width - line.cell_len - len(confirmed), 1) + confirmed)
    line.no_wrap = True
    return line


def _timeline_panel(state: ViewState, width: int, thickness: int) -> Panel:
    inner = width - 4 - _NAME_WIDTH
    rows = Text(no_wrap=True)
    options = (("option", state.options),) if state.options else ()
    for name, marks in (
        ("truth", state.truth),
        ("provisional", state.provisional),
        ("confirmed", state.confirmed),
        *options,
    ):
        rows.append(name.ljust(_NAME_WIDTH))
        rows.append_text(timeline_row(marks, state, inner))
        rows.append("\n")
        for _ in range(thickness - 1):
            rows.append(" " * _NAME_WIDTH)
            rows.append_text(timeline_row(marks, state, inner, named=False))
            rows.append("\n")
    rows.append(" " * _NAME_WIDTH + _axis(inner), style="dim")
    return Panel(rows, title=f"last {WINDOW_S:.0f} s", title_align="left")


def _axis(width: int) -> str:
    axis = [" "] * width
    for seconds in range(int(WINDOW_S), 0, -10):
        mark = f"|-{seconds} s"
        start = round(width * (1 - seconds / WINDOW_S))
        axis[start : start + len(mark)] = mark
    axis[-4:] = "now|"
    return "".join(axis[:width])


def _boundaries_panel(state: ViewState, rows: int) -> Panel:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(justify="right", no_wrap=True, width=7)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(justify="right", no_wrap=True, width=11)
    table.add_row(*(Text(text, style="dim") for text in ("when", "change", "known after")))
    for boundary in state.boundaries[::-1][: rows - 1]:
        change = Text.assemble(
            boundary.from_action.replace("_", " ") or "start",
            (" → ", "dim"),
            (boundary.to_action.replace("_", " ") or "end", "bold"),
        )
        age_s = (boundary.stamp_ns - state.now_ns) * 1e-9
        table.add_row(f"{age_s:.1f} s", change, f"{boundary.latency_s:.2f} s")
    return Panel(table, title=f"boundaries: {state.boundary_count}", title_align="left")


def _figures_panel(state: ViewState) -> Panel:
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    streams = _streams(state)
    table.add_row("streams" if streams else "images", f"{streams or _hz(state.image_hz)} Hz")
    table.add_row("labels", f"{_hz(state.label_hz)} Hz, {state.label_count} in all")
    table.add_row("latency", f"p50 {_ms(state.latency_p50_ms)} ms, p99 {_ms(state.latency_p99_ms)} ms")
    factor = "-" if state.real_time_factor is None else f"{state.real_time_factor:.2f} x real time"
    table.add_row("robot", factor)
    table.add_row("backend", state.backend or "-")
    causes = [f"{cause} {count}" for cause, count in state.dropped.items() if count]
    table.add_row("dropped", Text(", ".join(causes) or "nothing", style="yellow" if causes else ""))
    return Panel(table, title="figures", title_align="left")


def _footer(state: ViewState) -> Align:
    notice = Text(f" {state.notice}", style="bold yellow") if state.notice else Text(" Ctrl-C ends it", style="dim")
    return Align.left(notice)


def _last(marks: Sequence[Mark]) -> str:
    return next((mark.action for mark in reversed(marks) if mark.action), "-")


def _hz(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _streams(state: ViewState) -> str:
    """Return each stream's messages per second."""
    return ", ".join(f"{name} {hz:.3g}" for name, hz in state.streams_hz.items())


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 60:02d}:{whole % 60:02d}"
