"""Scores of whole systems, and rows of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hal_ros.core.answers import NO_ACTION
from hal_ros.metrics.predictions import CONFIRMED, PROVISIONAL, OutputStream, Prediction
from hal_ros.metrics.scores import MOF_BG, Truth, Unscored, rows, score

PERIOD_NS = 100_000_000
LABELS = np.repeat([0, 1, 2, 1], 10)
STAMPS = np.arange(40) * PERIOD_NS
TRUTH = [Truth("one", STAMPS, LABELS)]


def stream(labels: Any, lag: int = 0, log_probs: Any = None) -> OutputStream:
    return OutputStream(np.asarray(labels), STAMPS + lag * PERIOD_NS, log_probs)


def test_a_perfect_stream_scores_best_and_its_lag_is_its_latency() -> None:
    found = score(TRUTH, [stream(LABELS, lag=4)], PERIOD_NS)
    assert all(found[name] == 100 for name in ("MoF", "Edit", "F1@10", "F1@50", "boundary F1@0.25s"))
    assert found["segment ratio"] == 1
    assert found["latency median s"] == found["stable latency p90 s"] == pytest.approx(0.4)
    assert found["latency missed"] == 0


def test_a_shift_costs_boundaries_by_tolerance() -> None:
    found = score(TRUTH, [stream(np.repeat([0, 1, 2, 1], [14, 10, 10, 6]))], PERIOD_NS)
    assert found["boundary F1@0.25s"] == 0 < found["boundary F1@0.5s"] == 100
    assert found["latency median s"] == pytest.approx(0.4)


def test_a_flash_counts_as_first_detection_but_not_as_a_stable_one() -> None:
    labels = LABELS.copy()
    labels[12:14] = 0
    found = score(TRUTH, [stream(labels)], PERIOD_NS)
    assert found["latency p90 s"] == 0
    assert found["stable latency p90 s"] > 0.3


def test_background_is_left_out_of_segments_and_mof_without_it_stands_beside() -> None:
    said = np.where(LABELS == 0, 2, LABELS)  # the background at the begin is taken for an action
    whole, without = (score(TRUTH, [stream(said)], PERIOD_NS, Unscored((0,), out)) for out in ((), (0,)))
    assert whole["MoF"] == without["MoF"] == 75
    assert whole[MOF_BG] == without[MOF_BG] == 100
    assert MOF_BG not in score(TRUTH, [stream(said)], PERIOD_NS)
    assert whole["Edit"] == without["Edit"] == 75, "what is said in background is one segment too many"
    held = np.where(LABELS == 0, 1, LABELS)
    whole, without = (score(TRUTH, [stream(held)], PERIOD_NS, Unscored((0,), out)) for out in ((), (0,)))
    assert (whole["segment ratio"], without["segment ratio"]) == (0.75, 1)
    assert (whole["F1@50"], without["F1@50"]) == (pytest.approx(200 * 3 / 7), 100)


def test_an_action_behind_background_has_an_onset_and_background_has_none() -> None:
    labels = np.repeat([0, 1, 0, 2], 10)
    truth, late = [Truth("one", STAMPS, labels)], stream(np.roll(labels, 2))
    found = score(truth, [late], PERIOD_NS, Unscored((0,), (0,)))
    assert found["latency median s"] == pytest.approx(0.2)
    never = stream(np.where(labels == 0, 1, labels))  # background is never said, and nobody waits for it
    assert score(truth, [never], PERIOD_NS)["latency missed"] == pytest.approx(100 / 3)
    assert score(truth, [never], PERIOD_NS, Unscored((0,), (0,)))["latency missed"] == 0


def test_probabilities_are_calibrated_only_where_there_are_some() -> None:
    assert "ECE" not in score(TRUTH, [stream(LABELS)], PERIOD_NS)
    log_probs = np.log(np.full((40, 3), 0.05) + 0.85 * np.eye(3)[LABELS])
    log_probs[30:] = np.nan
    found = score(TRUTH, [stream(LABELS, log_probs=log_probs)], PERIOD_NS)
    assert found["ECE"] == pytest.approx(0.1)
    assert found["NLL"] == pytest.approx(-math.log(0.9))


def test_the_order_of_episodes_is_irrelevant() -> None:
    truths = [*TRUTH, Truth("two", STAMPS, LABELS[::-1].copy())]
    streams = [stream(np.roll(LABELS, 3)), stream(LABELS)]
    assert score(truths, streams, PERIOD_NS) == pytest.approx(score(truths[::-1], streams[::-1], PERIOD_NS))


def prediction(provisional: Any, confirmed: Any, system: str = "ours") -> Prediction:
    return Prediction(system, "annotations", {PROVISIONAL: stream(provisional), CONFIRMED: stream(confirmed)})


def find(table: Any, output: Any, metric: str) -> Any:
    (row,) = [row for row in table if (row.output, row.metric) == (output, metric)]
    return row


def test_rows_give_mean_and_standard_deviation_over_seeds() -> None:
    half = np.where(np.arange(40) < 20, LABELS, NO_ACTION)
    table = rows("test", TRUTH, [[prediction(LABELS, LABELS)], [prediction(half, LABELS)]], PERIOD_NS)
    row = find(table, PROVISIONAL, "MoF")
    assert (row.mean, row.seeds) == (75, 2)
    assert row.std == pytest.approx(np.std([100, 50], ddof=1))
    assert find(table, CONFIRMED, "MoF").std == 0


def test_one_seed_has_no_standard_deviation_and_churn_needs_two_outputs() -> None:
    table = rows("test", TRUTH, [[prediction(np.roll(LABELS, 1), LABELS)]], PERIOD_NS)
    assert find(table, CONFIRMED, "churn").mean == pytest.approx(10)
    assert find(table, CONFIRMED, "churn").std is None
    alone = Prediction("rule", "annotations", {PROVISIONAL: stream(LABELS)})
    assert all(row.metric != "churn" for row in rows("test", TRUTH, [[alone]], PERIOD_NS))
