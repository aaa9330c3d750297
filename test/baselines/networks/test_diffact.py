"""Laws of DiffAct: its masks, its boundaries, and that a clip has one answer."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from hal_ros.baselines.networks import diffact
from hal_ros.baselines.networks.diffact import DiffAct, boundaries
from hal_ros.baselines.sequence import Size

F, K = 4, 3


def model() -> DiffAct:
    torch.manual_seed(0)
    return DiffAct(F, K, 2, Size(width=8, layers=3, sampling_steps=3)).eval()


def test_boundaries_are_highest_on_both_sides_of_a_change_and_unknown_ticks_have_none() -> None:
    labels, known = torch.tensor([[0] * 10 + [1] * 10 + [2] * 10]), torch.ones(1, 30)
    known[:, 18:22] = 0
    found = boundaries(labels, known)[0]
    assert found[9] == found[10] == 1
    assert found[7] == found[12] and 0 < found[12] < found[11] < 1
    assert not found[15:].any()


@pytest.mark.parametrize("way", sorted(set(diffact.MASKINGS)))
def test_each_way_of_masking_hides_what_it_says(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffact, "MASKINGS", (way,))
    labels = torch.tensor([[0] * 10 + [1] * 10 + [0] * 10])
    seen = model()._masking(labels, boundaries(labels, torch.ones(1, 30)))[0]
    hidden = torch.nonzero(seen == 0)[:, 0].tolist()
    expected: dict[str, list[list[int]]] = {
        "none": [[]],
        "all": [list(range(30))],
        "boundaries": [[*range(8, 12), *range(18, 22)]],
        "action": [list(range(10, 20)), [*range(10), *range(20, 30)]],
    }
    assert hidden in expected[way]


def test_a_clip_has_one_answer_and_another_draw_of_noise_gives_another(monkeypatch: pytest.MonkeyPatch) -> None:
    one, inputs = model(), torch.randn(1, 20, F, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        first, second = (one(inputs, torch.ones(1, 20)) for _ in range(2))
        assert torch.equal(first, second)
        monkeypatch.setattr(diffact, "NOISE_SEED", 1)
        assert not torch.allclose(one(inputs, torch.ones(1, 20)), first, atol=1e-4)


def test_a_tick_has_the_same_noise_in_whatever_chunk_it_is_answered() -> None:
    one = model()
    assert torch.equal(one._noise(0, 50)[:, 20:], one._noise(20, 30))
