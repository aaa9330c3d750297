"""Scalars on disk, and a word where nothing writes them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from hal_ros.fit.scalars import ABSENT, SCALARS, open_scalars


def test_scalars_are_written_and_their_absence_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    with open_scalars(tmp_path) as scalars:
        scalars.write(0, {"frame": 1.0})
    assert list((tmp_path / SCALARS).glob("events*"))
    told: list[str] = []
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with open_scalars(tmp_path, told.append) as scalars:
        scalars.write(0, {"frame": 1.0})
    assert told == [ABSENT]
    with open_scalars(None, told.append) as scalars:
        scalars.write(0, {"frame": 1.0})
    assert told == [ABSENT]
