"""The recurrences in one go are the recurrences tick by tick; clocks count a stream's own ticks."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from hal_ros.nn.recurrence import CELLS, due_ticks, scan  # noqa: E402

pytestmark = pytest.mark.torch


def test_the_scan_is_the_recurrence_tick_by_tick_over_long_stretches() -> None:
    kept, added, h = torch.rand(2, 300, 3), torch.randn(2, 300, 3), torch.randn(2, 3)
    kept[:, [0, 40]], kept[:, 41:50] = 0.0, 1.0
    found, expected = scan(kept, added, h), []
    for tick in range(300):
        h = kept[:, tick] * h + added[:, tick]
        expected.append(h)
    torch.testing.assert_close(found, torch.stack(expected, 1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_steps_as_it_runs_and_learns_from_far_back(name: str) -> None:
    torch.manual_seed(0)
    cell, x, hidden = CELLS[name](8), torch.randn(2, 40, 8, requires_grad=True), torch.zeros(2, 8)
    whole = cell(x, hidden)
    for tick in range(40):
        hidden = cell(x[:, tick : tick + 1], hidden)[:, -1]
    torch.testing.assert_close(whole[:, -1], hidden, atol=1e-5, rtol=0)
    whole[:, -1].sum().backward()
    assert x.grad is not None and bool(torch.isfinite(x.grad).all())
    assert float(x.grad[:, 20].abs().max()) > 1e-8


@pytest.mark.parametrize("cut", [1, 4, 5, 9])
def test_the_clock_is_due_at_every_third_tick_of_each_stream(cut: int) -> None:
    clock, found = torch.zeros(1, 3), []
    for start, stop in ((0, cut), (cut, 10)):
        due, clock = due_ticks(clock, torch.tensor([[float(start > 0)]]), stop - start)
        found += due[0, :, 0].tolist()
    assert found == [1, 0, 0, 1, 0, 0, 1, 0, 0, 1]
