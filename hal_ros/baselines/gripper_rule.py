"""The rule that most users write first: cut at gripper events and speed minima, name each piece by the majority.

Causal, numpy alone, well below a millisecond a tick. A piece begins when the gripper opens or closes, or when the arm
comes to rest. What is known of a piece while it runs: is the gripper closed, what began it, which piece it is since the
last gripper event, does the arm move now. Training counts which action each such context is annotated with most often.
The gripper is looked for by name among the joints of all states; without one, or without an arm, the rest still counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.arrays import FloatArray
from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import Labels
from hal_ros.core.streams.columns import JointColumns

MOST_PIECES = 4
"""Pieces since the last gripper event are counted up to here; later ones are one kind."""


class Context(NamedTuple):
    """What the rule knows at one tick."""

    closed: bool
    began_by: str  # "start", "close", "open" or "rest"
    piece: int  # 0 right after a gripper event, then one more after each rest
    moving: bool


@dataclass(frozen=True)
class Thresholds:
    """Learned from training joints: where the gripper changes over, with hysteresis, and what counts as rest."""

    open_above: float
    closed_below: float
    rest_below: float  # of the arm's joint speed, Euclidean norm
    moving_above: float


@dataclass(frozen=True)
class GripperRule:
    """A trained rule: majority action of each context seen in training, and of everything else."""

    joints: JointColumns
    thresholds: Thresholds
    majority: dict[Context, int]
    otherwise: dict[bool, int]  # by `closed`, for contexts that training never met

    def predict(self, values: FloatArray, valid: FloatArray) -> Labels:
        """Return labels (T,) for state values and flags (T, V); tick t uses ticks up to t alone."""
        found = contexts(values, valid, self.joints, self.thresholds)
        return np.array([self.majority.get(context, self.otherwise[context.closed]) for context in found], np.int64)


AnnotatedJoints = tuple[FloatArray, FloatArray, Labels]
"""State values (T, V), their flags (T, V) and annotated labels (T,) of one episode."""


def train(recordings: Iterable[AnnotatedJoints], joints: JointColumns) -> GripperRule:
    """Learn thresholds and majority actions. Raises DatasetError when no tick is annotated."""
    recordings = list(recordings)
    thresholds = _learn_thresholds(recordings, joints)
    votes: dict[Context, Counter[int]] = {}
    by_gripper: dict[bool, Counter[int]] = {False: Counter(), True: Counter()}
    for values, valid, labels in recordings:
        for context, label in zip(contexts(values, valid, joints, thresholds), labels.tolist(), strict=True):
            if label != NO_ACTION:
                votes.setdefault(context, Counter())[label] += 1
                by_gripper[context.closed][label] += 1
    overall = by_gripper[False] + by_gripper[True]
    if not overall:
        raise DatasetError("the gripper rule needs annotated episodes; none of those given has an annotated tick")
    majority = {context: _winner(counts) for context, counts in votes.items()}
    otherwise = {closed: _winner(counts or overall) for closed, counts in by_gripper.items()}
    return GripperRule(joints, thresholds, majority, otherwise)


def contexts(values: FloatArray, valid: FloatArray, joints: JointColumns, thresholds: Thresholds) -> list[Context]:
    """Return what the rule knows at each tick, from this tick and earlier ones."""
    opening, speed = _signals(values, valid, joints)
    found = []
    context = Context(closed=False, began_by="start", piece=0, moving=False)
    for tick in range(len(opening)):
        closed = context.closed
        if opening[tick] < thresholds.closed_below:
            closed = True
        elif opening[tick] > thresholds.open_above:
            closed = False
        moving = context.moving
        if speed[tick] < thresholds.rest_below:
            moving = False
        elif speed[tick] > thresholds.moving_above:
            moving = True
        if closed != context.closed and tick > 0:
            context = Context(closed, "close" if closed else "open", 0, moving)
        elif context.moving and not moving:  # the arm came to rest: the speed's minimum, seen without looking ahead
            context = Context(closed, "rest", min(context.piece + 1, MOST_PIECES), moving)
        else:
            context = context._replace(closed=closed, moving=moving)
        found.append(context)
    return found


def _learn_thresholds(recordings: Sequence[AnnotatedJoints], joints: JointColumns) -> Thresholds:
    signals = [_signals(values, valid, joints) for values, valid, _ in recordings]
    if not signals:
        raise DatasetError("the gripper rule needs annotated episodes; none was given")
    opening, speed = (np.concatenate(column) for column in zip(*signals, strict=True))
    low, high = np.quantile(opening, [0.05, 0.95])
    typical = float(np.median(speed))
    return Thresholds(
        open_above=float(low + 0.6 * (high - low)),
        closed_below=float(low + 0.4 * (high - low)),
        rest_below=0.25 * typical,
        moving_above=0.5 * typical,
    )


def _signals(
    values: FloatArray, valid: FloatArray, joints: JointColumns
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return gripper opening and arm speed, (T,) each; a missing value keeps its last one, 0 before the first."""
    held = np.zeros(values.shape)
    last: NDArray[np.float64] = np.zeros(values.shape[1])
    for tick in range(len(values)):
        last = np.where(valid[tick] > 0, values[tick], last)
        held[tick] = last
    return joints.opening(held), joints.arm_speed(held)


def _winner(counts: Counter[int]) -> int:
    """Return the commonest action; the lowest id among equals, so that the order of episodes is irrelevant."""
    return min(counts, key=lambda action: (-counts[action], action))
