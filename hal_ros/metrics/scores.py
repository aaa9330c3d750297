"""From predictions to numbers: every metric of one system on one split, and rows for tables."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.segments import Labels
from hal_ros.metrics import calibration, timing
from hal_ros.metrics import segmentation as metrics
from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL, OutputStream, Prediction
from hal_ros.metrics.segmentation import Pair

OVERLAPS_PERCENT = (10, 25, 50)
TOLERANCES_S = (0.25, 0.5, 1.0)
STABLE_S = 0.5
"""How long an answer must stand for its segment to count as stably detected."""
MOF_BG = "MoF-Bg"
"""MoF of the frames whose truth is no background; only where there is some."""


class Unscored(NamedTuple):
    """Ids of background, and of which scores it is left out: published ones differ in that."""

    frames: tuple[int, ...] = ()  # of MoF-Bg
    segments: tuple[int, ...] = ()  # of Edit, F1, boundaries, IoU and IoD, segment ratio, latency


ALL_SCORED = Unscored()


@dataclass(frozen=True)
class Truth:
    """What happened in one episode: one action id a tick, NO_ACTION where nothing is annotated."""

    episode: str
    stamp_ns: NDArray[np.int64]  # (T,)
    labels: Labels  # (T,)


@dataclass(frozen=True)
class RowKey:
    """What a row speaks of."""

    system: str
    supervision: str
    split: str
    output: str
    metric: str


@dataclass(frozen=True)
class Row:
    """One number of a result table; std is None where there is one seed."""

    system: str
    supervision: str
    split: str
    output: str
    metric: str
    mean: float | None  # None: nothing to measure
    std: float | None
    seeds: int

    @property
    def key(self) -> RowKey:
        """What the row speaks of."""
        return RowKey(self.system, self.supervision, self.split, self.output, self.metric)


def score(
    truths: Sequence[Truth], streams: Sequence[OutputStream], period_ns: int, background: Unscored = ALL_SCORED
) -> dict[str, float]:
    """Return every metric of one output over the episodes of a split; nan where there is nothing to measure.

    Scores are percentages, latencies seconds from the onset of the true segment to the answer's emission. MoF counts
    all frames. Raises DatasetError where truth and prediction of an episode differ in length.
    """
    pairs = [Pair(truth.labels, stream.labels) for truth, stream in zip(truths, streams, strict=True)]
    out = background.segments
    per_class, per_segment = metrics.overlap_per_class(pairs, out), metrics.overlap_per_segment(pairs, out)
    found = {
        "MoF": metrics.mean_over_frames(pairs),
        **({MOF_BG: metrics.mean_over_frames(pairs, background.frames)} if background.frames else {}),
        "Edit": metrics.edit_score(pairs, out),
        **{f"F1@{k}": metrics.f1_pooled(pairs, k, out) for k in OVERLAPS_PERCENT},
        **{f"F1@{k} per video": metrics.f1_per_video(pairs, k, out) for k in OVERLAPS_PERCENT},
        **_boundary_scores(pairs, period_ns, out),
        "segment ratio": metrics.segment_ratio(pairs, out),
        "IoU (TASL, per class)": per_class.iou,
        "IoD (TASL, per class)": per_class.iod,
        "IoU (ISBA, per segment)": per_segment.iou,
        "IoD (ISBA, per segment)": per_segment.iod,
    }
    for name, stable_ticks in (("latency", 1), ("stable latency", round(STABLE_S * 1e9 / period_ns))):
        found |= _latencies(name, _TimedStreams(truths, streams, period_ns, out), stable_ticks)
    return found | _calibration(truths, streams)


def rows(split: str, truths: Sequence[Truth], predictions: Sequence[Sequence[Prediction]], period_ns: int) -> list[Row]:
    """Return the rows of one system on one split; predictions[seed][episode], in the order of `truths`."""
    table: dict[tuple[str, str], list[float]] = {}
    for seed in predictions:
        for output in seed[0].streams:
            streams = [prediction.streams[output] for prediction in seed]
            for metric, value in score(truths, streams, period_ns).items():
                table.setdefault((output, metric), []).append(value)
        table.setdefault((CONFIRMED, "churn"), []).append(_churn(seed))
    first = predictions[0][0]
    return [
        row_over_seeds(RowKey(first.system, first.supervision, split, output, metric), values)
        for (output, metric), values in table.items()
        if not all(math.isnan(value) for value in values)  # e.g. calibration of a system without probabilities
    ]


def frame_accuracy(truth: Truth, stream: OutputStream) -> float:
    """Return one episode's MoF, for choosing the median and the worst one."""
    return metrics.mean_over_frames([Pair(truth.labels, stream.labels)])


def row_over_seeds(key: RowKey, values: Sequence[float]) -> Row:
    """Return a row of a metric's values, one for each seed: their mean and standard deviation (of the sample)."""
    mean = float(np.mean(values))
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Row(key.system, key.supervision, key.split, key.output, key.metric, mean, std, len(values))


def _boundary_scores(pairs: Sequence[Pair], period_ns: int, background: Collection[int]) -> dict[str, float]:
    found: dict[str, float] = {}
    for tolerance_s in TOLERANCES_S:
        ticks = tolerance_s * 1e9 / period_ns
        for name, class_aware in (("boundary", False), ("class-aware boundary", True)):
            scores = timing.boundary_scores(pairs, ticks, class_aware, background)
            found |= {
                f"{name} {part}@{tolerance_s:g}s": value for part, value in zip(("P", "R", "F1"), scores, strict=True)
            }
    return found


class _TimedStreams(NamedTuple):
    """What latencies are measured on."""

    truths: Sequence[Truth]
    streams: Sequence[OutputStream]
    period_ns: int
    background: Collection[int]


def _latencies(name: str, timed: _TimedStreams, stable_ticks: int) -> Mapping[str, float]:
    delays = []
    for truth, stream in zip(timed.truths, timed.streams, strict=True):
        end_ns = int(truth.stamp_ns[-1]) + timed.period_ns
        found = timing.true_segments(truth.labels, truth.stamp_ns, end_ns)
        # The first segment has no onset, be it background or not: an action behind background has one.
        segments = [*found[:1], *(run for run in found[1:] if run.action not in timed.background)]
        answers = timing.TimedAnswers(truth.stamp_ns, stream.emitted_ns, stream.labels)
        delays.append(timing.detection_delays(segments, answers, stable_ticks))
    summary = timing.summarise_delays(delays)
    return {
        f"{name} median s": summary.median / 1e9,
        f"{name} p90 s": summary.p90 / 1e9,
        f"{name} missed": summary.miss_percent,
        f"{name} early": summary.early_percent,
    }


def _calibration(truths: Sequence[Truth], streams: Sequence[OutputStream]) -> dict[str, float]:
    """Calibrate on the ticks that are annotated and were answered with probabilities."""
    labels, log_probs = [], []
    for truth, stream in zip(truths, streams, strict=True):
        if stream.log_probs is not None:
            answered = ~np.isnan(stream.log_probs).any(axis=1) & (truth.labels != NO_ACTION)
            labels.append(truth.labels[answered])
            log_probs.append(stream.log_probs[answered])
    if not labels:
        return {}
    truth_labels, probabilities = np.concatenate(labels), np.concatenate(log_probs)
    return {
        "ECE": calibration.expected_calibration_error(truth_labels, probabilities),
        "NLL": calibration.negative_log_likelihood(truth_labels, probabilities),
    }


def _churn(predictions: Sequence[Prediction]) -> float:
    if any({PROVISIONAL, CONFIRMED} - set(prediction.streams) for prediction in predictions):
        return float("nan")
    first = np.concatenate([prediction.streams[PROVISIONAL].labels for prediction in predictions])
    final = np.concatenate([prediction.streams[CONFIRMED].labels for prediction in predictions])
    return timing.label_churn(first, final)
