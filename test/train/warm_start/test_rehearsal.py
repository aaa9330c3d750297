"""New actions from new episodes alone leave the old weights alone; beside old episodes they are played oftener."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from hal_ros.core.answers import NO_ACTION
from hal_ros.datasets.clips import Clip
from hal_ros.nn.hal import CausalHal, HalConfig, Inputs
from hal_ros.train.clips import Supervised
from hal_ros.train.config import OptimiserConfig, TrainConfig
from hal_ros.train.warm_start.rehearsal import ALONE, BESIDE, NEW_SHARE, all_new, hold_old, paced, rehearsed, shows_new

pytestmark = pytest.mark.torch


KNOWN = 2


def clip(name: str, *ids: int, transcript: tuple[int, ...] = ()) -> Clip:
    return Clip(name, np.zeros((len(ids), 1), np.float32), np.array(ids), transcript)


def clips(old: int, new: int) -> list[Clip]:
    shown = [clip(f"old-{n}", 0, 1, 1, NO_ACTION) for n in range(old)]
    return [*shown, *(clip(f"new-{n}", 0, 2, 2, NO_ACTION) for n in range(new))]


def network() -> CausalHal:
    torch.manual_seed(0)
    shape = HalConfig(3, 1, attended=0, cameras=0, width=16, heads=2, lookback=(3, 5), dropout=0)
    return CausalHal(shape)


def play(shown: list[Clip], lines: list[str]) -> list[str]:
    targets = {each.name: each.actions for each in shown}
    return [each.name for each in rehearsed(Supervised(shown, targets), KNOWN, lines.append).clips]


def train(model: CausalHal) -> None:
    """Take some steps, on anything at all, with the optimiser of a real training."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=0.01, weight_decay=paced(TrainConfig(), [], True).optimiser.weight_decay)
    values, nothing = torch.randn(2, 8, 1), torch.zeros(2, 8, 0)
    for _ in range(3):
        outputs, _ = model(Inputs(nothing, nothing, values, torch.ones(2, 8, 1)), model.initial_state(2))
        optimiser.zero_grad()
        (-outputs.log_probs[..., 2].mean() - outputs.lagged_log_probs[..., 2].mean()).backward()
        optimiser.step()


def test_what_a_clip_shows_is_told_by_its_ticks_or_its_transcript() -> None:
    assert shows_new(clip("a", 0, 2), KNOWN)
    assert shows_new(clip("a", NO_ACTION, NO_ACTION, transcript=(0, 2)), KNOWN)
    assert not shows_new(clip("a", 0, NO_ACTION, transcript=(0, 1)), KNOWN)
    assert not shows_new(clip("a"), KNOWN)


def test_new_clips_alone_teach_new_rows_alone() -> None:
    model, lines = network(), list[str]()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    hold_old(model, KNOWN, lines.append)
    assert lines == ["each clip has a new action: only what is new learns"]
    train(model)
    for name, tensor in model.state_dict().items():
        held = slice(None, KNOWN) if "head." in name else slice(None)
        assert torch.equal(tensor[held], before[name][held]), name
    assert not torch.equal(model.head.weight[KNOWN], before["head.weight"][KNOWN])
    assert not torch.equal(model.lagged_head.bias[KNOWN], before["lagged_head.bias"][KNOWN])


def test_beside_old_clips_new_ones_make_up_their_share() -> None:
    lines: list[str] = []
    played = play(clips(70, 5), lines)
    new = [name for name in played if name.startswith("new")]
    assert len(new) / len(played) == pytest.approx(NEW_SHARE, abs=0.02)
    assert {new.count(f"new-{n}") for n in range(5)} == {6}
    assert len(played) - len(new) == 70, "each old one is played once"
    assert lines == ["5 clips with a new action, played 6 times an epoch, beside 70 without"]


@pytest.mark.parametrize(("old", "new"), [(5, 0), (3, 3), (0, 5)])
def test_where_new_clips_are_none_or_many_each_is_played_once(old: int, new: int) -> None:
    shown = clips(old, new)
    assert play(shown, []) == [each.name for each in shown]


@pytest.mark.parametrize(("old", "share"), [(0, ALONE), (1, BESIDE)])
def test_how_fast_it_learns_depends_on_what_could_be_lost(old: int, share: float) -> None:
    usual = TrainConfig(optimiser=OptimiserConfig(epochs=40))
    pace = paced(usual, clips(old, 2), all_new(clips(old, 2), KNOWN)).optimiser
    assert pace.learning_rate == pytest.approx(share * usual.optimiser.learning_rate)
    assert (pace.epochs > 0) == (old > 0)
    assert pace.weight_decay == 0
    assert pace.least_steps < usual.optimiser.least_steps


def test_beside_many_old_clips_six_epochs_will_do() -> None:
    long = [clip("old", *[0] * 100_000), clip("new", 0, 2)]
    assert paced(TrainConfig(), long, False).optimiser.epochs == 6
