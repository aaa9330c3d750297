"""Gripper rule and logistic regression on the clips of the tables: the same inputs, targets and answers as the others.

Each answers twice, as the sequence models do. The rule's second answer has also seen what followed for `lag` ticks; the
regression's is made from two frames, the one that is asked about and the present one. `episode_fit.py` fits the same
two on recorded episodes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hal_ros.baselines import gripper_rule, logistic
from hal_ros.baselines.gripper_rule import Context, GripperRule
from hal_ros.baselines.logistic import LogisticRegression
from hal_ros.baselines.sequence_answers import change, processor_ms
from hal_ros.baselines.sequence_batches import check, measure
from hal_ros.core.arrays import FloatArray
from hal_ros.core.errors import DatasetError
from hal_ros.core.streams.columns import JointColumns
from hal_ros.datasets.clips import Clip
from hal_ros.train.answers import Answers
from hal_ros.train.clips import Columns, Supervised, probabilities

FLOOR = 1e-3
"""Probability shared by all actions, so that a decoder can overrule a table that was sure."""
BACK_OFF = 10.0
"""Ticks' worth of trust in the coarser table, where the finer one has seen little."""


class FittedBaseline(Protocol):
    """What every baseline offers after training."""

    @property
    def parameter_count(self) -> int:
        """How many numbers training set."""

    @property
    def offline(self) -> bool:
        """Whether it sees what comes later."""

    def answer(self, clip: Clip) -> Answers:
        """Say what happens in a clip."""

    def ms_per_tick(self) -> float:
        """Return the milliseconds that one more tick costs."""


# --- the rule ---------------------------------------------------------------------------------------------------------


class VoteTable:
    """How often each action was right under each key."""

    def __init__(self, actions: int) -> None:
        self.overall = np.zeros(actions)
        self.votes: dict[Hashable, NDArray[np.float64]] = {}

    def count(self, keys: Sequence[Hashable], chances: FloatArray) -> None:
        """Add votes (T, K) under keys (T,)."""
        for key, row in zip(keys, chances.astype(np.float64), strict=True):
            self.votes[key] = self.votes.get(key, 0.0) + row
            self.overall += row

    def look_up(self, keys: Sequence[Hashable], coarser: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return probabilities (T, K), drawn to those of a coarser table where votes are few."""
        none = np.zeros_like(self.overall)
        votes = np.array([self.votes.get(key, none) for key in keys]).reshape(len(keys), len(none))
        return (votes + BACK_OFF * coarser) / (votes.sum(1, keepdims=True) + BACK_OFF)

    @property
    def cells(self) -> int:
        """How many numbers the table holds."""
        return len(self.votes) * len(self.overall)


class FittedRule:
    """The rule, answering with all the votes of a context instead of its winner's name."""

    offline = False

    def __init__(self, rule: GripperRule, columns: Columns, lag_ticks: int, actions: int) -> None:
        self.rule, self.columns, self.lag_ticks = rule, columns, lag_ticks
        self.by_gripper, self.now, self.lagged = VoteTable(actions), VoteTable(actions), VoteTable(actions)

    @property
    def parameter_count(self) -> int:
        """Four thresholds and the tables."""
        return 4 + self.by_gripper.cells + self.now.cells + self.lagged.cells

    def count(self, clip: Clip, chances: FloatArray) -> None:
        """Learn from a clip and its weighted target (T, K)."""
        contexts = self._contexts(clip)
        self.by_gripper.count([context.closed for context in contexts], chances)
        self.now.count(contexts, chances)
        # what was right `lag` ticks ago, under what was known then and what is known now
        pairs = self._pairs(contexts)
        self.lagged.count(pairs, chances[: len(pairs)])

    def answer(self, clip: Clip) -> Answers:
        """Look every tick up."""
        contexts = self._contexts(clip)
        base = self.by_gripper.overall + FLOOR * max(self.by_gripper.overall.sum(), 1.0)
        base = np.broadcast_to(base / base.sum(), (len(contexts), len(base)))
        now = self.now.look_up(contexts, self.by_gripper.look_up([context.closed for context in contexts], base))
        pairs = self._pairs(contexts)
        lagged = np.concatenate([now[: len(contexts) - len(pairs)], self.lagged.look_up(pairs, now[: len(pairs)])])
        log_probs = np.log(now).astype(np.float32)
        return Answers(log_probs, np.log(lagged).astype(np.float32), change(log_probs))

    def ms_per_tick(self) -> float:
        """Return a clip's time over its ticks; the rule costs the same at each."""
        clip = Clip("still", np.zeros((1000, self.columns.width), np.float32), np.zeros(1000, np.int64), ())
        return processor_ms(lambda: self.answer(clip), times=5) / clip.ticks

    def _pairs(self, contexts: list[Context]) -> list[tuple[Context, Context]]:
        return list(zip(contexts, contexts[self.lag_ticks :], strict=False))

    def _contexts(self, clip: Clip) -> list[Context]:
        rows = self.columns.split(clip.inputs)
        return gripper_rule.contexts(rows.joints, rows.joints_valid, self.rule.joints, self.rule.thresholds)


def fit_rule(training: Supervised, actions: int, lag_ticks: int, columns: Columns, joints: JointColumns) -> FittedRule:
    """Train the rule. Raises DatasetError for clips without joints."""
    if not (joints.names and columns.groups.names):
        raise DatasetError("the gripper rule needs clips whose columns are joints; these are other values")
    training = check(training, actions)
    recordings = []
    for clip in training.clips:
        rows = columns.split(clip.inputs)
        recordings.append((rows.joints, rows.joints_valid, training.labels(clip)))
    fitted = FittedRule(gripper_rule.train(recordings, joints), columns, lag_ticks, actions)
    for clip in training.clips:
        chances, weight = weighted(training, clip, actions)
        fitted.count(clip, chances * weight[:, None])
    return fitted


# --- the regression ---------------------------------------------------------------------------------------------------


class FittedLogistic:
    """Two regressions: of the present frame, and of the frame `lag` ticks back beside the present one."""

    offline = False

    def __init__(
        self, now: LogisticRegression, lagged: LogisticRegression, standard: tuple[FloatArray, FloatArray], lag: int
    ) -> None:
        self.now, self.lagged, self.standard, self.lag_ticks = now, lagged, standard, lag

    @property
    def parameter_count(self) -> int:
        """How many numbers training set."""
        return sum(model.weights.size + model.bias.size for model in (self.now, self.lagged))

    def answer(self, clip: Clip) -> Answers:
        """Judge every frame; the lagged rows of the first ticks, which speak of no tick, repeat the first frame."""
        rows = frames(clip, self.standard)
        log_probs = self.now.log_probs(rows)
        earlier = rows[np.maximum(np.arange(len(rows)) - self.lag_ticks, 0)]
        return Answers(log_probs, self.lagged.log_probs(np.concatenate([earlier, rows], 1)), change(log_probs))

    def ms_per_tick(self) -> float:
        """Return what one tick alone costs."""
        clip = Clip("still", np.zeros((1, len(self.standard[0])), np.float32), np.zeros(1, np.int64), ())
        return processor_ms(lambda: self.answer(clip), times=50)


def fit_logistic(training: Supervised, actions: int, lag_ticks: int, decay: float = 1e-3) -> FittedLogistic:
    """Train both regressions on all ticks that have a target.

    Raises DatasetError where no tick has one, or no clip is longer than the lag.
    """
    training = check(training, actions)
    if all(clip.ticks <= lag_ticks for clip in training.clips):
        raise DatasetError(
            f"none of {len(training.clips)} training clips is longer than the lag of {lag_ticks} ticks; expected one "
            "that shows what follows a tick"
        )
    standard = measure(training.clips)
    rows = [frames(clip, standard) for clip in training.clips]
    chances, weights = zip(*(weighted(training, clip, actions) for clip in training.clips), strict=True)
    pairs = [np.concatenate([row[: len(row) - lag_ticks], row[lag_ticks:]], 1) for row in rows if len(row) > lag_ticks]
    lagged_chances = [row[: len(row) - lag_ticks] for row in chances if len(row) > lag_ticks]
    lagged_weights = [row[: len(row) - lag_ticks] for row in weights if len(row) > lag_ticks]
    now = logistic.train_soft(np.concatenate(rows), np.concatenate(chances), np.concatenate(weights), decay)
    lagged = logistic.train_soft(
        np.concatenate(pairs), np.concatenate(lagged_chances), np.concatenate(lagged_weights), decay
    )
    return FittedLogistic(now, lagged, standard, lag_ticks)


def frames(clip: Clip, standard: tuple[FloatArray, FloatArray]) -> FloatArray:
    """Return standardised inputs (T, F), 0 where a value is missing."""
    mean, std = standard
    rows = (np.asarray(clip.inputs, np.float32) - mean) / std
    return np.where(np.isfinite(rows), rows, np.float32(0))


def weighted(training: Supervised, clip: Clip, actions: int) -> tuple[FloatArray, FloatArray]:
    """Return a clip's target as probabilities (T, K), and how much each tick counts (T,)."""
    chances, known = probabilities(training.targets[clip.name], actions, training.weights.get(clip.name))
    return chances, known
