"""Setting up Matplotlib for pictures in the documents: no display, readable alone, the same bytes every time."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from hal_ros.core.palette import HUES
from hal_ros.report.svg_files import write_svg

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


def write_with_legend(made: Figure, axis: Any, title: str, path: Path) -> None:
    """Write the picture of several panels with one legend, that of `axis`, below them."""
    handles, names = axis.get_legend_handles_labels()
    if names:
        made.legend(handles, names, loc="outside lower center", ncols=4)
    made.suptitle(title)
    write(made, path)


def write(made: Figure, path: Path) -> None:
    """Write the picture, as SVG; ConfigError as `svg_files.write_svg`."""
    text = io.StringIO()
    made.savefig(text, format="svg", metadata={"Date": None}, dpi=100)
    # Matplotlib leaves blanks at the ends of lines
    write_svg(path, "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n")


def hue(index: int) -> str:
    """Return the colour of an action or of a line."""
    return HUES[index % len(HUES)]


def marker(index: int) -> str:
    """Return the marker of an action."""
    return MARKERS[index // len(HUES) % len(MARKERS)]
