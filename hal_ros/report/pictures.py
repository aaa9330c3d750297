"""The timeline picture of an evaluation: a median and the worst episode of each split, systems beneath the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.segments import Labels, runs
from hal_ros.metrics.predictions import Prediction
from hal_ros.metrics.scores import Truth, frame_accuracy
from hal_ros.report.timeline import Bar, Timeline, Track


def label_bars(labels: Labels, times_s: NDArray[np.float64], end_s: float, vocabulary: Sequence[str]) -> list[Bar]:
    """Return labels (T,) that hold from times_s (T,) on as bars; the last one ends at end_s."""
    limits = [*times_s.tolist(), end_s]
    return [
        Bar("" if run.action == NO_ACTION else vocabulary[run.action], limits[run.start], limits[run.end])
        for run in runs(labels)
    ]


def median_and_worst(truths: Sequence[Truth], predictions: Sequence[Prediction], output: str) -> tuple[int, int]:
    """Return the indices of the episode with the median frame accuracy and of the one with the lowest."""
    accuracies = [
        frame_accuracy(truth, prediction.streams[output]) for truth, prediction in zip(truths, predictions, strict=True)
    ]
    order = np.argsort(np.nan_to_num(accuracies, nan=np.inf), kind="stable")
    return int(order[(len(order) - 1) // 2]), int(order[0])


def episode_timeline(
    title: str, truth: Truth, predictions: Sequence[Prediction], period_ns: int, vocabulary: Sequence[str]
) -> Timeline:
    """Return one episode's timeline: the truth, then every output of every system."""
    times_s = (truth.stamp_ns - truth.stamp_ns[0]) / 1e9
    end_s = float(times_s[-1]) + period_ns / 1e9
    tracks = [Track("truth", label_bars(truth.labels, times_s, end_s, vocabulary))]
    for prediction in predictions:
        for output, stream in prediction.streams.items():
            name = f"{prediction.system}, {output}" if len(prediction.streams) > 1 else prediction.system
            tracks.append(Track(name, label_bars(stream.labels, times_s, end_s, vocabulary)))
    return Timeline(title, tracks, end_s)
