"""Laws of the confusion table."""

from __future__ import annotations

import numpy as np
import pytest

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.metrics.confusion import ConfusedPair, count_confusions, worst_pairs
from hal_ros.metrics.segmentation import Pair

TRUTH = np.array([0, 0, 0, 1, 1, 2, NO_ACTION])
SAID = np.array([0, 1, 1, 1, NO_ACTION, 0, 2])


def test_every_annotated_tick_is_counted_once() -> None:
    counts = count_confusions([Pair(TRUTH, SAID), Pair(SAID[:4], SAID[:4])], 3)
    assert counts.tolist() == [[2, 2, 0, 0], [0, 4, 0, 1], [1, 0, 0, 0]]
    assert counts.sum() == 6 + 4


def test_the_worst_pairs_come_first_and_right_ticks_never() -> None:
    counts = count_confusions([Pair(TRUTH, SAID)], 3)
    assert worst_pairs(counts) == [
        ConfusedPair(0, 1, 2, 200 / 3),
        ConfusedPair(1, NO_ACTION, 1, 50.0),
        ConfusedPair(2, 0, 1, 100.0),
    ]
    assert worst_pairs(counts, 1) == worst_pairs(counts)[:1]
    assert worst_pairs(count_confusions([Pair(TRUTH, TRUTH)], 3)) == []


def test_an_id_without_a_row_is_refused() -> None:
    with pytest.raises(DatasetError, match="action id 2 has no row; expected 0 to 1"):
        count_confusions([Pair(TRUTH, SAID)], 2)
