"""Laws of labels and segments."""

import itertools

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
    to_labels,
    to_segments,
    transcript,
    without,
)

labels_strategy = st.lists(st.sampled_from([0, 1, 2, NO_ACTION]), max_size=40).map(lambda x: np.array(x, np.int64))


@given(labels_strategy)
def test_runs_and_back_is_the_identity(labels):
    assert np.array_equal(to_labels(runs(labels), len(labels)), labels)


@given(labels_strategy)
def test_runs_are_maximal_and_cover_everything(labels):
    found = runs(labels)
    assert sum(run.end - run.start for run in found) == len(labels)
    assert all(a.end == b.start and a.action != b.action for a, b in itertools.pairwise(found))


@given(labels_strategy, st.integers(1, 50), st.integers(0, 10**12))
def test_segments_and_back_is_the_identity_on_annotated_ticks(labels, period, origin):
    stamps = origin + period * np.arange(len(labels), dtype=np.int64)
    segments = to_segments(labels, stamps, origin + period * len(labels), "abc")
    assert np.array_equal(sample_segments(segments, stamps, "abc"), labels)


def test_a_segment_lasts_until_the_next_label_begins():
    segments = to_segments(np.array([0, 0, 1]), np.array([10, 20, 35]), 40, ["reach", "grasp"])
    assert segments == (Segment("reach", 10, 35), Segment("grasp", 35, 40))


def test_background_goes_but_its_neighbours_stay_apart():
    assert without(runs(np.array([1, 0, 1, NO_ACTION, 2])), {0}) == [Run(1, 0, 1), Run(1, 2, 3), Run(2, 4, 5)]
    assert transcript(np.array([1, 0, 1, NO_ACTION, 2]), {0}) == [1, 1, 2]


@pytest.mark.parametrize("bad", [[Run(0, 0, 0)], [Run(0, 2, 4), Run(1, 3, 5)], [Run(0, 0, 9)], [Run(0, -1, 2)]])
def test_runs_that_do_not_fit_are_refused(bad):
    with pytest.raises(DatasetError):
        to_labels(bad, 8)


@pytest.mark.parametrize("bad", [[Segment("z", 0, 5)], [Segment("a", 5, 5)], [Segment("a", 0, 5), Segment("b", 4, 6)]])
def test_segments_that_do_not_fit_are_refused(bad):
    with pytest.raises(DatasetError):
        sample_segments(bad, np.arange(8), "abc")


def test_labels_and_stamps_must_be_as_many():
    with pytest.raises(DatasetError):
        to_segments(np.array([0, 1]), np.array([0]), 5, "ab")
