"""What EM learns of actions of one state or two, and what leaves it."""

from __future__ import annotations

import numpy as np

from hal_ros.labels.transcripts.durations import Placed
from hal_ros.labels.transcripts.grids import make_grids, order_of_states
from hal_ros.labels.transcripts.learned_actions import best_states, halves, learn, of_actions
from hal_ros.labels.transcripts.pins import on_steps
from synthetic_clips import ACTIONS, make_clips


def test_states_follow_each_other_unless_there_is_no_room() -> None:
    assert order_of_states((1, 1, 0), 2, 4) == (2, 3, 0, 1)
    assert order_of_states((1, 1, 0), 2, 3) == (2, 0)
    assert order_of_states((1, 0), 1, 2) == (1, 0)


def test_actions_have_what_their_states_have_together() -> None:
    soft = np.array([[0.5, 0.25, 0.25, 0.0], [0.0, 0.5, 0.25, 0.25]])
    whole = of_actions(Placed(soft, np.array([0, 1, 2, 3]), np.array([0.5, 0.75, 0.5, 0.25])), 2)
    assert whole.actions.tolist() == [0, 1] and whole.lengths.tolist() == [1.25, 0.75]
    assert whole.soft.tolist() == [[0.75, 0.25], [0.5, 0.5]]
    squeezed = of_actions(Placed(soft, np.array([0, 2, 3]), np.array([1.0, 0.5, 0.5])), 2)
    assert squeezed.actions.tolist() == [0, 1] and squeezed.lengths.tolist() == [1.0, 1.0]


def test_pinned_steps_may_have_every_state_of_their_action() -> None:
    clips = make_clips(3)
    grids = make_grids(clips, ACTIONS, {clips[0].name: clips[0].actions}, 2)
    pinned = grids.of_clips[0]
    assert pinned.allowed is not None and pinned.allowed.shape == (len(pinned), 2 * ACTIONS)
    np.testing.assert_array_equal(pinned.allowed[:, ::2], pinned.allowed[:, 1::2])
    _, placed = learn(grids, ACTIONS)
    assert (of_actions(placed[0], 2).soft[~pinned.allowed[:, ::2]] < 1e-6).all()
    assert on_steps(pinned.allowed, pinned.order, 1).shape == pinned.allowed.shape


def test_a_single_clip_shows_no_second_state() -> None:
    assert best_states(make_clips(1), ACTIONS, {}) == 1
    assert list(halves(1, 0, 3)) == []
    (first, second), (third, fourth) = halves(5, 0, 1)
    assert (first, second) == (fourth, third) and sorted(first + second) == [0, 1, 2, 3, 4]
