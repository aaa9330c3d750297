"""What is held out: never all of it, never twice, and nothing that training could not learn."""

from __future__ import annotations

import numpy as np
import pytest

from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import transcript
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.hold_out import hold_out_end, hold_out_episodes, hold_out_every_nth


def clip(name: str, actions: str) -> Clip:
    ids = np.array([ord(action) - ord("a") for action in actions])
    return Clip(name, np.zeros((len(ids), 2)), ids, tuple(transcript(ids)))


@pytest.mark.parametrize(("count", "share", "held_out"), [(2, 0.1, "b"), (5, 0.1, "e"), (6, 0.3, "cf"), (4, 0.9, "bd")])
def test_every_nth_clip_is_held_out(count: int, share: float, held_out: str) -> None:
    clips = [clip(name, "aab") for name in "abcdef"[:count]]
    kept, chosen = hold_out_every_nth(clips, share)
    assert [one.name for one in chosen] == list(held_out)
    assert [one.name for one in kept] == [one.name for one in clips if one.name not in held_out]


def test_a_single_clip_can_not_be_held_out() -> None:
    with pytest.raises(DatasetError, match="1 training clips can be used; expected two or more"):
        hold_out_every_nth([clip("a", "ab")], 0.5)


def test_the_end_of_a_recording_is_held_out_with_its_own_transcript() -> None:
    before, after = hold_out_end(clip("a", "aaabbbcc"), 0.25)
    assert (before.name, before.transcript, before.ticks) == ("a", (0, 1), 6)
    assert (after.name, after.transcript, after.ticks) == ("a-end", (2,), 2)
    with pytest.raises(DatasetError, match="within"):
        hold_out_end(clip("a", "ab"), 1.0)


def test_an_episode_that_alone_shows_an_action_is_kept_for_training() -> None:
    transcripts = {f"demo_{number}": ("reach", "grasp") for number in range(4)}
    assert hold_out_episodes({**transcripts, "demo_4": ("reach", "pour")}, {}, False) == {"demo_3"}
    assert hold_out_episodes({**transcripts, "demo_4": ("reach", "grasp")}, {}, False) == {"demo_4"}
    assert hold_out_episodes(transcripts, {}, True) == set()
