"""What is shown of annotations: nested, from the seed, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import ConfigError, DatasetError
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.look.known_ticks import boundaries
from hal_ros.labels.reveal import NOTHING, Share, person_minutes, reveal
from synthetic_episodes import make_encoded_clips


def clips(count: int = 6) -> list[Clip]:
    actions = np.repeat([0, 1, 2, 0, 1], 12)
    return [Clip(f"clip-{number}", np.zeros((60, 2)), actions, (0, 1, 2, 0, 1)) for number in range(count)]


def known(told: list[Clip]) -> set[tuple[str, int]]:
    return {(clip.name, int(tick)) for clip in told for tick in np.flatnonzero(clip.actions != NO_ACTION)}


def test_more_shows_all_of_less_and_another_seed_something_else() -> None:
    shares = [NOTHING, Share(1), Share(3), Share(6)]
    shown = [known(reveal(clips(), share, 0)) for share in shares]
    assert [len(ticks) for ticks in shown] == [0, 60, 180, 360]
    assert shown[1] < shown[2] < shown[3]
    marked = [known(reveal(clips(), Share(marks=percent), 0)) for percent in (5, 20, 100)]
    assert [len(ticks) for ticks in marked] == [2 * count for count in (2, 5, 24)]
    assert marked[0] < marked[1] < marked[2]
    assert known(reveal(clips(), Share(3), 1)) != shown[2]
    assert known(reveal(clips(), Share(3), 0)) == shown[2]


def test_a_mark_tells_the_tick_on_either_side_and_transcripts_stay() -> None:
    told = reveal(clips(), Share(marks=100), 0)
    for clip in told:
        assert boundaries(clip.actions).tolist() == [12, 24, 36, 48]
        assert clip.transcript == (0, 1, 2, 0, 1)


def test_what_tools_say_and_who_annotated_are_hidden_too() -> None:
    whole = [
        replace(clip, annotated=True, claims={"vlm": clip.actions}, transcript=(0, 1))
        for clip in make_encoded_clips(3, 0)
    ]
    told = reveal(whole, Share(1), 0)
    assert sorted(clip.annotated for clip in told) == [False, False, True]
    assert not any(clip.claims for clip in told)
    assert all((clip.actions == NO_ACTION).all() for clip in told if not clip.annotated)


def test_minutes_count_annotations_by_length_and_marks_one_by_one() -> None:
    assert person_minutes(reveal(clips(), NOTHING, 0), 0.1) == 0
    assert person_minutes(reveal(clips(), Share(2), 0), 0.1) == pytest.approx(2 * (30 + 3 * 6.0) / 60)
    assert person_minutes(reveal(clips(), Share(marks=20), 0), 0.1) == pytest.approx(5 * 10 / 60)
    stretches = replace(clips(1)[0], actions=np.where(np.arange(60) % 30 < 5, 0, NO_ACTION))
    assert person_minutes([stretches], 0.1) == pytest.approx(2 * 10 / 60), "known moments without a boundary"


def test_what_can_not_be_shown_is_refused() -> None:
    with pytest.raises(DatasetError, match="7 annotated episodes of 6; expected that many at most"):
        reveal(clips(), Share(7), 0)
    for wrong, said in ((Share, "annotated is -1"), (lambda n: Share(marks=n), "marks is -1")):
        with pytest.raises(ConfigError, match=said):
            wrong(-1)
    with pytest.raises(ConfigError, match="marks is 101; expected percent"):
        Share(marks=101)
