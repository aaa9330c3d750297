"""Setting up Matplotlib for pictures in the documents: no display, readable alone, the same bytes every time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from hal_ros.core.palette import HUES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "hal_ros",  # ids of clip paths would differ from run to run
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#d0d7de",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
}
MARKERS = "os^Dv"
"""Beyond the hues' number, another marker tells actions apart."""


Arguments = ParamSpec("Arguments")


def styled(draw: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Give a function that draws the pictures' style."""

    @functools.wraps(draw)
    def in_style(*args: Arguments.args, **options: Arguments.kwargs) -> None:
        from matplotlib import rc_context

        with rc_context(STYLE):
            draw(*args, **options)

    return in_style


def figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Return a figure of inches and its axes (rows, columns)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # late: only pictures need Matplotlib
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made, made.subplots(rows, columns, squeeze=False, **options)


def write(made: Figure, path: Path) -> None:
    """Write the picture; the format follows the file's name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    vector = path.suffix == ".svg"
    made.savefig(path, metadata={"Date": None} if vector else None, dpi=100)
    if vector:  # Matplotlib leaves blanks at the ends of lines
        path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def hue(index: int) -> str:
    """Return the colour of an action or of a line."""
    return HUES[index % len(HUES)]


def marker(index: int) -> str:
    """Return the marker of an action."""
    return MARKERS[index // len(HUES) % len(MARKERS)]
