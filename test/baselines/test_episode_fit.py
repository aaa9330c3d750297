"""Laws of the rule and the regression on recorded episodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fakes import make_card
from hal_ros.baselines import gripper_rule
from hal_ros.baselines.episode_fit import EncodedEpisode, fit_logistic, fit_rule
from hal_ros.core.card import EncoderSpec
from hal_ros.datasets.episodes import Episode
from joint_names import joints_named

ACTIONS = 3


def encoded(seed: int, ticks: int = 60) -> EncodedEpisode:
    """Return an episode whose gripper tells action 1 from the others, and whose features tell all three."""
    random = np.random.default_rng(seed)
    actions = np.repeat([0, 1, 2], ticks // ACTIONS)
    joints = np.zeros((ticks, 6), np.float32)
    joints[:, 1] = actions != 1  # the gripper's position
    joints[:, 2] = 1.0 + 0.05 * random.normal(size=ticks)  # the arm's velocity
    stamps = np.arange(ticks, dtype=np.int64) * 100_000_000
    episode = Episode(
        name=str(seed),
        stamp_ns=stamps,
        fresh=stamps == 0,
        held=stamps < 0,
        image_valid=np.ones((ticks, 1), np.float32),
        images={"camera": np.zeros((ticks, 4, 4, 3), np.uint8)},
        joints=joints,
        joints_valid=np.ones_like(joints),
        actions=actions,
        transcript=(),
        counters={},
    )
    return EncodedEpisode(episode, (np.eye(ACTIONS)[actions] + 0.1 * random.normal(size=(ticks, ACTIONS)),))


def test_the_rule_names_what_it_names_alone() -> None:
    training, one = [encoded(0), encoded(1)], encoded(2)
    annotated = [(e.joints, e.joints_valid, np.asarray(e.actions)) for e in (one.episode for one in training)]
    alone = gripper_rule.train(annotated, joints_named(["arm", "gripper"]))
    found = fit_rule(training, joints_named(["arm", "gripper"]))(one)
    assert np.array_equal(found, alone.predict(one.episode.joints, one.episode.joints_valid))
    assert (found[20:40] == 1).all()


def test_the_regression_tells_from_features_what_joints_can_not() -> None:
    pytest.importorskip("torch")
    one = encoded(2)
    log_probs = fit_logistic([encoded(0), encoded(1)], make_card())(one)
    assert np.allclose(np.exp(log_probs).sum(1), 1, atol=1e-4)
    assert (log_probs.argmax(1) == one.actions).mean() > 0.95


def test_a_users_encoder_is_pooled_over_the_cells_that_its_card_tells() -> None:
    pytest.importorskip("torch")
    one = encoded(2)
    tiled = [replace(e, features=(np.tile(e.features[0], (1, 4)),)) for e in (encoded(0), encoded(1), one)]
    card = make_card(encoder=EncoderSpec(4 * ACTIONS, source="onnx:abc", channels=ACTIONS))
    expected = fit_logistic([encoded(0), encoded(1)], make_card())(one)
    np.testing.assert_allclose(fit_logistic(tiled[:2], card)(tiled[2]), expected, atol=1e-4)
