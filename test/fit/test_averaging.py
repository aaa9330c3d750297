"""The average follows the weights, forgets the start, and leaves the training alone."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from hal_ros.fit.averaging import WeightAverage  # noqa: E402

pytestmark = pytest.mark.torch


def test_it_nears_the_mean_of_weights_that_swing_and_forgets_where_they_began() -> None:
    model = nn.Linear(1, 1)
    nn.init.constant_(model.weight, 100.0)
    average = WeightAverage(model, 0.99)
    for step in range(2000):
        nn.init.constant_(model.weight, 3.0 + (-1) ** step)
        average.update()
    assert float(average.weights["weight"]) == pytest.approx(3.0, abs=0.02)
    with average.applied():
        assert float(model.weight.detach()) == pytest.approx(3.0, abs=0.02)
    assert float(model.weight.detach()) == 2.0


def test_without_a_decay_there_is_none() -> None:
    model = nn.Linear(1, 1)
    average, before = WeightAverage(model, 0.0), float(model.weight.detach())
    average.update()
    with average.applied():
        assert float(model.weight.detach()) == before
    assert average.weights == {}


def test_whole_numbers_and_other_buffers_keep_their_type() -> None:
    model = nn.BatchNorm1d(2)
    average = WeightAverage(model, 0.9)
    average.update()
    assert average.weights["num_batches_tracked"].dtype == torch.int64
