"""Laws of the rule and the regression as the tables see them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from hal_ros.baselines.simple_fit import fit_logistic, fit_rule
from hal_ros.core.answers import NO_ACTION
from hal_ros.core.errors import DatasetError
from hal_ros.core.streams.columns import ValueGroups
from hal_ros.datasets.clips import Clip
from hal_ros.train.answers import confirmed_actions
from hal_ros.train.clips import Columns, Supervised
from joint_names import joints_named

K, LAG = 3, 2
COLUMNS = Columns(attended=1, values=6, groups=ValueGroups((0, 1) * 3, (0,) * 6))  # an eye's number, two joints
JOINTS = joints_named(["arm", "gripper"])
GRIPPER = 1


def episode(name: Any, seed: int = 0, ticks: int = 60) -> Clip:
    """The hand closes and opens every ten ticks; open is action 0, closed 1; the eye tells all but the first ticks."""
    random = np.random.default_rng(seed)
    closed = (np.arange(ticks) // 10) % 2
    joints = np.zeros((ticks, 6), np.float32)
    joints[:, GRIPPER] = 1 - closed + random.normal(0, 0.01, ticks)
    joints[:, 2] = 1.0  # the arm moves
    delayed = np.concatenate([[0, 0], closed])[:ticks]
    attended = np.stack([delayed, np.ones(ticks)], 1).astype(np.float32)
    return Clip(name, np.concatenate([attended, joints, np.ones_like(joints)], 1), closed.astype(np.int64), ())


def annotated(*clips: Any) -> Supervised:
    return Supervised(clips, {clip.name: clip.actions for clip in clips})


def rule(training: Any) -> Any:
    return fit_rule(training, K, LAG, COLUMNS, JOINTS)


def logistic(training: Any) -> Any:
    return fit_logistic(training, K, LAG)


BOTH = pytest.mark.parametrize("fit", [rule, logistic])


def sound(answers: Any, ticks: Any) -> None:
    for log_probs in (answers.log_probs, answers.lagged_log_probs):
        assert log_probs.shape == (ticks, K)
        assert log_probs.dtype == np.float32
        assert np.isfinite(log_probs).all()
        assert np.allclose(np.exp(log_probs).sum(1), 1, atol=1e-4)
    assert answers.boundary.shape == (ticks,)


@BOTH
def test_it_learns_and_answers_by_the_rules_of_answers(fit: Any) -> None:
    fitted, clip = fit(annotated(episode("a"), episode("b", 1))), episode("c", 2)
    answers = fitted.answer(clip)
    sound(answers, clip.ticks)
    assert (answers.log_probs.argmax(1) == clip.actions).mean() > 0.9
    assert (confirmed_actions(answers, LAG) == clip.actions).mean() > 0.9
    assert fitted.parameter_count > 0
    assert fitted.ms_per_tick() > 0


@BOTH
def test_later_ticks_change_nothing(fit: Any) -> None:
    fitted, clip = fit(annotated(episode("a"))), episode("c", 2)
    changed = replace(clip, inputs=np.concatenate([clip.inputs[:35], clip.inputs[:25][::-1]]))
    for before, after in zip(vars(fitted.answer(clip)).values(), vars(fitted.answer(changed)).values(), strict=True):
        assert np.array_equal(before[:35], after[:35])
        assert not np.array_equal(before[35:], after[35:])


def test_the_lag_lets_two_frames_tell_what_one_can_not() -> None:
    """The eye says what happens two ticks late; with the joints hidden, only the lagged answer can be right."""
    blind = [replace(c, inputs=c.inputs[:, :1]) for c in (episode("a"), episode("b", 1))]
    answers = logistic(annotated(*blind)).answer(blind[1])
    now = (answers.log_probs.argmax(1) == blind[1].actions).mean()
    lagged = (answers.lagged_log_probs[LAG:].argmax(1) == blind[1].actions[:-LAG]).mean()
    assert lagged == 1
    assert now < 0.9


@BOTH
def test_probabilities_of_0_and_1_teach_what_ids_teach(fit: Any) -> None:
    clips = episode("a"), episode("b", 1)
    chances = Supervised(clips, {clip.name: np.eye(K)[clip.actions] for clip in clips})
    by_chances, by_ids = (vars(fit(training).answer(clips[0])) for training in (chances, annotated(*clips)))
    for said, wanted in zip(by_chances.values(), by_ids.values(), strict=True):
        assert np.allclose(said, wanted, atol=1e-4)


@BOTH
def test_ticks_without_target_teach_nothing(fit: Any) -> None:
    right, wrong = episode("a"), episode("b", 1)
    lies = replace(wrong, actions=np.full(wrong.ticks, 2))
    unknown = replace(wrong, actions=np.full(wrong.ticks, NO_ACTION))
    assert (fit(annotated(right, unknown)).answer(wrong).log_probs.argmax(1) == wrong.actions).mean() > 0.9
    assert (fit(annotated(right, lies)).answer(wrong).log_probs.argmax(1) == wrong.actions).mean() < 0.9


@BOTH
def test_odd_clips_are_answered(fit: Any) -> None:
    fitted = fit(annotated(episode("a"), episode("one", ticks=1), episode("short", ticks=LAG)))
    for ticks, value in ((1, 0.5), (LAG, 0.0), (20, 3.0), (20, np.nan)):
        odd = Clip("odd", np.full((ticks, COLUMNS.width), value, np.float32), np.zeros(ticks, np.int64), ())
        sound(fitted.answer(odd), ticks)


@BOTH
def test_without_any_target_it_refuses(fit: Any) -> None:
    clip = episode("a")
    with pytest.raises(DatasetError, match="has a tick with a target"):
        fit(Supervised([clip], {"a": np.full(clip.ticks, NO_ACTION)}))


def test_the_rule_refuses_clips_without_joints() -> None:
    with pytest.raises(DatasetError, match="needs clips whose columns are joints"):
        fit_rule(annotated(episode("a")), K, LAG, Columns(attended=0, values=14), JOINTS)


def test_the_rule_names_what_it_named_alone() -> None:
    training, clip = annotated(episode("a"), episode("b", 1)), episode("c", 2)
    fitted, rows = rule(training), COLUMNS.split(clip.inputs)
    named = fitted.rule.predict(rows.joints, rows.joints_valid)
    assert np.array_equal(fitted.answer(clip).log_probs.argmax(1), named)


def test_the_regression_says_when_every_clip_ends_before_the_lag() -> None:
    short = annotated(*(episode(name, ticks=LAG) for name in "ab"))
    with pytest.raises(DatasetError, match="none of 2 training clips is longer than the lag of 2 ticks"):
        logistic(short)
