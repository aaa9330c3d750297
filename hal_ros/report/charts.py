"""Histograms as inline SVG, and the delays that one of them shows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hal_ros.metrics.predictions import OutputStream
from hal_ros.metrics.scores import Truth
from hal_ros.metrics.timing import TimedAnswers, detection_delays, true_segments

WIDTH_PX, HEIGHT_PX, LEFT_PX, TOP_PX, BOTTOM_PX = 540, 210, 40, 30, 40
MOST_BINS = 30
SMALLEST_SPAN = {"ms": 1.0, "s": 1.0}
PERCENTILES = (50, 95, 99)


def segment_delays_s(truth: Truth, stream: OutputStream) -> list[float]:
    """Return the detection delay of each true segment that was found, in seconds."""
    stamps = truth.stamp_ns
    segments = true_segments(truth.labels, stamps, int(stamps[-1]) + 1)
    delays = detection_delays(segments, TimedAnswers(stamps, stream.emitted_ns, stream.labels))
    return [delay / 1e9 for delay in delays.delays]


def histogram_svg(values: NDArray[np.float64], unit: str) -> str:
    """Return the distribution of values (N,) >= 0, N >= 1, with p50, p95 and p99; the last bin takes all beyond it.

    The axis ends at twice the 95th percentile at most, so that one outlier does not flatten the rest.
    """
    marks = {f"p{percent}": float(np.percentile(values, percent)) for percent in PERCENTILES}
    span = max(min(float(values.max()), 2 * marks["p95"]), SMALLEST_SPAN[unit])
    step = _nice_step(span)
    bins = int(np.clip(math.ceil(span / step), 1, MOST_BINS))
    counts = np.bincount(np.clip(values / step, 0, bins - 1).astype(int), minlength=bins)
    plot_width, plot_height = WIDTH_PX - LEFT_PX - 12, HEIGHT_PX - TOP_PX - BOTTOM_PX
    x_scale, y_scale = plot_width / (bins * step), plot_height / counts.max()
    parts = [_bar(i, int(count), step, (x_scale, y_scale), unit, i == bins - 1) for i, count in enumerate(counts)]
    parts += [
        _mark(index, name, value, min(value, bins * step) * x_scale, unit)
        for index, (name, value) in enumerate(marks.items())
    ]
    parts += _axis(bins, step, x_scale, int(counts.max()), unit)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" width="100%" role="img" '
        f'aria-label="histogram" font-size="11">{"".join(parts)}</svg>'
    )


def _nice_step(span: float) -> float:
    """Return a bin width of 1, 2 or 5 times a power of ten that gives at most MOST_BINS bins."""
    raw = span / MOST_BINS
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)


def _bar(index: int, count: int, step: float, scales: tuple[float, float], unit: str, last: bool) -> str:
    if not count:
        return ""
    x, width, height = LEFT_PX + index * step * scales[0], step * scales[0], count * scales[1]
    y = HEIGHT_PX - BOTTOM_PX - height
    limits = f"{index * step:g} {unit} or more" if last else f"{index * step:g} to {(index + 1) * step:g} {unit}"
    return (
        f'<rect x="{x + 0.5:.1f}" y="{y:.1f}" width="{max(1.0, width - 1):.1f}" height="{height:.1f}" '
        f'class="histogram"><title>{limits}: {count}</title></rect>'
    )


def _mark(index: int, name: str, value: float, x: float, unit: str) -> str:
    """Draw one percentile; the names stand in a row above the plot, so that close ones do not overlap."""
    x += LEFT_PX
    text_x = LEFT_PX + index * 130
    digits = 1 if unit == "ms" else 2
    return (
        f'<path d="M{x:.1f} {TOP_PX - 4}V{HEIGHT_PX - BOTTOM_PX}" stroke="currentColor" '
        f'stroke-dasharray="{("none", "5 3", "2 3")[index]}"/>'
        f'<path d="M{text_x} 12h18" stroke="currentColor" stroke-dasharray="{("none", "5 3", "2 3")[index]}"/>'
        f'<text x="{text_x + 24}" y="16" fill="currentColor">{name} {value:.{digits}f} {unit}</text>'
    )


def _axis(bins: int, step: float, x_scale: float, highest: int, unit: str) -> list[str]:
    bottom = HEIGHT_PX - BOTTOM_PX
    every = max(1, math.ceil(bins / 8))
    parts = [f'<path d="M{LEFT_PX} {bottom}H{WIDTH_PX - 12}" stroke="currentColor" stroke-opacity=".5"/>']
    for index in range(0, bins + 1, every):
        x = LEFT_PX + index * step * x_scale
        parts.append(
            f'<path d="M{x:.1f} {bottom}v4" stroke="currentColor" stroke-opacity=".5"/>'
            f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle" fill="currentColor">{index * step:.3g}</text>'
        )
    parts.append(
        f'<text x="{WIDTH_PX - 12}" y="{bottom + 34}" text-anchor="end" fill="currentColor">{unit}</text>'
        f'<text x="{LEFT_PX - 6}" y="{TOP_PX + 8}" text-anchor="end" fill="currentColor">{highest}</text>'
        f'<text x="{LEFT_PX - 6}" y="{bottom}" text-anchor="end" fill="currentColor">0</text>'
    )
    return parts
