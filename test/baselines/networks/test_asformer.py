"""Laws of ASFormer's parts."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from hal_ros.baselines.networks.asformer import AsFormer, CentredAttention, CentredAttentiveLayer
from hal_ros.baselines.sequence import Size


@pytest.mark.parametrize("half", [0, 1, 20])
def test_a_tick_attends_to_so_many_on_either_side_and_to_no_others(half: int) -> None:
    torch.manual_seed(0)
    attend, ticks, now = CentredAttention(16, 16, half), 100, 45
    reads = torch.randn(1, ticks, 16).requires_grad_()
    attend(reads, reads, torch.ones(1, ticks, 1))[0, now].square().sum().backward()
    assert reads.grad is not None
    felt = torch.nonzero(reads.grad[0].abs().sum(1))[:, 0].tolist()
    assert felt == list(range(now - half, now + half + 1))


def test_what_is_not_shown_is_not_attended_to() -> None:
    torch.manual_seed(0)
    attend, reads, shown = CentredAttention(4, 4, 3), torch.randn(1, 30, 4), torch.ones(1, 30, 1)
    shown[:, 20:] = 0
    assert torch.allclose(attend(reads, reads, shown)[:, :20], attend(reads[:, :20], reads[:, :20], shown[:, :20]))


def test_later_decoders_trust_their_attention_less() -> None:
    model = AsFormer(3, 2, 0, Size(width=4, layers=2, stages=4))
    trusts = [layer.trust for layer in model.decoders.modules() if isinstance(layer, CentredAttentiveLayer)]
    assert trusts == sorted(trusts, reverse=True) and trusts[0] == 1.0 and trusts[-1] < 0.01
