"""What is held out: never all of it, never twice, and nothing that training could not learn."""

from __future__ import annotations

import numpy as np
import pytest

from hal_ros.core.errors import DatasetError
from hal_ros.core.segments import transcript
from hal_ros.datasets.clips import Clip
from hal_ros.datasets.hold_out import (
    Grouping,
    annotated_to_hold_out,
    hold_out_end,
    hold_out_episodes,
    hold_out_every_nth,
    hold_out_groups,
    in_nested_order,
)


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


@pytest.mark.parametrize(("annotated", "judges"), [(1, 0), (3, 0), (4, 0), (5, 2), (10, 2), (20, 4)])
def test_a_few_annotated_ones_teach_first_and_judge_only_where_they_are_enough(annotated: int, judges: int) -> None:
    transcripts = {f"demo_{number:02d}": ("reach", "grasp") for number in range(30)}
    some = sorted(transcripts)[10 : 10 + annotated]
    chosen = hold_out_episodes(transcripts, {}, False, annotated=some)
    assert len(chosen & set(some)) == judges == len(annotated_to_hold_out(some))
    assert len(chosen) == (judges or 6), "an aligned episode beside judges would neither teach nor judge"
    for alike in ([], list(transcripts)):
        assert hold_out_episodes(transcripts, {}, False, annotated=alike) == hold_out_episodes(transcripts, {}, False)


# --- whole groups -----------------------------------------------------------------------------------------------------

USERS = {f"{user}{take}": user for user in "abcde" for take in range(3)}


def test_whole_groups_are_held_out() -> None:
    shown = dict.fromkeys(USERS, (0, 1))
    for share, users in ((0.1, "e"), (0.2, "e"), (0.4, "bd"), (0.9, "bcde")):
        assert {USERS[name] for name in hold_out_groups(shown, USERS, share)} == set(users), share
        assert hold_out_groups(shown, USERS, share) == {name for name in USERS if USERS[name] in users}
    with pytest.raises(DatasetError, match="all 3 training clips are of a; expected two groups or more"):
        hold_out_groups({name: (0,) for name in USERS if USERS[name] == "a"}, USERS, 0.5)


def test_a_group_that_alone_shows_an_action_stays_in_training_as_long_as_another_one_can_go() -> None:
    shown: dict[str, tuple[int, ...]] = dict.fromkeys(USERS, (0, 1))
    shown["e0"] = (0, 1, 2)
    assert {USERS[name] for name in hold_out_groups(shown, USERS, 0.1)} == {"d"}
    two = {"a0": (0, 1, 2), "b0": (0, 3)}
    assert hold_out_groups(two, USERS, 0.5) == {"b0"}, "each alone shows one: the one that takes fewer away goes"


def test_users_with_one_clip_each_are_groups_like_any_other() -> None:
    groups = {name: name for name in "abcdef"}
    assert len(hold_out_groups(dict.fromkeys(groups, (0,)), groups, 0.3)) == 2


def test_episodes_are_held_out_by_group_and_follow_those_that_are_there() -> None:
    transcripts = dict.fromkeys(USERS, ("reach", "grasp"))
    chosen = hold_out_episodes(transcripts, {}, False, Grouping(USERS))
    assert chosen == {"e0", "e1", "e2"}
    known = {"a0": ("reach", "grasp")}
    new = {name: actions for name, actions in transcripts.items() if USERS[name] in "ab"} | {"c0": ("reach", "grasp")}
    del new["a0"]
    found = hold_out_episodes(new, known, True, Grouping(USERS | {"b9": "b"}, ["b9"]))
    assert found == {"b0", "b1", "b2"}, "a is in training, b in validation, and c would be more than a fifth"


def test_one_group_of_episodes_is_for_training() -> None:
    one = {f"demo_{number}": ("reach",) for number in range(4)}
    assert hold_out_episodes(one, {}, False, Grouping(dict.fromkeys(one, "anna"))) == set()
    rare = {**one, "demo_9": ("reach", "pour")}
    groups = {**dict.fromkeys(one, "anna"), "demo_9": "bert"}
    assert hold_out_episodes(rare, {}, False, Grouping(groups)) == set(one), "bert alone pours"


def test_few_names_are_a_sample_of_many() -> None:
    order = in_nested_order(USERS, USERS)
    assert sorted(order) == sorted(USERS)
    assert order == in_nested_order(list(reversed(order)), USERS)
    assert all(len({USERS[name] for name in order[start : start + 5]}) == 5 for start in (0, 5, 10))
    assert in_nested_order(USERS) != sorted(USERS)
