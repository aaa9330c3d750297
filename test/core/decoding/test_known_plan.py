"""Laws of following a known plan: where it is kept, skipped, repeated, left and taken up again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fakes import make_card
from hal_ros.core.answers import NO_ACTION, ActionEstimate, Answer
from hal_ros.core.card import DecoderSpec, ModelCard, Priors
from hal_ros.core.decoding.known_plan import PlanEstimate, PlanState, PlanTracker, plan_ids, plan_names
from hal_ros.core.errors import ConfigError
from hal_ros.core.streams.intake import Intake
from hal_ros.core.streams.pictures import TimedPicture

ACTIONS = 6
PERIOD = 100_000_000
START = 5_000_000_000
MEAN_TICKS = 20
UNIFORM = tuple(tuple(0.0 if j == i else 1 / (ACTIONS - 1) for j in range(ACTIONS)) for i in range(ACTIONS))
PRIORS = Priors((1 / ACTIONS,) * ACTIONS, UNIFORM, (float(MEAN_TICKS),) * ACTIONS, (8.0,) * ACTIONS, 80)

plans = st.lists(st.integers(0, ACTIONS - 1), min_size=1, max_size=6).filter(
    lambda plan: all(a != b for a, b in pairwise(plan))
)
durations = st.integers(MEAN_TICKS // 2, 2 * MEAN_TICKS)


def card_of(priors: Priors | None = PRIORS, **changes: Any) -> ModelCard:
    names = tuple(f"action_{i}" for i in range(ACTIONS))
    return make_card(vocabulary=names, decoder=DecoderSpec("hysteresis", priors=priors), **changes)


def rows(actions: list[int], ticks: int | list[int] = MEAN_TICKS, probability: float = 0.9) -> np.ndarray:
    """Clear answers (T, K) for actions that last `ticks` each."""
    labels = np.repeat(actions, ticks)
    others = (1 - probability) / (ACTIONS - 1)
    return np.log(np.where(np.eye(ACTIONS)[labels] > 0, probability, others)).astype(np.float32)


def estimates(log_probs: np.ndarray, first_tick: int = 0) -> list[ActionEstimate]:
    found = []
    for tick, row in enumerate(log_probs, first_tick):
        stamp = START + tick * PERIOD
        answer = Answer(stamp, int(row.argmax()), 0.9, row)
        found.append(ActionEstimate(tick, stamp, stamp, 0, answer, answer))
    return found


def track(plan: list[int], log_probs: np.ndarray, card: ModelCard | None = None) -> list[PlanEstimate]:
    return follow_all(PlanTracker(plan, card or card_of()), estimates(log_probs))[0]


def follow_all(
    tracker: PlanTracker, sequence: list[ActionEstimate], state: PlanState | None = None, origin_ns: int = START
) -> tuple[list[PlanEstimate], PlanState]:
    state, found = state or tracker.start(), []
    for estimate in sequence:
        progress, state = tracker.follow(estimate, origin_ns, state)
        if progress is not None:
            found.append(progress)
    return found, state


def steps(found: list[PlanEstimate]) -> list[int]:
    return [estimate.step for estimate in found]


@settings(max_examples=30)
@given(plans, st.data())
def test_a_plan_that_is_kept_is_followed_step_by_step(plan: list[int], data: st.DataObject) -> None:
    ticks = data.draw(st.lists(durations, min_size=len(plan), max_size=len(plan)))
    found = track(plan, rows(plan, ticks))
    true = np.repeat(np.arange(len(plan)), ticks)
    assert steps(found) == sorted(steps(found))
    assert (np.array(steps(found)) == true).mean() > 0.7
    assert found[-1].step == len(plan) - 1 and found[-1].remaining == 0
    assert not any(estimate.deviates for estimate in found)
    progress = [estimate.progress for estimate in found]
    assert progress[0] < 1 / len(plan) and progress[-1] > 1 - 1 / len(plan)
    for estimate in found:
        assert 0 <= estimate.progress <= 1 and 0 <= estimate.confidence <= 1 and 0 <= estimate.deviation <= 1
        assert estimate.action == plan[estimate.step] and estimate.remaining == len(plan) - 1 - estimate.step


@settings(max_examples=30)
@given(plans, plans, st.integers(1, 60))
def test_the_future_changes_no_estimate(plan: list[int], done: list[int], cut: int) -> None:
    log_probs = rows(done, 10)
    whole = track(plan, log_probs)
    assert track(plan, log_probs[:cut]) == whole[:cut]
    changed = np.concatenate([log_probs[:cut], np.roll(log_probs[cut:], 1, axis=1)])
    assert track(plan, changed)[:cut] == whole[:cut]
    assume(cut < len(log_probs))
    assert track(plan, changed) != whole  # negative control


def test_masses_sum_to_one_whatever_is_seen() -> None:
    tracker = PlanTracker([0, 1, 2], card_of())
    random = np.random.default_rng(0)
    hostile = [rows([5], 1)[0], np.full(ACTIONS, np.nan), np.where(np.arange(ACTIONS) == 1, 0.0, -np.inf)]
    state = tracker.start()
    for _ in range(300):
        state = tracker.step(np.asarray(hostile[random.integers(3)], np.float32), state)
        assert np.isfinite(state.on).all() and state.on.sum() + state.off.sum() == pytest.approx(1)


def test_a_skipped_step_is_skipped() -> None:
    found = track([0, 1, 2, 3, 4], rows([0, 1, 3, 4]))
    assert set(steps(found)) == {0, 1, 3, 4} and found[-1].step == 4
    assert steps(found)[2 * MEAN_TICKS + 6] == 3


def test_a_repeated_step_is_gone_back_to() -> None:
    found = track([0, 1, 2, 3, 4], rows([0, 1, 2, 1, 2, 3, 4]))
    assert steps(found)[4 * MEAN_TICKS - 1] == 1
    assert steps(found)[5 * MEAN_TICKS - 1] == 2
    assert found[-1].step == 4 and not found[-1].deviates


def test_an_action_off_the_plan_is_flagged_and_the_plan_taken_up_again() -> None:
    found = track([0, 1, 2, 3, 4], rows([0, 1, 5, 2, 3, 4]))
    flags = np.array([estimate.deviates for estimate in found]).reshape(6, MEAN_TICKS)
    assert not flags[:2].any()
    assert flags[2, MEAN_TICKS // 2 :].all()
    assert not flags[-1].any() and found[-1].step == 4
    assert found[3 * MEAN_TICKS - 1].step in (1, 2)  # meanwhile the place is kept


def test_another_plan_is_not_followed() -> None:
    found = track([0, 1, 2], rows([3, 4, 5, 3, 4]))
    assert np.mean([estimate.deviates for estimate in found]) > 0.8


def test_the_end_is_known() -> None:
    found = track([0, 1, 2], rows([0, 1, 2, 5]))
    last = found[-1]
    assert (last.step, last.action, last.progress, last.remaining) == (3, NO_ACTION, 1.0, 0)
    assert not last.deviates
    short = track([0, 1, 2], rows([0, 1]))
    assert short[-1].step == 1 and short[-1].remaining == 1


def test_repeated_neighbours_are_told_apart_by_their_durations() -> None:
    card = card_of(replace(PRIORS, duration_shape=(30.0,) * ACTIONS))
    found = track([0, 1, 1, 2], rows([0, 1, 1, 2]), card)
    assert found[-1].step == 3
    assert found[2 * MEAN_TICKS - 2].step == 1 and found[3 * MEAN_TICKS - 2].step == 2
    assert len(set(steps(track([3], rows([3], 60))))) == 1


def test_a_card_without_priors_is_served_too() -> None:
    plan = [0, 1, 2, 3]
    found = track(plan, rows(plan), card_of(None))
    assert steps(found) == sorted(steps(found)) and found[-1].step == 3


# --- along a stream of estimates --------------------------------------------------------------------------------------


def test_there_is_nothing_to_say_before_the_first_confirmed_answer() -> None:
    tracker = PlanTracker([0], card_of())
    (first,) = estimates(rows([0], 1))
    assert tracker.follow(replace(first, confirmed=None), START, tracker.start())[0] is None


def test_held_ticks_pass_without_evidence() -> None:
    plan, log_probs = [0, 1, 2], rows([0, 1, 2])
    tracker = PlanTracker(plan, card_of(max_held_ticks=3))
    whole = estimates(log_probs)
    thinned = [estimate for estimate in whole if estimate.tick % 3 == 0]
    found, _ = follow_all(tracker, thinned)
    assert found[-1].step == 2 and not found[-1].deviates
    silent = np.full((1, ACTIONS), np.nan, np.float32)
    state = tracker.start()
    for tick in range(len(log_probs) - 2):
        state = tracker.step(log_probs[tick] if tick % 3 == 0 else silent[0], state)
    assert found[-1].confidence == pytest.approx(float(state.on[2].sum() + state.off[2]))


@pytest.mark.parametrize("first_tick", [0, 50])
def test_a_fresh_stream_starts_the_plan_afresh(first_tick: int) -> None:
    tracker = PlanTracker([0, 1, 2], card_of(max_held_ticks=3))
    found, state = follow_all(tracker, estimates(rows([0, 1], 10)))
    assert found[-1].step == 1
    again, _ = follow_all(tracker, estimates(rows([0, 1], 10), first_tick), state)
    fresh, _ = follow_all(tracker, estimates(rows([0, 1], 10), first_tick))
    assert again == fresh


def due_ticks(stamps: Iterable[int], card: ModelCard) -> list[tuple[int, int]]:
    """Return (tick, stamp) of the stamps that are due on one grid."""
    intake = Intake(card.streams)
    shown = (intake.picture("camera", TimedPicture(stamp_ns, "/camera", None)) for stamp_ns in stamps)
    due = [found for found in shown if found is not None]
    assert intake.counters["restarts"] == 1
    return [(found.tick, found.stamp_ns) for found in due]


def test_where_in_its_tick_an_image_lies_does_not_matter() -> None:
    card = card_of(max_held_ticks=5)
    random = np.random.default_rng(0)
    camera = [START + round(frame * 1e9 / 30) for frame in range(1800) if frame == 0 or random.random() > 0.1]
    due = due_ticks(camera, card)
    gaps = np.diff([stamp for _, stamp in due])
    assert (gaps < PERIOD / 2).any()  # what a rounded difference of stamps would take for no tick
    on_grid = estimates(rows([0, 1, 2, 3, 4], 121))
    jittered = [
        replace(on_grid[tick], confirmed=replace(on_grid[tick].provisional, stamp_ns=stamp)) for tick, stamp in due
    ]
    tracker = PlanTracker([0, 1, 2, 3, 4], card)
    found, _ = follow_all(tracker, jittered)
    expected, _ = follow_all(tracker, [on_grid[tick] for tick, _ in due])
    assert [one._replace(stamp_ns=0) for one in found] == [one._replace(stamp_ns=0) for one in expected]
    assert steps(found) == sorted(steps(found)) and found[-1].step == 4


def test_all_ticks_that_may_be_held_pass_however_late_the_next_image_is() -> None:
    card = card_of(max_held_ticks=3)
    late = START + 14 * PERIOD + PERIOD // 2 - 1
    due = due_ticks([START + tick * PERIOD for tick in range(10)] + [START + 10 * PERIOD - PERIOD // 2, late], card)
    assert [tick for tick, _ in due][-2:] == [10, 14]
    tracker, whole = PlanTracker([0, 1], card), estimates(rows([0, 1], 12))
    answers = [replace(whole[tick], confirmed=replace(whole[tick].provisional, stamp_ns=stamp)) for tick, stamp in due]
    found, _ = follow_all(tracker, answers)
    state = tracker.start()
    for tick in range(15):
        silent = np.full(ACTIONS, np.nan, np.float32)
        state = tracker.step(whole[tick].provisional.log_probs if tick in dict(due) else silent, state)
    assert found[-1].deviation == pytest.approx(float(state.off[:-1].sum()))


@pytest.mark.parametrize("lag_ticks", [0, 15])
def test_a_jump_back_that_a_long_lag_hides_starts_the_plan_afresh(lag_ticks: int) -> None:
    card = card_of(lag_ticks=lag_ticks, max_held_ticks=3)
    tracker = PlanTracker([0, 1, 2], card)
    found, state = follow_all(tracker, estimates(rows([0, 1], 10), lag_ticks))
    assert found[-1].step == 1
    jumped_ns = found[-1].stamp_ns + 3 * PERIOD  # the newest image lay lag_ticks later still
    again = [
        replace(one, tick=tick, confirmed=replace(one.provisional, stamp_ns=jumped_ns + (tick - lag_ticks) * PERIOD))
        for tick, one in enumerate(estimates(rows([0, 1], 10)), lag_ticks)
    ]
    after, _ = follow_all(tracker, again, state, origin_ns=jumped_ns)
    fresh, _ = follow_all(tracker, again, origin_ns=jumped_ns)
    assert after == fresh


def test_a_looped_bag_starts_the_plan_afresh_though_its_first_ticks_were_lost() -> None:
    tracker = PlanTracker([0, 1, 2], card_of(lag_ticks=2, max_held_ticks=3))
    sequence = estimates(rows([0, 1], 10))
    _, state = follow_all(tracker, sequence[2:3])  # speaks of tick 0; then the same origin begins once more
    warming_up, confirmed = replace(sequence[0], confirmed=None), sequence[4]
    again, _ = follow_all(tracker, [warming_up, confirmed], state)
    assert again == follow_all(tracker, [confirmed])[0]


def test_after_a_gap_the_place_is_found_again() -> None:
    assert track([0, 1, 2, 3, 4], rows([3, 4]))[-1].step == 4


# --- what is refused --------------------------------------------------------------------------------------------------


def test_unknown_names_and_empty_plans_are_refused() -> None:
    names = card_of().vocabulary
    assert plan_ids(["action_2", "action_0"], names) == (2, 0)
    assert plan_names("action_2, action_0,") == ["action_2", "action_0"] and plan_names("") == []
    with pytest.raises(ConfigError, match="plan ',' names no action"):
        plan_names(",")
    with pytest.raises(ConfigError, match="'action_x' is unknown; did you mean 'action_"):
        plan_ids(["action_x"], names)
    with pytest.raises(ConfigError, match="plan is empty"):
        PlanTracker([], card_of())
