"""What is counted on training clips, and how little data is kept from saying too much."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.decoding.duration_filter import priors_fault
from hal_ros.core.errors import DatasetError
from hal_ros.train.priors import fit_durations, fit_order, fit_priors

clips = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 20)), min_size=1, max_size=6), min_size=1, max_size=5
)


def labels_of(segments: list[tuple[int, int]]) -> np.ndarray:
    return np.repeat([action for action, _ in segments], [ticks for _, ticks in segments])


@given(clips)
def test_priors_of_any_clips_can_be_used_and_their_order_does_not_matter(found: list[list[tuple[int, int]]]) -> None:
    labels = [labels_of(clip) for clip in found]
    transcripts = [[action for action, _ in clip] for clip in found]
    priors = fit_priors(labels, transcripts, 4)
    assert priors_fault(priors, 4) == ""
    assert fit_priors(labels[::-1], transcripts[::-1], 4) == priors
    assert min(value for row in priors.transitions for value in row if value) > 0.001  # nothing is impossible
    assert sum(value == 0 for row in priors.transitions for value in row) == 4  # but to follow itself


def test_many_examples_are_believed_and_few_are_shrunk() -> None:
    random = np.random.default_rng(0)
    often = random.gamma(9.0, 40 / 9, 500).round().clip(1)
    mean, shape = fit_durations([often.tolist(), [4, 5], []])
    assert mean[0] == pytest.approx(40, rel=0.05) and shape[0] == pytest.approx(9, rel=0.2)
    assert 5 < mean[1] < 40 and mean[2] == pytest.approx(np.mean([*often, 4, 5]))
    assert shape[2] == pytest.approx(9, rel=0.25)  # as regular as the others


def test_durations_that_never_vary_are_not_believed_to_the_letter() -> None:
    _, shape = fit_durations([[10] * 50, [20] * 50])
    assert (shape == 30).all()


def test_the_order_is_that_of_the_transcripts_with_room_for_others() -> None:
    first, follows = fit_order([[0, 1, 2]] * 50, 4)
    assert first.argmax() == 0 and first.min() > 0.002
    assert follows[0].argmax() == 1 and follows[1].argmax() == 2
    assert follows[0, 1] > 0.8 and follows[0, 2] > follows[0, 3] > 0.004  # a skipped step, and any other
    np.testing.assert_allclose(follows[3], [1 / 3, 1 / 3, 1 / 3, 0])  # never seen to end
    np.testing.assert_allclose(follows.sum(1), 1)
    uniform = fit_order([[0, 1, 2]] * 50, 4, floor=1.0)[1]
    np.testing.assert_allclose(uniform, (1 - np.eye(4)) / 3)


def test_repeated_neighbours_count_once_and_an_empty_transcript_is_read_off_the_labels() -> None:
    labels = [np.array([0, 0, 1, 1, 2])]
    assert fit_priors(labels, [[0, 0, 1, 2, 2]], 3) == fit_priors(labels, [[0, 1, 2]], 3) == fit_priors(labels, [[]], 3)


def test_ticks_without_label_are_no_segment() -> None:
    labels = [np.array([NO_ACTION] * 30 + [0] * 5 + [1] * 5 + [NO_ACTION] * 3)]
    priors = fit_priors(labels, [[0, 1]], 2)
    assert priors.duration_mean_ticks == (5.0, 5.0)


def test_no_labels_and_wrong_ids_are_refused() -> None:
    with pytest.raises(DatasetError, match="no labelled tick"):
        fit_priors([np.full(9, NO_ACTION)], [[]], 2)
    with pytest.raises(DatasetError, match="action id 7"):
        fit_priors([np.array([0, 7])], [[]], 2)
    with pytest.raises(DatasetError, match="action id 3"):
        fit_priors([np.array([0, 1])], [[0, 3]], 2)
