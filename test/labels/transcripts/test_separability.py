"""Which boundaries transcripts alone do not place."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from hal_ros.labels.transcripts.separability import (
    EDGE,
    ambiguous_junctions,
    inseparable_groups,
    junctions,
    unplaced_junctions,
)

REACH, GRASP, LIFT, PLACE, STACK, REST = range(6)
TRANSCRIPTS = st.lists(st.lists(st.integers(0, 5), max_size=9), max_size=6)


def test_actions_that_only_come_together_are_one_group() -> None:
    transcripts = [(REST, REACH, GRASP, LIFT, PLACE, REST), (REACH, GRASP, LIFT, STACK)]
    assert inseparable_groups(transcripts) == [(REACH, GRASP, LIFT)]
    assert inseparable_groups([*transcripts, (REST, GRASP, LIFT, PLACE, REST)]) == [(GRASP, LIFT)]


def test_one_action_before_several_that_follow_nothing_else_is_ambiguous() -> None:
    (found,) = ambiguous_junctions([(LIFT, PLACE), (LIFT, STACK)])
    assert (found.before, found.after, found.boundaries) == ((LIFT,), (PLACE, STACK), 2)


def test_an_action_seen_without_what_comes_before_it_is_not() -> None:
    assert not ambiguous_junctions([(LIFT, PLACE), (PLACE, LIFT)])  # either begins and ends a clip
    assert not ambiguous_junctions([(REACH, GRASP, REACH), (GRASP,), (LIFT, GRASP)])


def test_mixed_company_is_clear() -> None:
    every = [(REST, a, b, REST) for a in (REACH, GRASP) for b in (LIFT, PLACE)]
    assert (REACH, GRASP) in {junction.before for junction in junctions(every)}
    assert (REACH, GRASP) not in {junction.before for junction in ambiguous_junctions(every)}


def test_nothing_comes_of_nothing() -> None:
    assert junctions([]) == [] == junctions([()])
    assert inseparable_groups([(REACH,), (REACH, REACH)]) == []


@given(transcripts=TRANSCRIPTS)
def test_every_action_ends_in_one_junction_and_begins_in_one(transcripts: list[list[int]]) -> None:
    found = junctions(transcripts)
    for side in ("before", "after"):
        actions = [action for junction in found for action in getattr(junction, side)]
        assert len(actions) == len(set(actions))
        assert set(actions) - {EDGE} == {action for transcript in transcripts for action in transcript}
    pairs = sum(len([1 for a, b in itertools.pairwise(t) if a != b]) + 2 for t in transcripts if t)
    assert sum(junction.boundaries for junction in found) == pairs


@given(transcripts=TRANSCRIPTS, extra=st.lists(st.integers(0, 5), max_size=9))
def test_more_transcripts_never_make_more_ambiguous(transcripts: list[list[int]], extra: list[int]) -> None:
    def pairs(of: list[list[int]]) -> set[tuple[int, int]]:
        return {(a, b) for j in ambiguous_junctions(of) for a in j.before for b in j.after}

    seen = {(a, b) for t in transcripts for a, b in itertools.pairwise(t)}
    assert pairs([*transcripts, extra]) & seen <= pairs(transcripts)


def test_unplaced_are_those_of_few_actions_without_a_known_boundary() -> None:
    transcripts = [(REST, REACH, GRASP, LIFT, PLACE, REST), (REACH, GRASP, LIFT, STACK, REACH)]
    names = ["reach", "grasp", "lift", "place", "stack", "rest"]
    assert [one.named(names) for one in unplaced_junctions(transcripts)] == ["grasp | lift", "lift | place or stack"]
    assert [one.named() for one in unplaced_junctions(transcripts, {(GRASP, LIFT)})] == ["2 | 3 or 4"]
    assert not unplaced_junctions(transcripts, {(GRASP, LIFT), (LIFT, STACK)}), "one known boundary settles a junction"


def test_one_action_before_many_is_not_warned_of() -> None:
    several = [(REST, LIFT, other, REST) for other in (REACH, GRASP, PLACE, STACK)]
    assert [one.named() for one in ambiguous_junctions(several)] == ["2 | 0 or 1 or 3 or 4"]
    assert not unplaced_junctions(several)
