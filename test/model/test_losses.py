"""The loss terms on cases whose value is known."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from hal_ros.model import losses  # noqa: E402


def test_certain_and_right_costs_nothing_and_unknown_costs_log_k():
    certain = torch.log_softmax(torch.tensor([[[100.0, 0, 0, 0]]]), -1)
    unknown = torch.log_softmax(torch.zeros(1, 1, 4), -1)
    actions, weight = torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, 1)
    assert float(losses.classification(certain, actions, weight, 0.0)) == pytest.approx(0)
    assert float(losses.classification(unknown, actions, weight, 0.0)) == pytest.approx(math.log(4))
    assert float(losses.classification(certain, actions, weight, 0.1)) > 1  # smoothing punishes certainty


def test_ticks_without_weight_do_not_count():
    log_probs = torch.log_softmax(torch.randn(2, 6, 3), -1)
    actions = torch.zeros(2, 6, dtype=torch.int64)
    weight = torch.zeros(2, 6)
    assert float(losses.classification(log_probs, actions, weight, 0.0)) == 0
    weight[0, 2] = 1
    assert float(losses.classification(log_probs, actions, weight, 0.0)) == pytest.approx(-float(log_probs[0, 2, 0]))


def test_transition_is_the_capped_square_of_a_jump_and_holds_the_past_fixed():
    log_probs = torch.tensor([[[0.0], [-1.0], [-21.0]]], requires_grad=True)
    loss = losses.transition(log_probs, torch.ones(1, 3))
    assert float(loss.detach()) == pytest.approx((1 + losses.JUMP_CAP**2) / 2)
    loss.backward()
    assert float(log_probs.grad[0, 0]) == 0


def test_slowness_prefers_a_context_that_rests_over_one_that_moves_like_v():
    visual = torch.randn(1, 30, 8)
    weight = torch.ones(1, 30)
    rests, moves = torch.ones(1, 30, 8), torch.randn(1, 30, 8) * 5
    assert float(losses.slowness(visual, rests, weight, 0.1)) == pytest.approx(0, abs=1e-5)
    assert float(losses.slowness(visual, moves, weight, 0.1)) > 0.1
