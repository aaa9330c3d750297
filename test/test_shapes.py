"""Wrong shapes are found where values are made, in every test: see support/shapes.py."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

from hal_ros.core.arrays import FloatArray
from hal_ros.core.step import StepInput, StepOutput
from hal_ros.datasets.clips import Clip
from shapes import BORDERS, ShapeError, fault, shapes_of, watched


class Pair(NamedTuple):
    """Two arrays about the same ticks."""

    name: str  # of (any) form
    rows: FloatArray  # (T, K)
    choices: FloatArray | None  # (T,) ids or (T, K) probabilities
    joints: FloatArray = np.zeros(6, np.float32)  # (3J,) finite


@dataclass(frozen=True)
class Square:
    """A picture as a dataclass."""

    image: FloatArray  # (S, S, 3)


def zeros(*shape: int) -> FloatArray:
    return np.zeros(shape, np.float32)


def test_comments_are_read() -> None:
    assert shapes_of(Pair) == {"rows": [("T", "K")], "choices": [("T",), ("T", "K")], "joints": [("3J",)]}
    assert shapes_of(Square) == {"image": [("S", "S", "3")]}


@pytest.mark.parametrize("module", BORDERS)
def test_every_border_has_shapes(module: str) -> None:
    importlib.import_module(module)
    with watched((module,)) as kinds:
        assert kinds


@pytest.mark.parametrize(
    ("rows", "choices", "joints", "wrong"),
    [
        ((5, 2), (5,), (6,), ""),
        ((5, 2), (5, 2), (9,), ""),
        ((0, 2), (0,), (0,), ""),
        ((5, 2), None, (6,), ""),
        ((5, 2), (4,), (6,), "choices"),
        ((5, 2), (5, 3), (6,), "choices"),
        ((5,), (5,), (6,), "rows"),
        ((5, 2), (5,), (7,), "joints"),
    ],
)
def test_one_letter_is_one_length(
    rows: tuple[int, ...], choices: tuple[int, ...] | None, joints: tuple[int, ...], wrong: str
) -> None:
    values = {"rows": zeros(*rows), "choices": None if choices is None else zeros(*choices), "joints": zeros(*joints)}
    found = fault(shapes_of(Pair), values)
    assert found.startswith(f"{wrong} is ") if wrong else not found


def test_a_dataclass_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with watched((__name__,)):
        Square(zeros(4, 4, 3))
        with pytest.raises(ShapeError, match=r"^Square: image is \(4, 5, 3\); expected \(S, S, 3\)"):
            Square(zeros(4, 5, 3))
    Square(zeros(4, 5, 3))


def test_what_crosses_a_border_is_checked_in_every_test() -> None:
    StepInput(zeros(4), zeros(1), zeros(6), zeros(6))
    with pytest.raises(ShapeError, match="StepInput: joints_valid is "):
        StepInput(zeros(4), zeros(1), zeros(6), zeros(3))
    with pytest.raises(ShapeError, match="StepOutput: lagged_log_probs is "):
        StepOutput(zeros(3), zeros(1, 3), 0.0)
    with pytest.raises(ShapeError, match="Clip: actions is "):
        Clip("one", zeros(5, 2), np.zeros(4, np.int64), ())
