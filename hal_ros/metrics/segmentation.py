"""Frame and segment metrics of temporal action segmentation, with every edge case defined.

All scores are percentages. `pairs` is a sequence of `Pair(truth, predicted)`, one for each video, both (T,) action ids.
The order of videos never matters. `background` names actions that are not scored; nothing is background by default.

Laws that hold in every function here:
- Lengths differ: DatasetError (the published scripts clip or crash).
- A tick whose truth is NO_ACTION is not annotated: it is not scored, whatever was predicted there.
- A tick whose prediction is NO_ACTION is an answer not given: wrong in frame metrics, no segment in segment metrics.
- Nothing to score at all (no video, or only background): nan, never a silent 0 or 100.

Sources: MS-TCN's evaluation for MoF, Edit and F1@k; TCFPN-ISBA for IoU and IoD per segment; TASL for those per class.
Boundaries, latency and churn are in `metrics.timing`, calibration in `metrics.calibration`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import Labels, Run, runs, without


@dataclass(frozen=True)
class Pair:
    """What happened and what was said in one video, (T,) action ids each."""

    truth: Labels
    predicted: Labels


class Overlap(NamedTuple):
    """Intersection over union and intersection over detection, both in percent."""

    iou: float
    iod: float


def annotated(pair: Pair) -> Pair:
    """Return the pair as arrays, with the prediction silenced where nothing is annotated.

    Raises DatasetError where truth and prediction differ in length.
    """
    truth, predicted = np.asarray(pair.truth), np.asarray(pair.predicted)
    if truth.ndim != 1 or truth.shape != predicted.shape:
        raise DatasetError(f"truth has shape {truth.shape} and prediction {predicted.shape}; expected one length (T,)")
    return Pair(truth, np.where(truth == NO_ACTION, NO_ACTION, predicted))


# --- frames -----------------------------------------------------------------------------------------------------------


def mean_over_frames(pairs: Sequence[Pair], background: Collection[int] = ()) -> float:
    """Return MoF: correct frames over frames, pooled over all videos (micro).

    With a background set it is MoF-Bg: only frames whose truth is no background count, pooled as ATBA does
    (ISBA's original averages videos).
    """
    correct = total = 0
    for truth, predicted in _annotated(pairs):
        scored = ~np.isin(truth, [*background, NO_ACTION])
        correct += int(np.sum((truth == predicted) & scored))
        total += int(np.sum(scored))
    return 100 * correct / total if total else float("nan")


def overlap_per_class(pairs: Sequence[Pair], background: Collection[int] = ()) -> Overlap:
    """Return IoU and IoD as TASL publishes them: frame sets of each true class, mean over classes, then videos.

    A true class that is never predicted scores 0 in both; a class that is only predicted is not looked at.
    """
    videos = []
    for truth, predicted in _annotated(pairs):
        scores = []
        for action in sorted(set(truth.tolist()) - {*background, NO_ACTION}):
            is_true, is_predicted = truth == action, predicted == action
            shared = np.sum(is_true & is_predicted)
            detected = np.sum(is_predicted)
            scores.append((shared / np.sum(is_true | is_predicted), shared / detected if detected else 0.0))
        videos.append(scores)
    return _mean_overlap(videos)


def overlap_per_segment(pairs: Sequence[Pair], background: Collection[int] = ()) -> Overlap:
    """Return IoU and IoD as ISBA publishes them: the best predicted segment of the same action for each true segment.

    IoU and IoD each take their own best segment; mean over true segments, then videos. No such segment scores 0.
    """
    videos = []
    for truth, predicted in _segments(pairs, background):
        scores = []
        for true_run in truth:
            rivals = [run for run in predicted if run.action == true_run.action]
            iou = max((_iou(true_run, run) for run in rivals), default=0.0)
            iod = max((_shared(true_run, run) / (run.end - run.start) for run in rivals), default=0.0)
            scores.append((iou, iod))
        videos.append(scores)
    return _mean_overlap(videos)


# --- segments ---------------------------------------------------------------------------------------------------------


def edit_score(pairs: Sequence[Pair], background: Collection[int] = ()) -> float:
    """Return Edit: 100 (1 - Levenshtein / longer sequence) of the segments' actions, mean over videos.

    Background goes first, so A, background, A stays two segments A. Both sequences empty: 100. One empty: 0.
    """
    scores = []
    for truth, predicted in _segments(pairs, background):
        longer = max(len(truth), len(predicted))
        distance = levenshtein([run.action for run in truth], [run.action for run in predicted])
        scores.append(100 * (1 - distance / longer) if longer else 100.0)
    return float(np.mean(scores)) if scores else float("nan")


def levenshtein(first: Sequence[int], second: Sequence[int]) -> int:
    """Return the least number of insertions, deletions and substitutions that turn one sequence into the other."""
    steps = np.arange(len(second) + 1)
    row = steps
    wanted = np.asarray(second)
    for index, item in enumerate(first, start=1):
        changed = np.minimum(row[1:] + 1, row[:-1] + (wanted != item))
        # Insertions run along the row: row[j] = min over i <= j of changed[i] + (j - i).
        row = np.minimum.accumulate(np.concatenate(([index], changed)) - steps) + steps
    return int(row[-1])


class Counts(NamedTuple):
    """True positives, false positives (said, not so) and false negatives (so, not said)."""

    hits: int
    false_alarms: int
    misses: int


class Scores(NamedTuple):
    """Precision, recall and their harmonic mean, in percent."""

    precision: float
    recall: float
    f1: float


def scores_of(counts: Counts) -> Scores:
    """Return P, R and F1. Nothing to find and nothing said: 100 each. No hit otherwise: F1 0."""
    hits, false_alarms, misses = counts
    if not any(counts):
        return Scores(100.0, 100.0, 100.0)
    precision = 100 * hits / (hits + false_alarms) if hits else 0.0
    recall = 100 * hits / (hits + misses) if hits else 0.0
    return Scores(precision, recall, 200 * hits / (2 * hits + false_alarms + misses))


def pooled(counts: Sequence[Counts]) -> Counts:
    """Return the sums over all videos."""
    return Counts(*(sum(column) for column in zip(*counts, strict=True))) if counts else Counts(0, 0, 0)


def count_segments(pair: Pair, overlap: float, background: Collection[int] = ()) -> Counts:
    """Count the segments of one video that are found at an overlap in (0, 1].

    In time order, each predicted segment claims the true segment of its action with the best IoU (the earliest of
    equals). It hits if that IoU reaches `overlap` and the true segment is still free; it gets no second choice.
    """
    truth, predicted = next(_segments([pair], background))
    taken: set[int] = set()
    for run in predicted:
        rivals = [
            (_iou(run, true_run), -index) for index, true_run in enumerate(truth) if true_run.action == run.action
        ]
        best, negative_index = max(rivals, default=(0.0, 1))
        if best >= overlap and negative_index <= 0:
            taken.add(-negative_index)  # a second claim on the same segment changes nothing: it stays a false alarm
    return Counts(len(taken), len(predicted) - len(taken), len(truth) - len(taken))


def f1_pooled(pairs: Sequence[Pair], overlap_percent: float, background: Collection[int] = ()) -> float:
    """Return F1@k as MS-TCN publishes it: counts summed over all videos first. No video: nan."""
    counts = [count_segments(pair, overlap_percent / 100, background) for pair in pairs]
    return scores_of(pooled(counts)).f1 if counts else float("nan")


def f1_per_video(pairs: Sequence[Pair], overlap_percent: float, background: Collection[int] = ()) -> float:
    """Return the mean over videos of each video's own F1@k. No video: nan."""
    scores = [scores_of(count_segments(pair, overlap_percent / 100, background)).f1 for pair in pairs]
    return float(np.mean(scores)) if scores else float("nan")


def segment_ratio(pairs: Sequence[Pair], background: Collection[int] = ()) -> float:
    """Return predicted segments over true segments, pooled: 1 is right, above it over-segmentation. No truth: nan."""
    counts = [(len(predicted), len(truth)) for truth, predicted in _segments(pairs, background)]
    predicted_segments, true = sum(count[0] for count in counts), sum(count[1] for count in counts)
    return predicted_segments / true if true else float("nan")


# --- parts ------------------------------------------------------------------------------------------------------------


def _annotated(pairs: Sequence[Pair]) -> Iterator[tuple[Labels, Labels]]:
    for pair in map(annotated, pairs):
        yield pair.truth, pair.predicted


def _segments(pairs: Sequence[Pair], background: Collection[int]) -> Iterator[tuple[list[Run], list[Run]]]:
    for truth, predicted in _annotated(pairs):
        yield without(runs(truth), background), without(runs(predicted), background)


def _shared(first: Run, second: Run) -> int:
    return max(0, min(first.end, second.end) - max(first.start, second.start))


def _iou(first: Run, second: Run) -> float:
    shared = _shared(first, second)
    return shared / (first.end - first.start + second.end - second.start - shared)


def _mean_overlap(videos: Sequence[Sequence[tuple[float, float]]]) -> Overlap:
    """Average pairs of (IoU, IoD) within each video, then over videos; a video with nothing to score is left out."""
    means: NDArray[np.float64] = np.array([np.mean(scores, axis=0) for scores in videos if scores])
    if not len(means):
        return Overlap(float("nan"), float("nan"))
    iou, iod = 100 * means.mean(axis=0)
    return Overlap(float(iou), float(iod))
