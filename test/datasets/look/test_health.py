"""What episodes show of their streams."""

from __future__ import annotations

import numpy as np
import pytest

from hal_ros.core.streams.spec import CameraSpec, StateSpec, single
from hal_ros.datasets.episodes import Episode
from hal_ros.datasets.look.health import held_too_often, never_known

SPEC = single(CameraSpec(), StateSpec(names=("a", "b")))


def episode(held: int = 0, ticks: int = 100, step_ns: int = 100_000_000, restarts: int = 1) -> Episode:
    """The held ticks come last; `step_ns` lies between those that are not."""
    return Episode(
        name="demo",
        stamp_ns=np.arange(ticks) * step_ns,
        fresh=np.zeros(ticks, bool),
        held=np.arange(ticks) >= ticks - held,
        image_valid=np.ones((ticks, 1), np.float32),
        images={},
        joints=np.zeros((ticks, 6), np.float32),
        joints_valid=np.ones((ticks, 6), np.float32),
        actions=None,
        transcript=(),
        counters={"restarts": restarts},
    )


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (episode(held=20), ""),
        (episode(held=21, step_ns=143_000_000), "21% of the ticks are held, as camera comes at about 6.99 Hz"),
        (episode(held=21, step_ns=143_000_000), "set data.rate_hz: 7"),
        (episode(held=40), "set data.rate_hz: 6"),  # dropouts of a clock that is fast enough
        (episode(restarts=21), ""),
        (episode(restarts=22, step_ns=800_000_000), "the tick grid begins anew 21 times"),
    ],
)
def test_a_rate_is_proposed_where_many_ticks_have_no_news(given: Episode, text: str) -> None:
    line = held_too_often([given], SPEC)
    assert text in line and bool(text) == bool(line)


def test_values_are_missed_only_where_no_bag_gives_them() -> None:
    one, other = episode(), episode()
    one.joints_valid[:, [2, 3, 5]] = 0  # both velocities, and the second joint's effort
    other.joints_valid[:, [2, 3]] = 0
    assert list(never_known([one, other], SPEC)) == [
        "joints: no bag gives velocity; expected in its fields only what the robot tells"
    ]
    (line,) = never_known([one], SPEC)
    assert line.startswith("joints: no bag gives velocity, effort of b; expected")
    other.joints_valid[:] = 0
    assert list(never_known([other], SPEC)) == []
