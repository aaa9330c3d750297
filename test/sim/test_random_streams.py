"""Concerns do not share random numbers."""

from __future__ import annotations

import numpy as np
import pytest

from hal_ros.sim.random_streams import CONCERNS, stream


def test_streams_differ_between_concerns_and_seeds_and_repeat() -> None:
    first = {(seed, name): stream(seed, name).random(4).tobytes() for seed in (1, 2) for name in CONCERNS}
    again = {key: stream(*key).random(4).tobytes() for key in first}
    assert first == again
    assert len(set(first.values())) == len(first)


def test_drawing_from_one_stream_leaves_another_alone() -> None:
    noise, controller = stream(3, "image_noise"), stream(3, "controller")
    noise.random(1000)
    np.testing.assert_array_equal(controller.random(8), stream(3, "controller").random(8))


def test_an_unnamed_concern_is_refused() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        stream(1, "gripper")
