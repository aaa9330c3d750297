"""Moments are those of valid values, however the values are cut into parts."""

from __future__ import annotations

import numpy as np
import pytest

from hal_ros.datasets.standardising import measure_columns, measure_parts


def test_what_is_not_valid_does_not_count() -> None:
    values = np.array([[1.0, np.nan, 7], [3, np.inf, 7], [np.nan, 5, 7]])
    found = measure_columns(values, np.isfinite(values) & (values < 7))
    assert found.known.tolist() == [2, 1, 0]
    assert found.mean.tolist() == [2, 5, 0]
    assert found.std.tolist() == [1, 0, 0]


def test_one_flag_a_tick_counts_for_all_columns() -> None:
    values = np.array([[1.0, 10], [3, 30], [99, 99]])
    found = measure_columns(values, np.array([[1], [1], [0]]))
    assert (found.mean.tolist(), found.std.tolist()) == ([2, 20], [1, 10])


@pytest.mark.parametrize("cuts", [[], [1], [3, 40, 41]])
def test_parts_are_as_good_as_the_whole(cuts: list[int], rng: np.random.Generator) -> None:
    values = rng.normal(size=(60, 3)) * [1, 1e-4, 1e4] + [0, 5, -1e5]
    valid = rng.random((60, 3)) < 0.7
    parts = list(zip(np.split(values, cuts), np.split(valid, cuts), strict=True))
    found = measure_parts(lambda: parts)
    for column in range(3):
        kept = values[valid[:, column], column]
        np.testing.assert_allclose(found.mean[column], kept.mean(), rtol=1e-12)
        np.testing.assert_allclose(found.std[column], kept.std(), rtol=1e-9)
        assert found.known[column] == len(kept)
