"""A long stream made of a bundle's golden ticks: how far two back ends are apart over it, and whether memory grows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import psutil

from hal_ros.core.arrays import FloatArray
from hal_ros.core.step import StepInput, StepOutput
from hal_ros.runtime.golden import GateLimits, GoldenTick

HIDDEN = 0.03  # share of ticks without pictures, and of those without states
RUN_TICKS = (5, 40)  # so many golden ticks follow each other before the walk jumps
HOST_GROWTH_MIB, DEVICE_GROWTH_MIB = 4.0, 4.0  # over half of a stream: 5000 ticks that keep 1 KiB each are seen
SAMPLES = 40  # of memory, over a stream
FEWEST_SAMPLES = SAMPLES // 2
"""Of a stream that ended early: fewer are still warming up, and their quarters too short for a median."""
MIB = 1 << 20


class Walked(NamedTuple):
    """One tick of a walk over the golden ticks: which one, and what is hidden from the model."""

    golden: int
    image_hidden: bool
    joints_hidden: bool


def walk(golden: int, count: int, seed: int = 0) -> Iterator[Walked]:
    """Yield `count` ticks, the same each time: stretches of the `golden` ones, and gaps in both kinds of input."""
    random = np.random.default_rng(seed)
    while count > 0:
        start, length = int(random.integers(golden)), min(count, int(random.integers(*RUN_TICKS)))
        for index in range(start, start + length):
            yield Walked(index % golden, *(bool(hidden) for hidden in random.random(2) < HIDDEN))
        count -= length


def step_input(golden: GoldenTick, feature: FloatArray, tick: Walked) -> StepInput:
    """Return a golden tick's input with `feature`, less what the walk hides."""
    seen = np.float32(not tick.image_hidden), np.float32(not tick.joints_hidden)
    return StepInput(feature, golden.image_valid * seen[0], golden.joints, golden.joints_valid * seen[1])


def row_of(output: StepOutput) -> FloatArray:
    """Return (2K + 1,): both heads and the boundary."""
    return np.concatenate([output.log_probs, output.lagged_log_probs, [np.float32(output.boundary)]])


def compare_rows(found: FloatArray, right: FloatArray, limits: GateLimits) -> tuple[dict[str, Any], list[str]]:
    """Judge (T, 2K + 1) outputs by the first (T', 2K + 1) of ONNX Runtime's; returns figures and faults."""
    heads, compared = found.shape[1] // 2, len(right)
    with np.errstate(invalid="ignore", over="ignore"):
        spoilt = int((~np.isfinite(np.exp(found))).any(axis=1).sum())  # minus infinity is a probability of zero
        errors = np.where(found[:compared] == right, 0.0, np.abs(found[:compared] - right))
    errors = np.where(np.isnan(errors), np.inf, errors)
    margins = np.zeros((compared, 2))
    for side, part in enumerate((slice(heads), slice(heads, 2 * heads))):
        second, best = np.sort(np.exp(right[:, part]), axis=1)[:, -2:].T
        differs = found[:compared, part].argmax(axis=1) != right[:, part].argmax(axis=1)
        margins[:, side] = np.where(differs, best - second, 0.0)
    agreement = float((margins.max(axis=1) <= limits.tie).mean()) if compared else 1.0
    widest = float(margins.max(initial=0.0))
    log_prob_error, boundary_error = float(errors[:, :-1].max(initial=0.0)), float(errors[:, -1].max(initial=0.0))
    verdicts = {
        f"{spoilt} ticks have outputs that are no numbers": spoilt == 0,
        f"log-probabilities differ by {log_prob_error:.2g}": log_prob_error <= limits.log_probs,
        f"the boundary differs by {boundary_error:.2g}": boundary_error <= limits.boundary,
        f"{agreement:.2%} of the ticks name the same actions": agreement >= limits.agreement,
        f"another action is named where ONNX is sure by {widest:.2f}": widest < limits.margin,
    }
    figures = {"compared_ticks": compared, "not_finite_ticks": spoilt, "log_prob_error": finite(log_prob_error)}
    figures |= {"boundary_error": finite(boundary_error), "label_agreement": agreement, "widest_margin": finite(widest)}
    return figures, [text for text, holds in verdicts.items() if not holds]


class MemoryWatch:
    """Looks at this process's memory and the device's now and then; `free_bytes` tells what the device has left."""

    def __init__(self, free_bytes: Callable[[], int], ticks: int) -> None:
        self._free_bytes, self._process, self._every = free_bytes, psutil.Process(), max(ticks // SAMPLES, 1)
        self._used_bytes = np.zeros((ticks // self._every + 1, 2))
        self._count = 0

    def look(self, tick: int) -> None:
        """Note what is used, if it is time to."""
        if tick % self._every == 0:
            self._used_bytes[self._count] = self._process.memory_info().rss, -self._free_bytes()
            self._count += 1

    def verdict(self, shared: bool) -> tuple[dict[str, Any], list[str]]:
        """Return figures, and what has grown between the second quarter and the last: the first one warms up.

        A stream that ended before FEWEST_SAMPLES is not judged, and its figures are None.

        Where the device shares the host's memory, what is free is the whole system's matter, and only noted.
        """
        quarter = self._count // 4
        if self._count < FEWEST_SAMPLES:
            return {"host_growth_mib": None, "device_growth_mib": None}, []
        used = self._used_bytes[: self._count]
        early, late = (np.median(part, axis=0) for part in (used[quarter : 2 * quarter], used[-quarter:]))
        host, device = (round(float(grown), 2) for grown in (late - early) / MIB)
        faults = [f"the process grew by {host} MiB, expected <= {HOST_GROWTH_MIB:g}"] * (host > HOST_GROWTH_MIB)
        if not shared and device > DEVICE_GROWTH_MIB:
            faults.append(f"{device} MiB of GPU memory went, expected <= {DEVICE_GROWTH_MIB:g}")
        return {"host_growth_mib": host, "device_growth_mib": device}, faults


def finite(value: float) -> float | None:
    """Return four digits of a figure; None for what is no number or infinite, which have no place in JSON."""
    return float(f"{value:.4g}") if math.isfinite(value) else None
