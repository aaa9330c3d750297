"""Laws of OnlineTAS: its memory, its two modes, and answers that are held in validation."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from hal_ros.baselines.networks.online_tas import OnlineTas
from hal_ros.baselines.sequence import Size

F, K, W = 4, 3, 6


def model() -> OnlineTas:
    torch.manual_seed(0)
    return OnlineTas(F, K, Size(width=8, layers=2, clip_ticks=W, dropout=0.0)).eval()


def clip(ticks: int, seed: int = 1) -> Tensor:
    return torch.randn(1, ticks, F, generator=torch.Generator().manual_seed(seed))


def answers(one: OnlineTas, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return one(inputs, torch.ones(inputs.shape[:2]))[0, 0]


def test_the_memory_grows_by_a_token_a_clip_up_to_two_thirds_and_forgets_the_oldest() -> None:
    one, state, longs = model(), model().initial_state(), []
    for number in range(8):
        before = state[3]
        with torch.no_grad():
            state = one.advance(clip(W, number), state)[1]
        longs.append(int(state[4][0, 1]))
        assert state[3].shape == before.shape and state[4][0, 0] == 0
        if longs[-2:-1] == longs[-1:]:
            assert torch.equal(state[3][:, : longs[-1] - 1], before[:, 1 : longs[-1]])
    assert longs == [1, 2, 3, 4, 5, 5, 5, 5]


def test_what_lies_in_the_memory_counts() -> None:
    one, state = model(), model().initial_state()
    with torch.no_grad():
        hidden, recent, known, memory, counts = one.advance(clip(2 * W), state)[1]
        kept = one.advance(clip(3, 9), (hidden, recent, known, memory, counts))[0]
        lost = one.advance(clip(3, 9), (hidden, recent, known, torch.randn_like(memory), counts))[0]
    assert not torch.allclose(kept, lost, atol=1e-4)


def test_the_last_tick_of_each_clip_is_answered_in_training_as_in_use() -> None:
    one, inputs = model(), clip(4 * W)
    online = answers(one, inputs)
    trained = answers(one.train(), inputs)
    last = torch.arange(W - 1, 4 * W, W)
    assert torch.allclose(online[last], trained[last], atol=1e-5)
    others = [tick for tick in range(4 * W) if tick % W != W - 1]
    assert not torch.allclose(online[others], trained[others], atol=1e-3)


def test_in_training_a_tick_sees_the_rest_of_its_clip_and_nothing_behind_it() -> None:
    one, before = model().train(), clip(3 * W)
    after = before.clone()
    after[:, W + 3 :] += 1
    moved = (answers(one, before) - answers(one, after)).abs().amax((1, 2))
    assert not moved[:W].any()
    assert moved[W : W + 3].all()


def test_held_answers_are_those_of_the_ticks_that_are_worked_on() -> None:
    one, inputs = model(), clip(3 * W + 2)
    every = answers(one, inputs)
    one.answer_every = 4
    held = answers(one, inputs)
    for tick in range(3 * W + 2):
        at = tick % W
        source = tick - at % 4 if at not in (W - 1,) and tick != 3 * W + 1 else tick
        assert torch.allclose(held[tick], every[source], atol=1e-5)
