"""The rule that most users write first: cut at gripper events and speed minima, name each piece by the majority.

Causal, numpy alone, well below a millisecond a tick. A piece begins when the gripper opens or closes, or when the arm
comes to rest. What is known of a piece while it runs: is the gripper closed, what began it, which piece it is since the
last gripper event, does the arm move now. Training counts which action each such context is annotated with most often.
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
from hal_ros.core.proprio import VALUES_PER_JOINT
from hal_ros.core.segments import Labels

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

    gripper: int  # index of the gripper among the J joints
    thresholds: Thresholds
    majority: dict[Context, int]
    otherwise: dict[bool, int]  # by `closed`, for contexts that training never met

    def predict(self, joints: FloatArray, joints_valid: FloatArray) -> Labels:
        """Return labels (T,) for joints and flags (T, 3J); tick t uses ticks up to t alone."""
        found = contexts(joints, joints_valid, self.gripper, self.thresholds)
        return np.array([self.majority.get(context, self.otherwise[context.closed]) for context in found], np.int64)


AnnotatedJoints = tuple[FloatArray, FloatArray, Labels]
"""Joints (T, 3J), their flags (T, 3J) and annotated labels (T,) of one episode."""


def gripper_index(names: Sequence[str]) -> int:
    """Return which joint is the gripper: the first named so, else the last one."""
    return next(
        (i for i, name in enumerate(names) if "grip" in name.lower() or "finger" in name.lower()), len(names) - 1
    )


def train(recordings: Iterable[AnnotatedJoints], gripper: int) -> GripperRule:
    """Learn thresholds and majority actions. Raises DatasetError when no tick is annotated."""
    recordings = list(recordings)
    thresholds = _learn_thresholds(recordings, gripper)
    votes: dict[Context, Counter[int]] = {}
    by_gripper: dict[bool, Counter[int]] = {False: Counter(), True: Counter()}
    for joints, joints_valid, labels in recordings:
        for context, label in zip(contexts(joints, joints_valid, gripper, thresholds), labels.tolist(), strict=True):
            if label != NO_ACTION:
                votes.setdefault(context, Counter())[label] += 1
                by_gripper[context.closed][label] += 1
    overall = by_gripper[False] + by_gripper[True]
    if not overall:
        raise DatasetError("the gripper rule needs annotated episodes; none of those given has an annotated tick")
    majority = {context: _winner(counts) for context, counts in votes.items()}
    otherwise = {closed: _winner(counts or overall) for closed, counts in by_gripper.items()}
    return GripperRule(gripper, thresholds, majority, otherwise)


def contexts(joints: FloatArray, joints_valid: FloatArray, gripper: int, thresholds: Thresholds) -> list[Context]:
    """Return what the rule knows at each tick, from this tick and earlier ones."""
    opening, speed = _signals(joints, joints_valid, gripper)
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


def _learn_thresholds(recordings: Sequence[AnnotatedJoints], gripper: int) -> Thresholds:
    signals = [_signals(joints, joints_valid, gripper) for joints, joints_valid, _ in recordings]
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
    joints: FloatArray, joints_valid: FloatArray, gripper: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return gripper opening and arm speed, (T,) each; a missing value keeps its last one, 0 before the first."""
    ticks, joint_count = len(joints), joints.shape[1] // VALUES_PER_JOINT
    held = np.zeros((ticks, 2 * joint_count))
    last: NDArray[np.float64] = np.zeros(2 * joint_count)
    for tick in range(ticks):
        last = np.where(joints_valid[tick, : 2 * joint_count] > 0, joints[tick, : 2 * joint_count], last)
        held[tick] = last
    velocity = np.delete(held[:, joint_count:], gripper, axis=1)
    return held[:, gripper], np.linalg.norm(velocity, axis=1)


def _winner(counts: Counter[int]) -> int:
    """Return the commonest action; the lowest id among equals, so that the order of episodes is irrelevant."""
    return min(counts, key=lambda action: (-counts[action], action))
