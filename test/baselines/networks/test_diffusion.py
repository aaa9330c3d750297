"""Laws of the noise."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("torch")

import torch

from hal_ros.baselines.networks.diffusion import STEPS, denoised, disturbed, jumps, signal_shares, step_embedding


def test_the_signal_dwindles_from_all_to_nothing() -> None:
    shares = signal_shares()
    assert shares.shape == (STEPS,)
    assert (shares.diff() < 0).all()
    assert shares[0] > 0.999 and shares[-1] < 1e-4


@pytest.mark.parametrize("count", [1, 3, 25, STEPS])
def test_the_way_back_begins_with_pure_noise_and_ends_with_the_answer(count: int) -> None:
    found = list(jumps(count))
    assert len(found) == count
    assert found[0].step == STEPS - 1 and found[-1].target == -1
    assert all(earlier.target == later.step for earlier, later in itertools.pairwise(found))
    assert all(jump.step > jump.target for jump in found)


def test_whoever_knows_the_answer_lands_where_the_noise_of_the_earlier_step_would_be() -> None:
    random, shares = torch.Generator().manual_seed(0), signal_shares()
    answer = torch.ones(100_000)
    now, then = shares[700], shares[300]
    x = disturbed(answer, now, torch.randn(len(answer), generator=random))
    back = denoised(x, answer, torch.randn(len(answer), generator=random), (now, then))
    assert abs(float(back.mean() - then.sqrt())) < 0.01
    assert abs(float(back.var() - (1 - then))) < 0.01


def test_steps_are_told_apart() -> None:
    found = step_embedding(torch.tensor([0, 1, 500, 999]), 16)
    assert found.shape == (4, 16)
    assert torch.cdist(found, found).fill_diagonal_(9).min() > 0.1
