"""Histograms lose nothing, whatever the values."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.metrics.predictions import OutputStream
from hal_ros.metrics.scores import Truth
from hal_ros.report.charts import MOST_BINS, histogram_svg, segment_delays_s

SVG = "{http://www.w3.org/2000/svg}"


def bars(values: Any, unit: str = "ms") -> dict[Any, Any]:
    root = ET.fromstring(histogram_svg(np.asarray(values, float), unit))
    titles = [element.text or "" for element in root.iter(f"{SVG}title")]
    return {title.rpartition(": ")[0]: int(title.rpartition(": ")[2]) for title in titles}


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.sampled_from(["ms", "s"]))
def test_every_value_is_in_a_bar(values: list[float], unit: str) -> None:
    found = bars(values, unit)
    assert sum(found.values()) == len(values)
    assert len(found) <= MOST_BINS


def test_an_outlier_goes_into_the_last_bar_and_does_not_flatten_the_rest() -> None:
    found = bars([10.0] * 50 + [11.0] * 49 + [5000.0])
    assert len(found) == 3
    assert found[max(found, key=lambda title: "or more" in title)] == 1


@pytest.mark.parametrize("value", [0.0, 1e-9, 7.0])
def test_equal_values_are_one_bar(value: float) -> None:
    assert list(bars([value] * 5).values()) == [5]


def test_percentiles_are_named() -> None:
    svg = histogram_svg(np.arange(101, dtype=np.float64), "ms")
    assert re.findall(r"p\d\d [\d.]+ ms", svg) == ["p50 50.0 ms", "p95 95.0 ms", "p99 99.0 ms"]


def test_delays_are_those_of_found_segments() -> None:
    stamps = np.arange(6) * 100_000_000
    truth = Truth("one", stamps, np.array([0, 0, 1, 1, 2, 2]))
    said = OutputStream(np.array([0, 0, 0, 1, 1, 1]), stamps, None)
    assert segment_delays_s(truth, said) == [0.1]
