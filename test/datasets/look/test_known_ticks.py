"""Known ticks fit a transcript exactly where some segmentation in its order has them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal_ros.core.answers import NO_ACTION
from hal_ros.datasets.look.known_ticks import first_misfit, is_full

N = NO_ACTION


@pytest.mark.parametrize(
    ("actions", "full"),
    [([0, 0, 1], True), ([N] + [1] * 9, True), ([N, 0, N], False), ([0] * 9 + [N] + [0] * 90, False), ([N], False)],
)
def test_a_whole_annotation_has_no_gap_and_few_ticks_missing(actions: list[int], full: bool) -> None:
    assert is_full(np.array(actions)) is full


@given(st.lists(st.integers(0, 2), min_size=1, max_size=4), st.lists(st.sampled_from([0, 1, 2, N]), max_size=6))
def test_a_misfit_is_found_exactly_where_no_segmentation_is_left(transcript: list[int], known: list[int]) -> None:
    order = [action for action, _ in itertools.groupby(transcript)]
    actions = np.array(known, np.int64)

    def fits(part: np.ndarray, whole: bool) -> bool:
        ends = itertools.combinations(range(1, len(part)), len(order) - 1) if whole else None
        if ends is None:  # a beginning: some whole segmentation of it with fewer of the actions
            return any(_fits(part, order[: count + 1]) for count in range(len(order)))
        return _fits(part, order)

    tick = first_misfit(transcript, actions)
    if tick is None:
        assert fits(actions, whole=True)
    elif tick == len(actions):
        assert not fits(actions, whole=True)
    else:
        assert not any(_fits(actions[: tick + 1], order[: count + 1]) for count in range(len(order)))
        assert tick == 0 or fits(actions[:tick], whole=False)


def _fits(actions: np.ndarray, order: list[int]) -> bool:
    """Try every segmentation."""
    for ends in itertools.combinations(range(1, len(actions)), len(order) - 1):
        lengths = np.diff([0, *ends, len(actions)])
        labels = np.repeat(order, lengths)
        if len(labels) == len(actions) and ((actions == NO_ACTION) | (actions == labels)).all() and len(actions):
            return True
    return False
