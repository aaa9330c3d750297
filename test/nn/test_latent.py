"""The ELBO's terms where their values are known, and that each can be driven."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hal_ros.nn.latent import Elbo, Latent, LatentEncoder, divergence  # noqa: E402


def latent(mean: Any, variance: float = 1.0) -> Latent:
    return Latent(mean, torch.full_like(mean, math.log(variance)))


def test_divergence_is_that_of_gaussians() -> None:
    q, p = latent(torch.tensor([[[0.5, -1.0]]]), 0.3), latent(torch.tensor([[[0.0, 2.0]]]), 2.0)
    wanted = torch.distributions.kl_divergence(
        torch.distributions.Normal(q.mean, math.sqrt(0.3)), torch.distributions.Normal(p.mean, math.sqrt(2.0))
    )
    torch.testing.assert_close(divergence(q, p), wanted)
    assert float(divergence(q, q).abs().max()) == pytest.approx(0, abs=1e-6)


def test_against_the_standard_prior_only_the_latents_count() -> None:
    elbo = Elbo(8, 3, 2, "standard", free_bits=0.0)
    visual, action = latent(torch.zeros(2, 7, 3)), latent(torch.ones(2, 7, 2))
    terms = elbo(torch.randn(2, 7, 8), visual, action, torch.ones(2, 7))
    torch.testing.assert_close(terms.visual_kl, torch.zeros(2))
    torch.testing.assert_close(terms.action_kl, torch.full((2,), 0.5))
    torch.testing.assert_close(terms.negative_elbo(0.0), terms.reconstruction)
    torch.testing.assert_close(terms.negative_elbo(2.0), terms.reconstruction + 2 * terms.action_kl)


def test_divergence_below_the_free_bits_costs_the_same_and_pulls_nothing() -> None:
    elbo = Elbo(8, 3, 2, "standard", free_bits=0.25)
    mean = torch.full((1, 7, 2), 0.1, requires_grad=True)
    terms = elbo(torch.randn(1, 7, 8), latent(torch.zeros(1, 7, 3)), latent(mean), torch.ones(1, 7))
    assert float(terms.action_kl.detach()) == pytest.approx(0.25)
    terms.action_kl.sum().backward()
    assert mean.grad is not None and float(mean.grad.abs().max()) == 0


def test_the_transition_prior_favours_what_changes_slowly() -> None:
    torch.manual_seed(0)
    elbo = Elbo(8, 3, 2, "transition", free_bits=0.0)
    with torch.no_grad():  # a prior that expects no change and little noise
        for prior, width in ((elbo.visual_prior, 3), (elbo.action_prior, 2)):
            last = prior[2]
            assert isinstance(last, torch.nn.Linear)
            last.weight.zero_()
            last.bias.zero_()
            last.bias[width:] = math.log(0.1)
    still = torch.ones(1, 20, 2)
    restless = torch.tensor([1.0, -1.0]).repeat(10)[None, :, None].expand(1, 20, 2)
    visual, known = latent(torch.zeros(1, 20, 3), 0.1), torch.ones(1, 20)

    @torch.no_grad()
    def action_kl(bound: Any, c: Any) -> float:
        return float(bound(torch.zeros(1, 20, 8), visual, latent(c, 0.1), known).action_kl)

    assert action_kl(elbo, still) < action_kl(elbo, restless) / 4
    normal = Elbo(8, 3, 2, "standard", free_bits=0.0)  # can't tell them apart
    assert action_kl(normal, still) == pytest.approx(action_kl(normal, restless))


def test_targets_are_held_fixed_and_padding_does_not_count() -> None:
    torch.manual_seed(0)
    elbo = Elbo(8, 3, 2)
    encoder = LatentEncoder(8, 3)
    below = torch.randn(1, 9, 8, requires_grad=True)
    mean = torch.randn(1, 9, 2, requires_grad=True)
    known = torch.ones(1, 9)
    known[:, 6:] = 0
    visual = encoder(below.detach())
    torch.manual_seed(1)
    terms = elbo(below, visual, latent(mean), known)
    terms.negative_elbo().sum().backward()
    assert below.grad is None
    assert mean.grad is not None
    assert float(mean.grad[:, :6].abs().max()) > 0
    assert float(mean.grad[:, 7:].abs().max()) == 0
    other = torch.cat([below[:, :6], torch.randn(1, 3, 8)], 1)
    torch.manual_seed(1)
    again = elbo(other, visual, latent(mean), known)
    torch.testing.assert_close(again.reconstruction, terms.reconstruction)


def test_one_tick_has_an_elbo() -> None:
    terms = Elbo(8, 3, 2)(
        torch.zeros(1, 1, 8), latent(torch.zeros(1, 1, 3)), latent(torch.zeros(1, 1, 2)), torch.ones(1, 1)
    )
    assert terms.negative_elbo().isfinite().all()


def test_an_unknown_prior_is_refused() -> None:
    with pytest.raises(ValueError, match="'flow'; expected one of standard, transition"):
        Elbo(8, 3, 2, "flow")
