"""The norm over time."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from hal_ros.baselines.networks.norms import norm_over_time


def test_each_channel_of_a_clip_is_centred_and_scaled_by_what_is_shown() -> None:
    x = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0, 0.1]) + 7
    shown = torch.ones(2, 50, 1)
    shown[1, 30:] = 0
    found = norm_over_time(x, shown)
    assert torch.allclose(found[1, :30].mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(found[1, :30].var(0, correction=0), torch.ones(3), atol=1e-2)
    assert not found[1, 30:].any()
    assert torch.allclose(found[1:, :30], norm_over_time(x[1:, :30], shown[1:, :30]), atol=1e-5)
    assert torch.allclose(found[0], torch.nn.functional.instance_norm(x[:1].transpose(1, 2))[0].T, atol=1e-4)


def test_a_channel_that_never_changes_and_a_clip_of_nothing_give_zeros() -> None:
    assert not norm_over_time(torch.full((1, 9, 2), 3.0), torch.ones(1, 9, 1)).any()
    assert not norm_over_time(torch.randn(1, 9, 2), torch.zeros(1, 9, 1)).any()
