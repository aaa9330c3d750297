"""The pyramid: what it sees, what padding and missing values do, and who reads which latent."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hal_ros.labels.teacher import network as module  # noqa: E402
from hal_ros.labels.teacher.network import PyramidConfig, PyramidTeacher  # noqa: E402

CONFIG = PyramidConfig(actions=3, features=5, width=16, heads=2, layers=4, feed_forward=24, dropout=0.0)


@pytest.fixture(params=[False, True], ids=["chain", "literal"])
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    made = PyramidTeacher(dataclasses.replace(CONFIG, literal=request.param)).eval()
    for layer in made.layers:
        torch.nn.init.normal_(layer.bias)
    return made


@pytest.mark.parametrize("ticks", [1, 2, 15, 16, 17, 70])
def test_padding_changes_nothing(model: Any, ticks: int) -> None:
    inputs, known = torch.randn(2, ticks, 5), torch.ones(2, ticks)
    alone = model(inputs, known)
    padded = model(torch.cat([inputs, torch.full((2, 9, 5), 3.0)], 1), torch.cat([known, torch.zeros(2, 9)], 1))
    torch.testing.assert_close(padded.log_probs[:, :ticks], alone.log_probs, atol=1e-5, rtol=0)
    torch.testing.assert_close(padded.video_logits, alone.video_logits, atol=1e-5, rtol=0)
    counted = model(torch.cat([inputs, torch.full((2, 9, 5), 3.0)], 1), torch.ones(2, ticks + 9))
    assert (counted.video_logits - alone.video_logits).abs().max() > 1e-4  # without the mask it does


def test_the_size_of_blocks_is_of_no_consequence(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, known = torch.randn(1, 90, 5), torch.ones(1, 90)
    small = model(inputs, known).log_probs
    monkeypatch.setattr(module, "LEAST_BLOCK", 128)
    torch.testing.assert_close(model(inputs, known).log_probs, small, atol=1e-5, rtol=0)


def test_a_layer_reaches_its_radius_on_both_sides_and_no_further(model: Any) -> None:
    x, known = torch.randn(1, 3 + 60, 16), torch.ones(1, 60)
    changed = x.clone()
    changed[:, 3 + 30] = torch.randn(16)
    layer = model.layers[2]
    moved = (layer(changed, known, 3) - layer(x, known, 3)).abs().sum((0, 2)) > 1e-7
    assert moved[:3].all()  # class tokens see every tick
    assert moved[3:].nonzero().flatten().tolist() == list(range(26, 35))


def test_pyramid_and_flat_bands_reach_equally_far() -> None:
    pyramid, flat = CONFIG.radii(), dataclasses.replace(CONFIG, bands="flat").radii()
    assert pyramid == (1, 2, 4, 8)
    assert len(set(flat)) == 1
    assert sum(flat) >= sum(pyramid)


def test_missing_values_are_means_and_are_counted(model: Any) -> None:
    model.mean.fill_(2.0)
    inputs = torch.randn(1, 20, 5)
    holes = inputs.clone()
    holes[0, 4, 1], holes[0, 5, 2] = float("nan"), float("inf")
    filled = inputs.clone()
    filled[0, 4, 1] = filled[0, 5, 2] = 2.0
    standard = model.standardise(holes)
    torch.testing.assert_close(standard[..., :5], model.standardise(filled)[..., :5])
    assert standard[0, 4, 5] == pytest.approx(0.2)
    assert standard[0, 3, 5] == 0
    assert model(holes, torch.ones(1, 20)).log_probs.isfinite().all()
    assert model(torch.full((1, 20, 5), float("nan")), torch.ones(1, 20)).log_probs.isfinite().all()


def test_the_classifier_reads_c_and_in_the_published_variant_the_trunk(model: Any) -> None:
    inputs, known = torch.randn(1, 20, 5), torch.ones(1, 20)
    before = model(inputs, known)
    with torch.no_grad():
        model.action.mean.weight.mul_(-2.0)
    after = model(inputs, known)
    assert not torch.allclose(after.action.mean, before.action.mean)
    assert torch.allclose(after.log_probs, before.log_probs) == model.config.literal


def test_one_classifier_serves_ticks_and_class_tokens(model: Any) -> None:
    found = model(torch.randn(1, 20, 5), torch.ones(1, 20))
    torch.testing.assert_close(found.log_probs, torch.log_softmax(model.head(found.frames), -1))
    torch.testing.assert_close(found.video_logits[0], model.head(found.tokens[0]).diagonal())
