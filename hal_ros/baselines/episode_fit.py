"""Gripper rule and logistic regression on recorded episodes, as `hal evaluate` sets them beside a bundle.

Contexts, thresholds and majorities of the rule, loss and optimiser of the regression are those of the tables, which fit
both in `simple_fit.py`. The rest differs on purpose. There every system gets what the student gets: clips behind a
trained eye, targets that may be probabilities, and a second answer once the lag has passed; and it answers in
probabilities, which a decoder can weigh. Here a bundle brings its own eye: the baselines get the raw features of its
encoder, pooled, learn what was annotated, and answer each tick at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal_ros.baselines import gripper_rule
from hal_ros.core.arrays import FloatArray
from hal_ros.core.card import ModelCard
from hal_ros.core.segments import Labels
from hal_ros.core.streams.columns import JointColumns
from hal_ros.datasets.episodes import Episode


@dataclass(frozen=True)
class EncodedEpisode:
    """One annotated episode and the features (T, D) of each of its cameras."""

    episode: Episode
    features: tuple[NDArray[np.floating], ...]

    @property
    def actions(self) -> Labels:
        """What was annotated, (T,)."""
        assert self.episode.actions is not None  # whoever loads them refuses others
        return self.episode.actions


def fit_rule(training: Sequence[EncodedEpisode], joints: JointColumns) -> Callable[[EncodedEpisode], Labels]:
    """Train the rule; returns what names the action of every tick, (T,). Raises DatasetError as the rule does."""
    recordings = [(one.episode.joints, one.episode.joints_valid, one.actions) for one in training]
    rule = gripper_rule.train(recordings, joints)

    def predict(encoded: EncodedEpisode) -> Labels:
        return rule.predict(encoded.episode.joints, encoded.episode.joints_valid)

    return predict


def fit_logistic(training: Sequence[EncodedEpisode], card: ModelCard) -> Callable[[EncodedEpisode], FloatArray]:
    """Train the regression; returns what gives log-probabilities (T, K). Raises DatasetError as the regression does."""
    from hal_ros.baselines import logistic  # late: it needs torch, and the rule does not

    channels = _channels(card)

    def inputs(encoded: EncodedEpisode) -> FloatArray:
        e = encoded.episode
        return logistic.frame_inputs(encoded.features, e.image_valid, e.joints, e.joints_valid, channels)

    labels = [encoded.actions for encoded in training]
    model = logistic.train([inputs(encoded) for encoded in training], labels, len(card.vocabulary))
    return lambda encoded: model.log_probs(inputs(encoded))


def _channels(card: ModelCard) -> int:
    """Return how many numbers a cell of the feature map holds; all, where neither card nor built-in map tell."""
    from hal_ros.nn.encoder import feature_shape  # late: it needs onnx

    if card.encoder is None:
        return 1
    if card.encoder.channels:
        return card.encoder.channels
    rows, columns, channels = feature_shape(card.streams.size_px)
    return channels if rows * columns * channels == card.feature_dim else card.feature_dim
