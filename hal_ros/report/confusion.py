"""A confusion table as SVG: true actions down, answers across, each row in percent of its ticks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from hal_ros.report.timeline import LETTER_WIDTH_PX, STYLE

CELL_PX, MARGIN_PX, TITLE_PX = 34, 12, 30
BLUE = "#0969da"
LEAST_PERCENT = 0.5
"""Smaller shares are coloured, but get no number."""


def confusion_svg(counts: NDArray[np.int64], vocabulary: Sequence[str], title: str) -> str:
    """Return a picture file of ticks (K, K + 1), as `metrics.confusion.count_confusions` gives them.

    Actions that never happened have no row, and no column unless they were answered.
    """
    rows = np.flatnonzero(counts.sum(1))
    columns = np.union1d(rows, np.flatnonzero(counts.sum(0)))
    names = [*vocabulary, "no answer"]
    heads = [f"{names[row]} ({counts[row].sum()})" for row in rows]
    left = 2 * MARGIN_PX + LETTER_WIDTH_PX * max(map(len, heads), default=0)
    top = TITLE_PX + MARGIN_PX + 0.75 * LETTER_WIDTH_PX * max((len(names[column]) for column in columns), default=0)
    parts = [f'<text x="{MARGIN_PX}" y="20" font-weight="600" fill="currentColor">{escape(title)}</text>']
    parts += [
        f'<text x="{left - 6:.1f}" y="{_middle(top, place) + 4:.1f}" text-anchor="end" fill="currentColor">'
        f"{escape(head)}</text>"
        for place, head in enumerate(heads)
    ]
    parts += [
        f'<text transform="translate({_middle(left, place):.1f} {top - 6:.1f}) rotate(-48)" fill="currentColor">'
        f"{escape(names[column])}</text>"
        for place, column in enumerate(columns)
    ]
    parts += _cells(counts[np.ix_(rows, columns)], counts[rows].sum(1), (left, top))
    longest = LETTER_WIDTH_PX * max((len(names[column]) for column in columns), default=0)
    width = max(left + CELL_PX * len(columns) + 0.7 * longest, LETTER_WIDTH_PX * (len(title) + 6)) + MARGIN_PX
    height = top + CELL_PX * len(rows) + MARGIN_PX
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'role="img" aria-label="{escape(title, quote=True)}" font-size="12"><style>{STYLE}</style>'
        f"{''.join(parts)}</svg>\n"
    )


def _middle(start: float, place: int) -> float:
    return start + CELL_PX * (place + 0.5)


def _cells(shown: NDArray[np.int64], totals: NDArray[np.int64], corner: tuple[float, float]) -> Iterator[str]:
    for (row, column), ticks in np.ndenumerate(shown):
        share = 100 * ticks / totals[row]
        x, y = corner[0] + CELL_PX * column, corner[1] + CELL_PX * row
        yield (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{CELL_PX - 1}" height="{CELL_PX - 1}" fill="{BLUE}" '
            f'fill-opacity="{0.04 + 0.96 * share / 100:.2f}"><title>{ticks} ticks, {share:.1f} %</title></rect>'
        )
        if share >= LEAST_PERCENT:
            colour = "#ffffff" if share > 50 else "currentColor"
            yield (
                f'<text x="{x + CELL_PX / 2:.1f}" y="{y + CELL_PX / 2 + 4:.1f}" text-anchor="middle" fill="{colour}">'
                f"{share:.0f}</text>"
            )
