"""Rows over seeds, and tables of them."""

from __future__ import annotations

import numpy as np
import pytest

from hal_ros.experiments.documents.markdown import SystemScores, markdown, rows_of, unfinished, with_cost
from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL
from run_scores import run


def test_rows_tell_mean_and_std_over_the_finished_seeds() -> None:
    rows = rows_of(SystemScores("student", "transcripts", (run(80), None, run(90))))
    (row,) = [row for row in rows if (row.output, row.metric) == (CONFIRMED, "MoF")]
    assert (row.mean, row.seeds) == (85, 2)
    assert row.std == pytest.approx(np.std([80, 90], ddof=1))


def test_what_has_no_answers_on_a_split_is_no_line_of_its_table() -> None:
    aligned = SystemScores("realigned", "transcripts", ({"train": {"aligned": {"MoF": 90.0}}},))
    assert "realigned" not in markdown(
        [aligned, SystemScores("student", "transcripts", (run(),))], "unseen", (CONFIRMED,)
    )


def test_what_is_not_finished_stands_below_the_table_by_name() -> None:
    told = (("GRU", "transcripts"), ("GRU", "annotations"), ("rule", "transcripts"))
    entries = [
        SystemScores("student", "transcripts", (run(), None)),
        *(SystemScores(*who, (None, None)) for who in told),
    ]
    text = markdown(entries, "unseen", (PROVISIONAL, CONFIRMED))
    assert "| student | transcripts | confirmed | 90.0 |" in text
    assert "| 12 345 | 0.50 | 1 of 2 |" in text
    table, _, below = text.partition("\n\n")
    assert len({line.count("|") for line in table.splitlines()}) == 1 and "GRU" not in table
    assert below == "Not finished: GRU, rule (transcripts); GRU (annotations).\n"
    assert "Not finished" not in markdown(entries[:1], "unseen", (PROVISIONAL, CONFIRMED))
    assert unfinished(entries) == [
        "student, transcripts: 1 of 2 seeds missing",
        "GRU, transcripts: 2 of 2 seeds missing",
        "GRU, annotations: 2 of 2 seeds missing",
        "rule, transcripts: 2 of 2 seeds missing",
    ]


def test_costs_that_were_measured_together_stand_in_place_of_each_trainings_own() -> None:
    cost = {"ms_per_tick": 0.25, "parameters": 7}
    entry = SystemScores("student", "transcripts", (with_cost(run(), cost), with_cost(None, cost)))
    assert "| 7 | 0.25 | 1 of 2 |" in markdown([entry], "unseen", (CONFIRMED,))
    assert with_cost(run(), None) == run()
