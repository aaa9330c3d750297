"""Result rows in the terminal."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console

from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL, OutputStream, Prediction
from hal_ros.metrics.scores import Truth, rows
from hal_ros.report.table import results_table

PERIOD_NS = 100_000_000
LABELS = np.repeat([0, 1, 2, 1], 10)
STAMPS = np.arange(40) * PERIOD_NS
TRUTH = [Truth("one", STAMPS, LABELS)]


def prediction(provisional: Any, confirmed: Any, system: str = "ours") -> Prediction:
    streams = {PROVISIONAL: OutputStream(provisional, STAMPS, None), CONFIRMED: OutputStream(confirmed, STAMPS, None)}
    return Prediction(system, "annotations", streams)


def test_the_table_has_a_line_for_each_system_and_output() -> None:
    table = rows("test", TRUTH, [[prediction(LABELS, np.roll(LABELS, 2))]], PERIOD_NS)
    table += rows("unseen", TRUTH, [[prediction(LABELS, LABELS, "elsewhere")]], PERIOD_NS)
    console = Console(width=200, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(results_table("test", table))
    text = capture.get()
    assert text.count("ours") == 2
    assert "elsewhere" not in text
    assert "100.0" in text
