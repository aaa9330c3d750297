"""The loss terms on cases whose value is known."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hal_ros.nn import losses  # noqa: E402
from hal_ros.nn.hal import CausalHal, HalConfig, Inputs  # noqa: E402


def one_hot(actions: Any, count: int) -> Any:
    return torch.nn.functional.one_hot(actions, count).float()


def test_certain_and_right_costs_nothing_and_unknown_costs_log_k() -> None:
    certain = torch.log_softmax(torch.tensor([[[100.0, 0, 0, 0]]]), -1)
    unknown = torch.log_softmax(torch.zeros(1, 1, 4), -1)
    actions, weight = one_hot(torch.zeros(1, 1, dtype=torch.int64), 4), torch.ones(1, 1)
    assert float(losses.classification(certain, actions, weight, 0.0)) == pytest.approx(0)
    assert float(losses.classification(unknown, actions, weight, 0.0)) == pytest.approx(math.log(4))
    assert float(losses.classification(certain, actions, weight, 0.1)) > 1  # smoothing punishes certainty


def test_ticks_without_weight_do_not_count() -> None:
    log_probs = torch.log_softmax(torch.randn(2, 6, 3), -1)
    actions = one_hot(torch.zeros(2, 6, dtype=torch.int64), 3)
    weight = torch.zeros(2, 6)
    assert float(losses.classification(log_probs, actions, weight, 0.0)) == 0
    weight[0, 2] = 1
    assert float(losses.classification(log_probs, actions, weight, 0.0)) == pytest.approx(-float(log_probs[0, 2, 0]))


def test_transition_is_the_capped_square_of_a_jump_and_holds_the_past_fixed() -> None:
    log_probs = torch.tensor([[[0.0], [-1.0], [-21.0]]], requires_grad=True)
    loss = losses.transition(log_probs, torch.ones(1, 3))
    assert float(loss.detach()) == pytest.approx((1 + losses.JUMP_CAP**2) / 2)
    loss.backward()
    assert float(log_probs.grad[0, 0]) == 0


def test_slowness_prefers_a_context_that_rests_over_one_that_moves_like_v() -> None:
    visual = torch.randn(1, 30, 8)
    weight = torch.ones(1, 30)
    rests, moves = torch.ones(1, 30, 8), torch.randn(1, 30, 8) * 5
    assert float(losses.slowness(visual, rests, weight, 0.1)) == pytest.approx(0, abs=1e-5)
    assert float(losses.slowness(visual, moves, weight, 0.1)) > 0.1


def test_soft_targets_cost_their_own_entropy_at_least() -> None:
    soft = torch.tensor([[[0.7, 0.2, 0.1]]])
    weight = torch.ones(1, 1)
    entropy = -float((soft * soft.log()).sum())
    assert float(losses.classification(soft.log(), soft, weight, 0.0)) == pytest.approx(entropy)
    assert float(losses.classification(torch.log(torch.tensor([[[0.6, 0.3, 0.1]]])), soft, weight, 0.0)) > entropy


def test_the_gate_is_asked_to_open_where_an_action_begins() -> None:
    change, weight = torch.tensor([[0.0, 0.0, 1.0, 0.0]]), torch.ones(1, 4)
    right = float(losses.opening(torch.tensor([[1.0, 0.0, 1.0, 0.0]]), change, weight))  # the first tick does not count
    assert right == pytest.approx(0, abs=1e-3)
    assert float(losses.opening(torch.tensor([[0.0, 1.0, 0.0, 0.0]]), change, weight)) > 1


@pytest.mark.parametrize("prior", ["standard", "transition"])
def test_every_term_reaches_the_model_and_a_weight_of_zero_takes_it_away(prior: str) -> None:
    torch.manual_seed(0)
    config = HalConfig(
        3, joint_values=6, attended=4, width=16, heads=2, lookback=(3, 5), feed_forward=16, visual_width=8
    )
    model = CausalHal(config)
    outputs, _ = model(Inputs(*(torch.randn(2, 12, n) for n in (4, 1, 6, 6))), model.initial_state(2))
    known = torch.ones(2, 12)
    actions = one_hot(torch.randint(3, (2, 12)), 3)
    targets = losses.TargetBatch(actions, known, actions, known, torch.zeros(2, 12))
    bare = losses.LossWeights(lagged=0.5, transition=0, label_smoothing=0)
    assert set(losses.training_loss(outputs, targets, bare)) == {"now", "lagged"}
    full = losses.LossWeights(slowness=1.0, boundary=1.0, reconstruction=0.1, kl=0.01)
    terms = losses.training_loss(outputs, targets, full, losses.Hierarchy(config, prior))
    assert set(terms) == {"now", "lagged", "transition", "slowness", "boundary", "reconstruction", "kl"}
    for name, term in terms.items():
        gradients = torch.autograd.grad(term, list(model.parameters()), retain_graph=True, allow_unused=True)
        assert any(g is not None and float(g.abs().max()) > 0 for g in gradients), name
        assert all(bool(g.isfinite().all()) for g in gradients if g is not None), name
