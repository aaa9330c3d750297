"""What a person sees of a long training: scalars on disk, and rounds that count on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from hal_ros.fit.progress import ABSENT, SCALARS, open_scalars, rounds


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


def test_rounds_count_on_from_where_a_run_was_cut_off() -> None:
    assert list(rounds(2, 5)) == [2, 3, 4]
    assert list(rounds(5, 5)) == []
