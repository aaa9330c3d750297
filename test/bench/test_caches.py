"""The caches' rows come out, of graphs that agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import make_card
from hal_ros.bench import caches as bench_caches
from hal_ros.bench import model as bench_model
from hal_ros.core.errors import BackendError
from hal_ros.core.step import StepOutput, Stepping
from hal_ros.runtime.card_json import CACHES

MODEL = Path(__file__).parents[2] / "models" / "tabletop"
TICKS = 20  # longer than the small model's window
Opened = tuple[bench_caches.UntrainedModel, dict[str, Stepping], bench_caches.Recompute]
ANSWER = StepOutput(np.zeros(2, np.float32), np.ones(2, np.float32), 0.5)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """A small model in place of one of the shipped size, its graphs exported once: that takes seconds."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from step_graphs import CONFIG, ONE, make_card, make_graph

    graph, folder = make_graph(replace(CONFIG, lookback=(5,))), tmp_path_factory.mktemp("graphs")
    model = bench_caches.UntrainedModel(graph, bench_caches.card_of(graph, make_card(), ONE))
    return model, bench_caches.open_steps(model, folder), bench_caches.recomputing(model, TICKS, folder)


@pytest.fixture
def small(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put them in the places of those that the benchmark would make."""
    model, backends, recompute = opened
    monkeypatch.setattr(bench_caches, "untrained", lambda *_: model)
    monkeypatch.setattr(bench_caches, "open_steps", lambda *_: backends)
    monkeypatch.setattr(bench_caches, "open_step", lambda *_: backends["shift"])
    monkeypatch.setattr(bench_caches, "recomputing", lambda *_: recompute)
    monkeypatch.setattr(bench_caches, "TICKS", TICKS)
    monkeypatch.setattr(bench_model, "UPTIME_TICKS", 40)


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.timeout(600)  # three exports, on a machine that may be busy
@pytest.mark.usefixtures("small")
def test_rows_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_caches, "LEAST_RATIO", 1e9)
    rows = bench_caches.rows(MODEL, rounds=1)
    assert all(isinstance(row.value, float) and row.value > 0 for row in rows)
    assert [(row.name, row.unit, row.target) for row in rows if row.target] == bench_caches.expected()
    trunks = [row.name for row in rows if "of the trunk" in row.name]
    assert len(trunks) == 1 + len(bench_caches.TRUNKS) and "band" in trunks[0]
    assert rows[0].name == bench_caches.RATIO_NAME and rows[0].holds is False  # no step is so much faster


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.timeout(600)  # three exports, on a machine that may be busy
@pytest.mark.usefixtures("small")
def test_rows_of_a_window_come_out() -> None:
    rows = bench_caches.window_rows(MODEL, TICKS, rounds=1)
    assert all(isinstance(row.value, float) and row.value > 0 and not row.target for row in rows)
    assert {row.name for row in rows} >= {name for name, _, _ in bench_caches.expected_at(TICKS)}
    assert sum("recomputing against a step" in row.name for row in rows) == len(CACHES)


@pytest.mark.torch
def test_the_model_has_the_shipped_size_and_the_window_asked_for() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    card = make_card()
    model = bench_caches.untrained(card)
    assert model.graph.model.config.width == 96
    assert model.card.window_ticks == 127 and model.card.feature_dim == model.graph.feature_dim
    assert model.graph.model.config.actions == len(card.vocabulary)
    assert bench_caches.untrained(card, window=256).card.window_ticks == 256


def test_answers_that_differ_are_not_timed() -> None:
    bench_caches.check_agreement({"shift": ANSWER, "delta": ANSWER._replace(boundary=0.5001)})
    for other in (ANSWER._replace(boundary=0.6), ANSWER._replace(log_probs=np.array([0, np.nan], np.float32))):
        with pytest.raises(BackendError, match=r"whole differs from shift by .*expected <= 0\.001"):
            bench_caches.check_agreement({"shift": ANSWER, "delta": ANSWER, "whole": other})
