"""The weak losses on cases whose value is known."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from hal_ros.labels.teacher.weak_losses import contrast, frame_loss, video_loss  # noqa: E402


def test_the_video_loss_asks_which_actions_occur() -> None:
    present = torch.tensor([[1.0, 0.0, 1.0]])
    assert float(video_loss(torch.zeros(1, 3), present)) == pytest.approx(math.log(2))
    assert float(video_loss((present - 0.5) * 100, present)) == pytest.approx(0, abs=1e-6)


def test_the_frame_loss_is_a_mean_over_ticks_that_count() -> None:
    log_probs = torch.log_softmax(torch.randn(2, 4, 3), -1)
    targets = torch.eye(3)[torch.tensor([[0, 1, 2, 0], [1, 1, 1, 1]])]
    weight = torch.tensor([[1.0, 1, 0, 0], [1, 1, 1, 1]])
    loss = frame_loss(log_probs, targets, weight, torch.ones(3))
    assert float(loss[0]) == pytest.approx(-float(log_probs[0, 0, 0] + log_probs[0, 1, 1]) / 2, abs=1e-6)
    assert float(loss[1]) == pytest.approx(-float(log_probs[1, :, 1].mean()), abs=1e-6)
    assert float(frame_loss(log_probs, targets, torch.zeros(2, 4), torch.ones(3)).abs().max()) == 0


def test_background_counts_less() -> None:
    log_probs = torch.log_softmax(torch.tensor([[[3.0, 0.0], [3.0, 0.0]]]), -1)  # right at tick 0, wrong at tick 1
    targets = torch.eye(2)[None]
    even = frame_loss(log_probs, targets, torch.ones(1, 2), torch.ones(2))
    eased = frame_loss(log_probs, targets, torch.ones(1, 2), torch.tensor([1.0, 0.5]))
    assert float(eased) < float(even)


def test_the_contrast_is_least_where_each_action_resembles_its_own_token() -> None:
    tokens = torch.eye(3)[None] * 5
    targets = torch.eye(3)[torch.tensor([[0, 0, 1, 1]])]
    known, present = torch.ones(1, 4), torch.tensor([[1.0, 1, 0]])
    frames = torch.eye(3)[torch.tensor([[0, 0, 1, 1]])]
    own = contrast(frames, tokens, targets, known, present)
    swapped = contrast(frames[:, [2, 3, 0, 1]], tokens, targets, known, present)
    assert float(own) == pytest.approx(math.log(1 + 2 * math.exp(-5)), abs=1e-5)
    assert float(swapped) == pytest.approx(float(own) + 5, abs=1e-4)


def test_the_contrast_holds_tokens_fixed_and_an_action_without_ticks_is_harmless() -> None:
    tokens = torch.randn(1, 3, 4, requires_grad=True)
    frames = torch.randn(1, 5, 4, requires_grad=True)
    targets = torch.eye(3)[torch.zeros(1, 5, dtype=torch.int64)]
    contrast(frames, tokens, targets, torch.ones(1, 5), torch.ones(1, 3)).sum().backward()
    assert tokens.grad is None
    assert frames.grad is not None and frames.grad.isfinite().all()
