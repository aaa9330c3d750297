"""Metrics of *when*: boundaries at a tolerance, detection latency of each segment, label churn.

Times are integers of one unit that the caller chooses (ticks or nanoseconds); tolerances and results are in that unit.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import Labels, Run, runs, without
from hal_ros.metrics.segmentation import Counts, Pair, Scores, annotated, pooled, scores_of

Times = NDArray[np.int64]


# --- boundaries -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Boundaries:
    """The changes of one sequence in time order: when, (N,), and to which action, (N,)."""

    times: Times
    actions: Labels


def find_boundaries(labels: Labels, times: Times | None = None, background: Collection[int] = ()) -> Boundaries:
    """Return the label changes; the time of a change is that of the first tick of the new action (ticks by default).

    The begin of the first segment is no boundary. Ticks of NO_ACTION are looked past: A, no answer, B changes once,
    where B begins; A, no answer, A does not change. What begins a stretch of `background` is left out: A, background,
    A has one boundary, where the second A begins.
    """
    labels = np.asarray(labels)
    times = np.arange(len(labels)) if times is None else np.asarray(times, np.int64)
    answered = labels != NO_ACTION
    labels, times = labels[answered], times[answered]
    changes = np.flatnonzero((labels[1:] != labels[:-1]) & ~np.isin(labels[1:], [*background])) + 1
    return Boundaries(times[changes], labels[changes])


def match_boundaries(truth: Boundaries, predicted: Boundaries, tolerance: float, class_aware: bool = False) -> Counts:
    """Count the largest one-to-one, order-preserving matching of boundaries at most `tolerance` apart (inclusive).

    Class-aware, both must also begin the same action. Longest-common-subsequence recursion, O(N M).
    """
    best: NDArray[np.int64] = np.zeros(len(predicted.times) + 1, np.int64)
    for time, action in zip(truth.times, truth.actions, strict=True):
        fits = np.abs(predicted.times - time) <= tolerance
        if class_aware:
            fits &= predicted.actions == action
        candidates = np.maximum(best[1:], best[:-1] + fits)
        best = np.maximum.accumulate(np.concatenate(([0], candidates)))
    hits = int(best[-1])
    return Counts(hits, len(predicted.times) - hits, len(truth.times) - hits)


def boundary_scores(
    pairs: Sequence[Pair], tolerance_ticks: float, class_aware: bool = False, background: Collection[int] = ()
) -> Scores:
    """Return boundary P, R and F1 in percent, counts summed over all videos; see find_boundaries for background.

    No boundary in truth and none predicted: 100 each. No video: nan.
    """
    if not pairs:
        return Scores(float("nan"), float("nan"), float("nan"))
    counts = []
    for pair in map(annotated, pairs):
        true, predicted = (find_boundaries(labels, None, background) for labels in (pair.truth, pair.predicted))
        found = match_boundaries(true, predicted, tolerance_ticks, class_aware)
        counts.append(found)
    return scores_of(pooled(counts))


# --- latency ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TimedAnswers:
    """One stream of answers in stamp order, (N,) each: what time it speaks of, when it came out, what it says.

    For a confirmed answer `emitted` lies a lag behind `stamps`: the wait is part of the latency.
    """

    stamps: Times
    emitted: Times
    actions: Labels


class Delays(NamedTuple):
    """How late segments were detected: one delay for each one found, in the caller's unit; the others are counted."""

    delays: tuple[int, ...]  # clipped at 0
    missed: int  # never said inside the segment
    early: int  # of `delays`, those that were negative before clipping


class LatencySummary(NamedTuple):
    """Median and 90th percentile over the segments found (nan if none); misses and early ones apart, in percent."""

    median: float
    p90: float
    miss_percent: float
    early_percent: float
    segments: int


def detection_delays(truth: Sequence[Run], answers: TimedAnswers, stable_ticks: int = 1) -> Delays:
    """Return how long after each true segment's begin its action was announced; the first segment has no onset.

    A segment is found if some answer whose stamp lies inside it names its action, as part of an unbroken run of at
    least `stable_ticks` such answers (fewer where the segment itself holds fewer answers). It was announced when the
    first answer of that run was emitted. A run that began before the segment did is an early detection: its delay may
    be negative, is clipped to 0 and counted. Runs of NO_ACTION and of background are to be removed from `truth`.
    Raises DatasetError where the arrays of `answers` differ in length.
    """
    stamps, emitted, actions = (np.asarray(column) for column in vars(answers).values())
    if not len(stamps) == len(emitted) == len(actions):
        raise DatasetError(f"{len(stamps)} stamps, {len(emitted)} emissions, {len(actions)} actions; expected as many")
    answered_runs = runs(actions)
    delays, missed, early = [], 0, 0
    for segment in truth[1:]:
        first, end = np.searchsorted(stamps, [segment.start, segment.end])
        needed = min(stable_ticks, end - first)
        fitting = (
            run
            for run in answered_runs
            if run.action == segment.action and first < run.end and run.start < end and run.end - run.start >= needed
        )
        run = next(fitting, None) if first < end else None  # no answer inside: a run around it found nothing
        if run is None:
            missed += 1
            continue
        delay = int(emitted[run.start]) - segment.start
        early += delay < 0
        delays.append(max(0, delay))
    return Delays(tuple(delays), missed, early)


def summarise_delays(videos: Sequence[Delays]) -> LatencySummary:
    """Pool the delays of all videos. Misses never enter the median; no segment at all: nan percentages."""
    delays = [delay for video in videos for delay in video.delays]
    missed = sum(video.missed for video in videos)
    early = sum(video.early for video in videos)
    segments = len(delays) + missed
    median, p90 = np.percentile(delays, [50, 90]) if delays else (float("nan"), float("nan"))
    share = 100 / segments if segments else float("nan")
    return LatencySummary(float(median), float(p90), missed * share, early * share, segments)


def true_segments(labels: Labels, times: Times, end: int) -> list[Run]:
    """Return the annotated segments of (T,) labels on the caller's time axis; the last one lasts until `end`."""
    limits = [*(int(time) for time in times), int(end)]
    return [Run(run.action, limits[run.start], limits[run.end]) for run in without(runs(labels))]


# --- revisions --------------------------------------------------------------------------------------------------------


def label_churn(first: Labels, final: Labels) -> float:
    """Return the share of ticks, in percent, whose first answer was later changed: provisional against confirmed.

    Ticks that either side left unanswered are not counted; none left: nan.
    """
    first, final = np.asarray(first), np.asarray(final)
    if first.shape != final.shape:
        raise DatasetError(f"first answers {first.shape} and final answers {final.shape} differ; expected one length")
    answered = (first != NO_ACTION) & (final != NO_ACTION)
    return float(100 * np.mean(first[answered] != final[answered])) if np.any(answered) else float("nan")
