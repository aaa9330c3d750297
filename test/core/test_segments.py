"""Laws of labels and segments."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.core.answers import NO_ACTION, Segment
from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import (
    Run,
    runs,
    sample_segments,
    transcript,
    without,
)

labels_strategy = st.lists(st.sampled_from([0, 1, 2, NO_ACTION]), max_size=40).map(lambda x: np.array(x, np.int64))


@given(labels_strategy)
def test_runs_are_maximal_and_cover_everything(labels: Any) -> None:
    found = runs(labels)
    assert [action for run in found for action in [run.action] * (run.end - run.start)] == labels.tolist()
    assert all(a.end == b.start and a.action != b.action for a, b in itertools.pairwise(found))


@given(labels_strategy, st.integers(1, 50), st.integers(0, 10**12))
def test_stamps_get_the_action_of_the_segment_they_fall_into(labels: Any, period: int, origin: int) -> None:
    stamps = origin + period * np.arange(len(labels), dtype=np.int64)
    segments = [
        Segment("abc"[a], origin + period * start, origin + period * end) for a, start, end in without(runs(labels))
    ]
    assert np.array_equal(sample_segments(segments, stamps, "abc"), labels)
    assert np.array_equal(sample_segments(segments, stamps + period - 1, "abc"), labels)  # an end is not within


def test_background_goes_but_its_neighbours_stay_apart() -> None:
    assert without(runs(np.array([1, 0, 1, NO_ACTION, 2])), {0}) == [Run(1, 0, 1), Run(1, 2, 3), Run(2, 4, 5)]
    assert transcript(np.array([1, 0, 1, NO_ACTION, 2]), {0}) == [1, 1, 2]


@pytest.mark.parametrize("bad", [[Segment("z", 0, 5)], [Segment("a", 5, 5)], [Segment("a", 0, 5), Segment("b", 4, 6)]])
def test_segments_that_do_not_fit_are_refused(bad: list[Segment]) -> None:
    with pytest.raises(DatasetError):
        sample_segments(bad, np.arange(8), "abc")
