"""What is compared takes turns, each as often as the others, and the ratio is that of each round."""

from __future__ import annotations

import numpy as np

from hal_ros.bench import timing


def test_everybody_has_a_turn_in_each_round_and_nobody_is_always_first() -> None:
    order: list[str] = []
    acts = {name: lambda name=name: order.append(name) for name in "ab"}
    times = timing.in_turns(acts, rounds=3, calls=2)
    assert "".join(order) == "aaabbb" + "bbbaaa" + "aaabbb"  # one call of each turn is not timed
    assert set(times) == {"a", "b"}
    assert all(each.shape == (3,) and (each > 0).all() for each in times.values())


def test_the_ratio_is_that_of_the_rounds_and_not_of_a_machine_that_became_slower() -> None:
    fast = np.array([1.0, 1.0, 50.0])
    assert timing.ratio(4 * fast, fast) == 4.0
    assert timing.ratio(fast, 4 * fast) == 0.25
    assert timing.ratio(np.array([4.0, 4.0, 1.0]), np.ones(3)) == 4.0  # one round that was disturbed


def test_a_median_comes_after_the_calls_that_warm_up() -> None:
    calls: list[int] = []
    assert timing.median_ms(lambda: calls.append(0), repeats=3) > 0
    assert len(calls) == timing.WARM_UPS + 3
