"""Tools count as far as they proved right."""

from __future__ import annotations

import numpy as np

from hal_ros.core.answers import NO_ACTION
from hal_ros.labels.sources import likeliest, log_evidence, reliabilities

N = NO_ACTION
TRUTH = np.repeat([0, 1, 2, 0], 5)
REFERENCE = {"a": np.eye(3)[TRUTH]}


def test_a_source_is_as_reliable_as_its_stretches_are_right() -> None:
    wrong = np.where(TRUTH == 2, 1, TRUTH)  # merges two stretches, half of which is right
    silent = np.where(TRUTH == 0, N, TRUTH)
    found = reliabilities({"a": {"rules": TRUTH, "vlm": wrong, "cautious": silent}, "b": {"new": TRUTH}}, REFERENCE)
    assert (found["rules"].stretches, found["rules"].right) == (4, 4)
    assert (found["vlm"].stretches, found["vlm"].right) == (3, 2.5)
    assert found["cautious"].accuracy == 3 / 4
    assert found["new"].accuracy == 0.5 and "nothing to compare" in found["new"].line()
    assert "right in 83% of 3 stretches; each tick weighs 0.70" in found["vlm"].line()


def test_the_better_source_wins_where_two_disagree() -> None:
    claims = {"good": np.array([0, N, 1, N]), "bad": np.array([1, 2, 1, N])}
    found = reliabilities({"a": {"good": TRUTH, "bad": np.roll(TRUTH, 5)}}, REFERENCE)
    ids, sure = likeliest(log_evidence(claims, found, actions=3))
    assert ids.tolist()[0] == 0 and ids[3] == N and sure[3] == 0
    assert found["bad"].accuracy < 1 / 3 and sure[2] < found["good"].accuracy  # worse than chance: it speaks against


def test_of_one_source_a_tick_weighs_its_accuracy() -> None:
    found = reliabilities({"a": {"rules": TRUTH}}, REFERENCE)
    ids, sure = likeliest(log_evidence({"rules": TRUTH}, found, actions=3))
    np.testing.assert_array_equal(ids, TRUTH)
    np.testing.assert_allclose(sure, found["rules"].accuracy, rtol=1e-6)
