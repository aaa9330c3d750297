"""Means and standard deviations of columns with missing values: what every network's inputs are normalised by."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Part = tuple[Array, NDArray[np.bool_]]
"""Values (T, P) and which of them are valid, likewise."""


@dataclass(frozen=True)
class Moments:
    """What is known of P columns, over their valid values alone."""

    known: NDArray[np.int64]  # (P,) how many values
    mean: Array  # (P,), 0 without any value
    std: Array  # (P,) standard deviation, 0 without any value; each user has a floor of its own


def measure_parts(parts: Callable[[], Iterable[Part]]) -> Moments:
    """Return the moments of values that need not fit into memory at once: `parts` is called twice for all of them."""
    pairs = ((valid.sum(0), np.where(valid, values, 0).sum(0)) for values, valid in parts())
    count, total = functools.reduce(lambda some, more: (some[0] + more[0], some[1] + more[1]), pairs)
    mean = total / np.maximum(count, 1)
    squares = functools.reduce(operator.add, (_squares(*part, mean) for part in parts()))
    return Moments(count, mean, np.sqrt(squares / np.maximum(count, 1)))


def measure_columns(values: NDArray[np.floating[Any]], valid: NDArray[Any]) -> Moments:
    """Return the moments of values (T, P) where valid, (T, P) or (T, 1), is not 0."""
    part = values.astype(np.float64), np.broadcast_to(valid > 0, values.shape)
    return measure_parts(lambda: [part])


def _squares(values: Array, valid: NDArray[np.bool_], mean: Array) -> Array:
    return np.asarray(np.where(valid, np.square(values - mean), 0).sum(0))
