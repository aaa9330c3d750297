"""Changes of the state values: right at both ends, blind to where a robot stands, bounded whatever a sensor says."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hal_ros.nn.differences import DifferencesEmbedding  # noqa: E402

pytestmark = pytest.mark.torch
VALUES, LAGS, TICKS = 3, (1, 4), 12


def embedding() -> DifferencesEmbedding:
    torch.manual_seed(0)
    return DifferencesEmbedding(VALUES, LAGS, 8).eval()


def values(seed: int = 0) -> tuple:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(2, TICKS, VALUES, generator=random), torch.ones(2, TICKS, VALUES)


def nothing() -> Any:
    return torch.zeros(2, max(LAGS), 2 * VALUES)


@torch.no_grad()
def test_where_the_robot_stands_is_not_seen_and_how_it_moves_is() -> None:
    joints, valid = values()
    before, _ = embedding()(joints, valid, nothing())
    torch.testing.assert_close(embedding()(joints + 5.0, valid, nothing())[0], before, atol=1e-5, rtol=0)
    assert float((embedding()(joints * 2.0, valid, nothing())[0] - before).abs().max()) > 1e-2


@torch.no_grad()
def test_a_value_that_is_missing_at_either_end_counts_as_still() -> None:
    joints, valid = values()
    valid[:, 5] = 0
    other = joints.clone()
    other[:, 5] = 1e6  # what stands under a zero flag is never read
    first, second = (embedding()(x, valid, nothing())[0] for x in (joints, other))
    assert torch.equal(first, second)
    still = embedding()(torch.zeros_like(joints), valid, nothing())[0]
    torch.testing.assert_close(first[:, 0], still[:, 0])  # nothing lies before the first tick
    assert float((first[:, 4] - still[:, 4]).abs().max()) > 1e-2


@torch.no_grad()
def test_a_glitch_stays_within_bounds() -> None:
    joints, valid = values()
    joints[:, 6] = 1e7
    assert float(embedding()(joints, valid, nothing())[0].abs().max()) < 10
