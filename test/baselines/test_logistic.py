"""Laws of the logistic regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from hal_ros.baselines import logistic
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError


def blobs(seed: int, ticks: int = 90) -> tuple[Any, ...]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, ticks)
    centres = np.array([[0, 0, 5], [0, 5, 0], [5, 0, 0]], np.float32)
    return (centres[labels] + random.normal(size=(ticks, 3))).astype(np.float32), labels


def test_it_separates_what_can_be_separated_and_not_what_cannot() -> None:
    inputs, labels = blobs(0)
    model = logistic.train([inputs], [labels], actions=3)
    unseen, truth = blobs(1)
    assert (model.log_probs(unseen).argmax(1) == truth).mean() > 0.9
    shuffled = np.random.default_rng(2).permutation(labels)
    control = logistic.train([inputs], [shuffled], actions=3)
    assert (control.log_probs(unseen).argmax(1) == truth).mean() < 0.7


def test_log_probabilities_sum_to_one() -> None:
    inputs, labels = blobs(0)
    log_probs = logistic.train([inputs], [labels], actions=3).log_probs(100 * inputs)
    assert np.allclose(np.exp(log_probs).sum(1), 1, atol=1e-5)


def test_the_optimum_has_no_gradient() -> None:
    inputs, labels = blobs(0)
    decay = 1e-2
    model = logistic.train([inputs], [labels], actions=3, decay=decay)
    standard = (inputs - model.mean) / model.std
    surplus = np.exp(model.log_probs(inputs)) - np.eye(3)[labels]
    gradient = standard.T @ surplus / len(labels) + 2 * decay * model.weights
    assert np.abs(gradient).max() < 1e-3


def test_the_same_data_give_the_same_weights() -> None:
    inputs, labels = blobs(0)
    first, second = (logistic.train([inputs], [labels], actions=3) for _ in range(2))
    assert np.array_equal(first.weights, second.weights)


def test_what_is_not_annotated_is_not_learned_from() -> None:
    inputs, labels = blobs(0)
    padded = np.append(labels, [NO_ACTION] * 5)
    noise = np.concatenate([inputs, np.full((5, 3), 99, np.float32)])
    first = logistic.train([inputs], [labels], actions=3)
    second = logistic.train([noise], [padded], actions=3)
    assert np.array_equal(first.weights, second.weights)
    with pytest.raises(DatasetError, match="annotated"):
        logistic.train([inputs], [np.full_like(labels, NO_ACTION)], actions=3)


def test_frame_inputs_pool_over_cells_and_blank_what_is_not_valid() -> None:
    features = np.arange(2 * 4 * 3, dtype=np.float16).reshape(2, 12)  # two ticks, four cells, three channels
    joints = np.ones((2, 6), np.float32)
    valid = np.array([[1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1]], np.float32)
    rows = logistic.frame_inputs([features], np.array([[1], [0]], np.float32), joints, valid, channels=3)
    assert rows.shape == (2, 3 + 1 + 12)
    assert rows[0, :4].tolist() == [4.5, 5.5, 6.5, 1]
    assert rows[1, :4].tolist() == [0, 0, 0, 0]
    assert rows[1, 4:].tolist() == [0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1]


def test_each_camera_stands_beside_the_others_with_a_flag_of_its_own() -> None:
    features = [np.full((2, 4), bright, np.float16) for bright in (1, 2)]
    image_valid = np.array([[1, 1], [1, 0]], np.float32)
    values, valid = np.full((2, 1), 7, np.float32), np.array([[1], [0]], np.float32)
    rows = logistic.frame_inputs(features, image_valid, values, valid, channels=2)
    assert rows.tolist() == [[1, 1, 2, 2, 1, 1, 7, 1], [1, 1, 0, 0, 1, 0, 0, 0]]


def test_a_robot_without_cameras_has_its_states() -> None:
    values = np.full((3, 2), 7, np.float32)
    rows = logistic.frame_inputs([], np.zeros((3, 0), np.float32), values, np.ones_like(values), channels=1)
    assert rows.tolist() == [[7, 7, 1, 1]] * 3
