"""Doubt is greatest where restarts say something else than the labels, and nothing where all agree."""

from __future__ import annotations

import numpy as np
import pytest

from hal_ros.labels.doubtful import doubtful_share, doubts
from hal_ros.labels.targets import Targets
from hal_ros.labels.transcripts.restarts import Restarts

LABELS = np.repeat([0, 1, 2], 20)


def laid(first: int, second: int, ticks: int = 60) -> np.ndarray:
    return np.repeat([0, 1, 2], [first, second - first, ticks - second])


def targets(**labels: np.ndarray) -> Targets:
    return Targets(labels, {}, {name: np.eye(3)[one] for name, one in labels.items()})


def test_a_boundary_is_doubted_by_as_much_as_restarts_disagree_with_it() -> None:
    versions = {"a": [laid(20, 40), laid(26, 40), laid(20, 38), laid(20, 40)], "b": [LABELS] * 4}
    wide, sure = doubts(targets(a=LABELS, b=LABELS), Restarts(versions, 1.0, 20.0), period_s=0.1)
    assert (wide.name, sure.name) == ("a", "b")
    assert [(place.tick, place.before, place.after) for place in wide.places] == [(20, 0, 1), (40, 1, 2)]
    assert [place.wrong_ticks for place in wide.places] == pytest.approx([6 / 4, 2 / 4])
    assert [place.spread_ticks for place in wide.places] == pytest.approx([6 / 4**0.5, 2 / 4**0.5])
    assert wide.wrong_ticks == pytest.approx(8 / 4)
    assert sure.wrong_ticks == 0 and all(place.spread_ticks == 0 for place in sure.places)
    assert doubtful_share([wide, sure]) == pytest.approx(wide.wrong_ticks / 120)


def test_annotated_clips_are_not_in_doubt_and_shorter_ones_come_first() -> None:
    longer = laid(20, 40, 660)
    labels = targets(sure=LABELS, long=longer, short=LABELS)
    versions = {"long": [laid(26, 40, 660)], "short": [laid(26, 40)]}
    found = doubts(labels, Restarts(versions, 1.0, 20.0), period_s=0.1)
    assert [one.name for one in found] == ["short", "long"]


def test_a_clip_with_boundaries_that_no_transcript_places_comes_first() -> None:
    labels = targets(doubtful=np.repeat([2, 1], 30), plain=LABELS)
    versions = {"doubtful": [np.repeat([2, 1], [1, 59])], "plain": [laid(20, 44)]}
    found = doubts(labels, Restarts(versions, 1.0, 20.0), 0.1, {(0, 1)})
    assert [(one.name, one.unplaced_kinds) for one in found] == [("plain", 1), ("doubtful", 0)]
    assert [(place.tick, place.unplaced) for place in found[0].places] == [(20, True), (40, False)]


def test_a_restart_that_has_no_room_for_a_segment_still_counts() -> None:
    (found,) = doubts(targets(a=LABELS), Restarts({"a": [np.repeat([0, 1], 30)]}, 1.0, 20.0), period_s=0.1)
    assert found.wrong_ticks == 10 + 20
    assert {place.tick: place.spread_ticks for place in found.places} == {20: 10.0, 40: 0.0}
