"""Accuracy against latency: what waiting longer buys, by the model's lag and by the decoder's threshold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hal_ros.metrics.scores import Row
from hal_ros.report import plots


class Point(NamedTuple):
    """One setting of a curve: what it is called, and its rows by metric."""

    label: str
    rows: dict[str, Row]


class Curve(NamedTuple):
    """Points that differ in one setting; a single point is a system to compare with."""

    name: str
    points: Sequence[Point]


LATENCY = "latency median s"
SHOWN = ("MoF", "Edit", "F1@50")


@plots.styled
def draw(curves: Sequence[Curve], title: str, path: Path) -> None:
    """Write one panel for each metric of SHOWN: the score over the median latency, bars of one std both ways."""
    figure, axes = plots.figure(11, 4.2, 1, len(SHOWN))
    for axis, metric in zip(axes[0], SHOWN, strict=True):
        for index, curve in enumerate(curves):
            _line(axis, curve, metric, index)
        axis.set_xlabel("median detection latency, lag included (s)")
        axis.set_ylabel(f"{metric} (%)")
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4)
    figure.suptitle(title)
    plots.write(figure, path)


def _line(axis: Any, curve: Curve, metric: str, index: int) -> None:
    points = [p for p in curve.points if _mean(p, LATENCY) is not None and _mean(p, metric) is not None]
    if not points:
        return
    x, y = ([_mean(point, name) for point in points] for name in (LATENCY, metric))
    spread = {"xerr": [_std(p, LATENCY) for p in points], "yerr": [_std(p, metric) for p in points]}
    alone = len(curve.points) == 1
    style = "none" if alone else "-"
    axis.errorbar(
        *(x, y), **spread, label=curve.name, color=plots.hue(index), marker=plots.MARKERS[index % len(plots.MARKERS)],
        linestyle=style, linewidth=1.2, markersize=5, elinewidth=0.7,
    )  # fmt: skip
    if not alone:
        for point, place in zip(points, zip(x, y, strict=True), strict=True):
            axis.annotate(point.label, place, textcoords="offset points", xytext=(5, 4), fontsize=7)


def _mean(point: Point, metric: str) -> float | None:
    return point.rows[metric].mean if metric in point.rows else None


def _std(point: Point, metric: str) -> float:
    return point.rows[metric].std or 0.0
