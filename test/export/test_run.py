"""What a bundle's golden arrays are made of: every stream of a real episode, each missing at some tick."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from hal_ros.core.errors import DatasetError
from hal_ros.export import run
from step_graphs import ROBOTS, SIZE_PX, make_card


def episode(robot: str, ticks: int) -> Any:
    streams = ROBOTS[robot]
    cameras, values = len(streams.cameras), streams.value_count
    pictures = {name: np.full((ticks, SIZE_PX, SIZE_PX, 3), n, np.uint8) for n, name in enumerate(streams.cameras)}
    return SimpleNamespace(
        stamp_ns=np.arange(ticks),
        images=dict(reversed(pictures.items())),  # the card decides on the order
        image_valid=np.ones((ticks, cameras), np.float32),
        joints=np.ones((ticks, values), np.float32),
        joints_valid=np.ones((ticks, values), np.float32),
    )


@pytest.mark.parametrize("ticks", [1, 7, 200])
@pytest.mark.parametrize("robot", ROBOTS)
def test_golden_ticks_hold_every_stream_and_miss_each(robot: str, ticks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, kept = episode(robot, ticks), episode(robot, ticks)
    monkeypatch.setattr(run, "load", lambda _: taken)
    card = make_card(streams=ROBOTS[robot])
    golden, count = run._golden([Path("first")], card), min(ticks, run.GOLDEN_TICKS)
    cameras, side = len(card.streams.cameras), card.streams.size_px
    assert golden.images.shape == (count, cameras, side, side, 3)
    for camera in range(cameras):
        assert (golden.images[:, camera] == camera).all()
    assert {len(array) for array in golden} == {count}
    if ticks > 1:
        missing = [tuple(row) for row in golden.image_valid]
        assert (0.0,) * cameras in missing and (1.0,) * cameras in missing
        assert cameras < 2 or {(0.0, 1.0), (1.0, 0.0)} <= set(missing)
        assert not golden.joints_valid.all(1).all() or not card.streams.states
    for name in ("image_valid", "joints", "joints_valid"):  # the episode stays as it was
        np.testing.assert_array_equal(getattr(taken, name), getattr(kept, name))


def test_an_episode_without_ticks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "load", lambda _: episode("one", 0))
    with pytest.raises(DatasetError, match=r"^first: has no ticks"):
        run._golden([Path("first")], make_card())
