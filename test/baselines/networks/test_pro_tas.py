"""Laws of ProTAS: the task graph, and what it takes off the answers."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from hal_ros.baselines.networks.pro_tas import GRAPH_STEP, ProTas, TaskGraph
from hal_ros.baselines.sequence import LAGGED, NOW, Size

F, K, LAG = 4, 3, 2


def test_the_graph_counts_who_comes_right_before_and_right_after_whom() -> None:
    graph = TaskGraph(K)
    graph.count([[0, 1, 2], [0, 2], []])
    assert graph.before.tolist() == [[0, 1, 0.5], [0, 0, 0.5], [0, 0, 0]]  # a column adds up to 1 but for beginnings
    assert graph.behind.tolist() == [[0, 0, 0], [0.5, 0, 0], [0.5, 1, 0]]
    assert graph.change() == 0


def test_an_action_before_its_turn_and_one_after_its_turn_are_penalised() -> None:
    graph = TaskGraph(K)
    graph.count([[0, 1, 2]])
    nothing, first, both = torch.tensor([0.0, 0, 0]), torch.tensor([1.0, 0, 0]), torch.tensor([1.0, 1, 0])
    assert graph(nothing).tolist() == [0, 1, 1]
    assert graph(first).tolist() == [0, 0, 1]
    assert graph(both).tolist() == [1, 0, 0]


def test_completion_is_the_greatest_progress_so_far_and_the_lagged_head_knows_that_of_its_own_tick() -> None:
    torch.manual_seed(0)
    model = ProTas(F, K, LAG, Size(width=8, layers=2, stages=1)).eval()
    model.prepare([[0, 1, 2]])
    progress = torch.tensor([[[0.2, 0, 0], [0.9, 0, 0], [0.1, 0.3, 0], [0, 2.0, -1]]])
    completed, penalty = model._penalty(progress, torch.zeros(1, LAG + 1, K))
    expected = torch.tensor([[0.2, 0, 0], [0.9, 0, 0], [0.9, 0.3, 0], [0.9, 1, 0]])
    assert torch.allclose(completed[0, LAG + 1 :], expected)
    assert torch.allclose(penalty[0, LAG:, LAGGED], penalty[0, :-LAG, NOW])


def test_the_penalty_comes_off_the_last_stage_alone() -> None:
    torch.manual_seed(0)
    model = ProTas(F, K, LAG, Size(width=8, layers=2, stages=2)).eval()
    inputs = torch.randn(1, 30, F)
    with torch.no_grad():
        free = model(inputs, torch.ones(1, 30))
        model.prepare([[0, 1, 2]])
        taken = free - model(inputs, torch.ones(1, 30))
    assert not taken[0].any()
    assert 0 < taken[1].max() <= 2 * GRAPH_STEP + 1e-6
