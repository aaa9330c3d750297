"""Timelines of actions as SVG: one track for each sequence, one colour for each action, readable on light and dark.

The palette's eight hues carry the first eight actions; the next eight carry the same hues with stripes. Wide segments
name their action; every segment names it in its tooltip.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from hal_ros.core.palette import DARK, HUES

TRACK_HEIGHT_PX, TRACK_GAP_PX, AXIS_HEIGHT_PX, LINE_GAP_PX, TITLE_HEIGHT_PX = 24, 5, 22, 14, 30
LETTER_WIDTH_PX = 6.4
TICK_STEPS_S = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 3600, 1e9)

STYLE = """
svg { color: #1f2328; background: #ffffff; font: 12px system-ui, sans-serif }
@media (prefers-color-scheme: dark) { svg { color: #e6edf3; background: #0d1117 } }
"""


class Bar(NamedTuple):
    """One action over [start_s, end_s); '' is a stretch without an answer and is left blank."""

    action: str
    start_s: float
    end_s: float


class Track(NamedTuple):
    """One line of a timeline."""

    name: str
    bars: Sequence[Bar]


class Timeline(NamedTuple):
    """Tracks above one another on one time axis that begins at 0."""

    title: str
    tracks: Sequence[Track]
    duration_s: float


def action_colours(vocabulary: Sequence[str]) -> dict[str, str]:
    """Return an SVG fill for each action: eight plain hues, then the same ones striped, then from the start again."""
    fills = [*HUES, *(f"url(#striped-{index})" for index in range(len(HUES)))]
    return {action: fills[index % len(fills)] for index, action in enumerate(vocabulary)}


def stripes() -> str:
    """Return the definitions that action_colours refers to; a page needs them once, before their use."""
    patterns = "".join(
        f'<pattern id="striped-{index}" width="7" height="7" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate(45)"><rect width="7" height="7" fill="{hue}"/>'
        f'<rect width="2.6" height="7" fill="#ffffff" fill-opacity=".75"/></pattern>'
        for index, hue in enumerate(HUES)
    )
    return f"<defs>{patterns}</defs>"


def inline_svg(timeline: Timeline, vocabulary: Sequence[str], width_px: int = 1120) -> str:
    """Return a timeline for a page that brings `stripes`, font, colour and legend itself."""
    body, height = _timeline(timeline, action_colours(vocabulary), width_px)
    return _svg(body, width_px, height, timeline.title)


def standalone_svg(timelines: Sequence[Timeline], vocabulary: Sequence[str], width_px: int = 1120) -> str:
    """Return a picture file: legend, then each timeline beneath its title."""
    colours = action_colours(vocabulary)
    legend, y = _legend(vocabulary, colours, width_px)
    parts = [f"<style>{STYLE}</style>", stripes(), legend]
    for timeline in timelines:
        body, height = _timeline(timeline, colours, width_px)
        title = f'<text x="12" y="{y + 16}" font-weight="600" fill="currentColor">{escape(timeline.title)}</text>'
        parts.append(f'{title}<g transform="translate(0 {y + TITLE_HEIGHT_PX})">{body}</g>')
        y += TITLE_HEIGHT_PX + height
    return _svg("".join(parts), width_px, y, "; ".join(timeline.title for timeline in timelines))


def _svg(body: str, width_px: int, height_px: int, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width_px} {height_px}" width="100%" role="img" '
        f'aria-label="{escape(title, quote=True)}" font-size="12">{body}</svg>'
    )


def line_length_s(duration_s: float, longest_s: float = 30.0, most_lines: int = 12) -> float:
    """Return how many seconds one line of a timeline should span, so that a long recording folds into few lines."""
    if duration_s <= longest_s * 1.25:
        return max(duration_s, 1.0)
    return max(longest_s, duration_s / most_lines)


class _Axis(NamedTuple):
    start_s: float
    end_s: float
    left_px: float
    scale: float  # pixels a second

    def x(self, time_s: float) -> float:
        return self.left_px + (time_s - self.start_s) * self.scale


def _timeline(timeline: Timeline, colours: dict[str, str], width_px: int) -> tuple[str, int]:
    """Return the markup of all lines and their height."""
    span_s = line_length_s(timeline.duration_s)
    lines = max(1, int(-(-timeline.duration_s // span_s)))
    line_height = len(timeline.tracks) * (TRACK_HEIGHT_PX + TRACK_GAP_PX) + AXIS_HEIGHT_PX + LINE_GAP_PX
    left_px = 24 + 6.8 * max((len(track.name) for track in timeline.tracks), default=0)
    scale = (width_px - left_px - 14) / span_s
    parts = []
    for line in range(lines):
        axis = _Axis(line * span_s, min(timeline.duration_s, (line + 1) * span_s), left_px, scale)
        body = "".join(_track(track, index, colours, axis) for index, track in enumerate(timeline.tracks))
        marks = _axis_marks(axis, len(timeline.tracks) * (TRACK_HEIGHT_PX + TRACK_GAP_PX))
        parts.append(f'<g transform="translate(0 {line * line_height})">{body}{marks}</g>')
    return "".join(parts), lines * line_height


def _track(track: Track, index: int, colours: dict[str, str], axis: _Axis) -> str:
    y = index * (TRACK_HEIGHT_PX + TRACK_GAP_PX)
    width = (axis.end_s - axis.start_s) * axis.scale
    name = escape(track.name)
    head = (
        f'<text x="{axis.left_px - 8:.0f}" y="{y + 16}" text-anchor="end" fill="currentColor">{name}</text>'
        f'<rect x="{axis.left_px:.1f}" y="{y}" width="{width:.1f}" height="{TRACK_HEIGHT_PX}" '
        f'fill="currentColor" fill-opacity=".07"/>'
    )
    return head + "".join(_bar(bar, colours, axis, y) for bar in track.bars if bar.action)


def _bar(bar: Bar, colours: dict[str, str], axis: _Axis, y: float) -> str:
    start_s, end_s = max(bar.start_s, axis.start_s), min(bar.end_s, axis.end_s)
    if end_s <= start_s:
        return ""
    x, width = axis.x(start_s), (end_s - start_s) * axis.scale
    fill = colours.get(bar.action, "none")
    tooltip = f"{bar.action}: {bar.start_s:.2f} s to {bar.end_s:.2f} s ({bar.end_s - bar.start_s:.2f} s)"
    # A sliver is left free on the right, so that neighbours of one hue stay two.
    body = f'<rect x="{x:.1f}" y="{y}" width="{max(0.6, width - 0.8):.1f}" height="{TRACK_HEIGHT_PX}" fill="{fill}"/>'
    letters = int((width - 10) / LETTER_WIDTH_PX)
    if letters >= min(4, len(bar.action)):
        body += _bar_text(_shortened(bar.action, letters), fill, x, y)
    return f"<g><title>{escape(tooltip)}</title>{body}</g>"


def _bar_text(text: str, fill: str, x: float, y: float) -> str:
    letter = "#ffffff" if fill in DARK else "#000000"
    plate = ""
    if fill.startswith("url"):  # letters on stripes need calm ground
        size = f'width="{len(text) * LETTER_WIDTH_PX + 6:.1f}" height="16" rx="3"'
        plate = f'<rect x="{x + 3:.1f}" y="{y + 4}" {size} fill="#ffffff" fill-opacity=".85"/>'
    return f'{plate}<text x="{x + 6:.1f}" y="{y + 16}" fill="{letter}" font-size="11">{escape(text)}</text>'


def _shortened(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: max(1, letters - 1)] + "…"


def _axis_marks(axis: _Axis, y: float) -> str:
    step_s = next(step for step in TICK_STEPS_S if step * axis.scale >= 55 or step == TICK_STEPS_S[-1])
    marks, time_s = [], -(-axis.start_s // step_s) * step_s
    while time_s <= axis.end_s + 1e-9:
        x = axis.x(time_s)
        marks.append(
            f'<path d="M{x:.1f} {y}v5" stroke="currentColor" stroke-opacity=".5"/>'
            f'<text x="{x:.1f}" y="{y + 18}" text-anchor="middle" fill="currentColor" fill-opacity=".75" '
            f'font-size="11">{time_s:g} s</text>'
        )
        time_s += step_s
    return "".join(marks)


def _legend(vocabulary: Sequence[str], colours: dict[str, str], width_px: int) -> tuple[str, int]:
    """Return the legend of a picture file and the height that it takes."""
    parts: list[str] = []
    x, y = 12, 10
    for action in vocabulary:
        width = 34 + 7 * len(action)
        if x + width > width_px:
            x, y = 12, y + 22
        parts.append(
            f'<rect x="{x}" y="{y}" width="16" height="14" rx="2" fill="{colours[action]}"/>'
            f'<text x="{x + 22}" y="{y + 11}" fill="currentColor">{escape(action)}</text>'
        )
        x += width
    return "".join(parts), y + 28
