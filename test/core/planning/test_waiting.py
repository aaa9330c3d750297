"""Goals that wait: what reaches them, what ends them, and what cannot be waited for."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from hal_ros.core.errors import ConfigError
from hal_ros.core.planning.waiting import TELL_NS, WaitGoal, Waiting, WaitOutcome, begin, look, timeout_words
from hal_ros.core.segmenter import OpenSegment

VOCABULARY = ("idle", "move", "pick")
S = 1_000_000_000
NOW = 1000 * S
PICK = OpenSegment(action=2, segment_id=7, start_ns=10 * S, newest_ns=12 * S, confidence=0.75)
WANTED = WaitGoal(("pick",), 0.0, 0, 5 * S)


def waiting(**changes: object) -> Waiting:
    return begin(replace(WANTED, **changes), VOCABULARY)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reached"),
    [
        ({}, True),
        ({"labels": ("idle", "pick")}, True),
        ({"labels": ()}, True),
        ({"labels": ("idle", "move")}, False),
        ({"min_confidence": 0.75}, True),
        ({"min_confidence": 0.76}, False),
        ({"min_duration_ns": 2 * S}, True),
        ({"min_duration_ns": 2 * S + 1}, False),
        ({"after_segment_id": 6}, True),
        ({"after_segment_id": 7}, False),
    ],
)
def test_all_that_is_wanted_has_to_hold(changes: dict[str, object], reached: bool) -> None:
    outcome = look(waiting(**changes), PICK, NOW).outcome
    assert (outcome == WaitOutcome.REACHED) == reached
    assert outcome in (WaitOutcome.REACHED, None)


def test_nothing_is_reached_while_no_segment_runs() -> None:
    assert look(waiting(labels=()), None, NOW).outcome is None


def test_the_timeout_counts_from_the_first_look() -> None:
    goal = look(waiting(), None, NOW).waiting
    assert look(goal, None, NOW + 5 * S - 1).outcome is None
    assert look(goal, None, NOW + 5 * S).outcome == WaitOutcome.TIMED_OUT
    assert look(goal, PICK, NOW + 5 * S).outcome == WaitOutcome.REACHED  # what holds in the end counts


def test_a_clock_that_stands_jumps_back_or_begins_late_ends_nothing() -> None:
    goal = waiting()
    for now_ns in (0, 0, NOW, NOW, NOW + 4 * S, 3 * S, 7 * S):
        verdict = look(goal, None, now_ns)
        assert verdict.outcome is None
        goal = verdict.waiting
    assert look(goal, None, 8 * S).outcome == WaitOutcome.TIMED_OUT


def test_feedback_comes_with_each_segment_and_else_not_too_often() -> None:
    move = PICK._replace(action=1)
    told = []
    goal = waiting()
    for step, segment in enumerate([None, None, move, move, move._replace(segment_id=8), None]):
        verdict = look(goal, segment, NOW + step * TELL_NS // 4)
        told.append(verdict.tells)
        goal = verdict.waiting
    assert told == [True, False, True, False, True, True]
    goal = look(goal, move, NOW).waiting
    assert look(goal, move, NOW + TELL_NS).tells
    assert not look(goal, move, NOW + TELL_NS, fresh=False).tells  # the same answer is not told twice


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": ("pik",)}, "labels: action 'pik' is unknown; did you mean 'pick'?"),
        ({"labels": ("pick", "zzz")}, "labels: action 'zzz' is unknown; expected one of idle, move, pick"),
        ({"timeout_ns": 0}, "timeout is 0 s; expected more than 0 s"),
        ({"timeout_ns": -S}, "timeout is -1 s; expected more than 0 s"),
        ({"min_duration_ns": -S // 2}, "min_duration is -0.5 s; expected 0 s or more"),
        ({"min_confidence": 1.5}, "min_confidence is 1.5; expected 0 to 1"),
        ({"min_confidence": math.nan}, "min_confidence is nan; expected 0 to 1"),
    ],
)
def test_what_can_never_be_reached_is_refused_in_one_line(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        waiting(**changes)
    assert str(refused.value) == words


def test_a_timeout_says_what_came_instead() -> None:
    text = timeout_words(WANTED, PICK._replace(action=1), VOCABULARY)
    assert text == "no 'pick' within 5 s; 'move' has run for 2.0 s, confidence 0.75"
    wanted = WaitGoal((), 0.5, S, 5 * S, 3)
    text = timeout_words(wanted, None, VOCABULARY)
    assert text == "no action above segment 3 for 1 s with confidence 0.5 within 5 s; no segment runs"
