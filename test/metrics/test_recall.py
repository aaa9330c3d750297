"""How much of one action is found."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.metrics.recall import ActionRecall, action_recall
from hal_ros.metrics.segmentation import Pair


def pair(truth: str, predicted: str) -> Pair:
    """Spell a pair as two words: a letter an action, '.' for NO_ACTION."""
    return Pair(*(np.array([NO_ACTION if c == "." else "ABC".index(c) for c in word]) for word in (truth, predicted)))


def test_ticks_are_pooled_over_videos_and_segments_are_the_true_ones() -> None:
    videos = [pair("AABBBBAABB", "AABBAAAAAB"), pair("CCBBCC", "BBBBCC")]
    assert action_recall(videos, 1) == ActionRecall(100 * (2 + 1 + 2) / (4 + 2 + 2), 3, 8)


def test_what_is_said_elsewhere_does_not_count() -> None:
    assert action_recall([pair("AAB", "BBB")], 1).percent == action_recall([pair("AAB", "CCB")], 1).percent == 100


def test_ticks_without_annotation_are_no_part_of_it_and_silence_is_a_miss() -> None:
    assert action_recall([pair("..AAAA..", "AAA..AAA")], 0) == ActionRecall(50.0, 1, 4)


def test_an_action_that_never_happens_has_no_recall() -> None:
    found = action_recall([pair("AA", "BB")], 1)
    assert math.isnan(found.percent) and found[1:] == (0, 0)
    assert math.isnan(action_recall([], 1).percent)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(DatasetError, match="expected one length"):
        action_recall([pair("AA", "A")], 0)
