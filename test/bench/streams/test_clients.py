"""The ratio that tells what waiting clients cost: of the same run, of the right windows."""

from __future__ import annotations

import pytest

from hal_ros.bench.streams.clients import EXPECTED, SETTLE_S, Window, ratio_rows
from hal_ros.offline.recording import LabelAnswer

WINDOWS = [Window(0.0, 10.0, True), Window(10.0, 20.0, False), Window(20.0, 30.0, True)]


def label(second: float, late_ms: float) -> LabelAnswer:
    received_ns = round(second * 1e9)
    return LabelAnswer(received_ns - round(late_ms * 1e6), received_ns, 0, 0, "", 0.0, None, "", 0.0)


def labels(with_ms: float, without_ms: float) -> list[LabelAnswer]:
    seconds = [second / 10 for second in range(300)]
    return [label(second, without_ms if 10 < second <= 20 else with_ms) for second in seconds]


@pytest.mark.parametrize(("with_ms", "holds"), [(10.0, True), (12.4, True), (12.6, False)])
def test_the_ratio_is_of_windows_with_clients_over_those_without(with_ms: float, holds: bool) -> None:
    ratio = ratio_rows(labels(with_ms, 10.0), WINDOWS)[0]
    assert (ratio.name, ratio.unit, ratio.target) == EXPECTED[0]
    assert ratio.value == pytest.approx(with_ms / 10.0)
    assert ratio.holds == holds


def test_labels_while_clients_come_or_go_are_left_out() -> None:
    late = [label(WINDOWS[0].start_s + SETTLE_S / 2, 500.0), label(WINDOWS[1].start_s + SETTLE_S / 2, 900.0)]
    ratio, median, p99 = ratio_rows([*labels(10.0, 10.0), *late], WINDOWS)
    assert (ratio.value, median.value, p99.value) == (1.0, 1.0, 10.0)


def test_without_labels_there_is_no_ratio() -> None:
    (row,) = ratio_rows([label(5.0, 10.0)], WINDOWS)
    assert row.value is None and row.note == "no label came in one kind of window"
